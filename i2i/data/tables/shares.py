"""Held-out shares of a long list by number alone: what is appended later moves nothing."""

from fractions import Fraction

import numpy as np

from i2i.data import keys
from i2i.data.spec import Fractions
from i2i.data.split import SPLITS

FINEST = 10**6  # shares are whole numbers of this


def shares(first: int, last: int, asked: Fractions) -> np.ndarray:
    """For the items first, ..., last - 1: the number in SPLITS of the split each belongs to, int8.

    The list is cut into runs of 1 / (val + test) items, a keyed one of each is held out, and those go to val and test
    in turn, in the ratio of the two. So every beginning of the list has its shares, to the item.
    """
    val, test = (Fraction(share).limit_denominator(FINEST) for share in (asked.val, asked.test))
    given = np.zeros(last - first, np.int8)
    held = val + test
    if not held or first == last:
        return given
    items = np.arange(first, last)
    run = items * held.numerator // held.denominator  # whole numbers throughout: no run may lose its item to rounding
    start, end = (-(-(run + more) * held.denominator // held.numerator) for more in (0, 1))
    word = int(keys.generator(keys.SHARE, asked.seed).integers(2**64, dtype=np.uint64))
    drawn = keys.mixed(run.astype(np.uint64) ^ np.uint64(word)) % (end - start).astype(np.uint64)
    share = test / held
    tests = (run + 1) * share.numerator // share.denominator > run * share.numerator // share.denominator
    given[items == start + drawn.astype(np.int64)] = SPLITS.index("val")
    given[(given > 0) & tests] = SPLITS.index("test")
    return given
