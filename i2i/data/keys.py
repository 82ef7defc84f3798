"""Randomness by key: what a key names is drawn the same in any process, in any order, on any day."""

import functools
import math
from typing import TypeVar

import numpy as np

# What a stream is for: the first part of its key, so that no two uses can ever share numbers.
ORDER, AUGMENT, MIXTURE, REPLACE, BATCH, SHARDS, DRAW, SHARE, TURNS, ROWS, SKETCH, FEW = range(1, 13)

LISTED = 2**20  # an order of more than so many is computed one place at a time: 8 MiB an epoch are the most to keep
PART = 2**12  # and of so many in a part of a stream, of which there may be more than lists are kept
ROUNDS = 8  # of the Feistel network: at 4 it starts to look random, and small domains want more
WORD = 2**64 - 1

Word = TypeVar("Word", int, np.ndarray)  # a number, or uint64 numbers, whose products numpy cuts to 64 bits by itself


def generator(purpose: int, *key: int) -> np.random.Generator:
    """A numpy Generator of its own for each (purpose, *key). All parts of the key are integers >= 0."""
    return np.random.default_rng(np.random.SeedSequence([purpose, *key]))


@functools.lru_cache(maxsize=8)
def permutation(n: int, seed: int, epoch: int, side: int, *more: int) -> np.ndarray:
    """The order of 0..n-1 in an epoch, (n,) int64. Cached: every sample of an epoch asks for it."""
    order = generator(ORDER, seed, epoch, side, *more).permutation(n)
    order.setflags(write=False)
    return order


def place(at: int, n: int, seed: int, epoch: int, side: int, *more: int) -> int:
    """Entry `at` of a keyed order of 0..n-1: of `permutation`, or for n > LISTED (with `more`, PART) of `scattered`."""
    if n <= (PART if more else LISTED):
        return int(permutation(n, seed, epoch, side, *more)[at])
    return scattered(at, n, seed, epoch, side, *more)


def scattered(at: int, n: int, *key: int) -> int:
    """Entry `at` of another keyed order of 0..n-1, computed by itself in microseconds, however large n is.

    A Feistel network over a rectangle of just over n places, walked on until it ends inside 0..n-1 (Black and Rogaway,
    Ciphers with arbitrary finite domains, 2002, §4 and §5): a bijection for any round function. Ours is SplitMix64's.
    """
    a = math.isqrt(n - 1) + 1 if n > 1 else 1
    b = -(-n // a)
    rounds = _rounds(*key)
    while True:
        left, right = at % a, at // a
        for i, word in enumerate(rounds):  # left < a and right < b; they take turns
            if i % 2:
                right = (right + mixed(left ^ word)) % b
            else:
                left = (left + mixed(right ^ word)) % a
        at = left + a * right
        if at < n:
            return at


def mixed(word: Word) -> Word:
    """SplitMix64's finaliser: 64 bits, each of which hangs on all of those given (Steele et al. 2014)."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


@functools.lru_cache(maxsize=1024)
def _rounds(*key: int) -> tuple[int, ...]:
    return tuple(generator(ORDER, *key).integers(2**64, size=ROUNDS, dtype=np.uint64).tolist())
