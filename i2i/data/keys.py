"""Randomness by key: what a key names is drawn the same in any process, in any order, on any day."""

import functools

import numpy as np

# What a stream is for: the first part of its key, so that no two uses can ever share numbers.
ORDER, AUGMENT, MIXTURE, REPLACE, BATCH = 1, 2, 3, 4, 5


def generator(purpose: int, *key: int) -> np.random.Generator:
    """A numpy Generator of its own for each (purpose, *key). All parts of the key are integers >= 0."""
    return np.random.default_rng(np.random.SeedSequence([purpose, *key]))


@functools.lru_cache(maxsize=8)
def permutation(n: int, seed: int, epoch: int, side: int) -> np.ndarray:
    """The order of 0..n-1 in an epoch, (n,) int64. Cached: every sample of an epoch asks for it."""
    order = generator(ORDER, seed, epoch, side).permutation(n)
    order.setflags(write=False)
    return order
