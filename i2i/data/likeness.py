"""Which pictures look alike: a perceptual fingerprint of 64 bits, and groups of near-duplicates among very many.

The fingerprint is pHash (Zauner 2010), of the signs of a picture's lowest spatial frequencies: recompressed, rescaled
and slightly brightened copies differ in few bits, other pictures in about half of them. Mirrored, turned and cropped
copies are other pictures to it, and so are not found; a recoloured one is the same.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

NEAR = 3  # bits: recompressed (JPEG quality 75) and rescaled photos stay within it, and so do few different pictures
SIDE = 32  # pixels of the thumbnail, whatever the picture's shape
FLAT = 1.0  # grey levels of standard deviation: what varies less is noise, or a map of class numbers
DEAD = 0.02  # of the mean amplitude: symmetric drawings have many frequencies that are nothing but rounding
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

# The 64 lowest frequencies after the mean. Every fourth bit belongs to one band, so each band holds low and high ones.
LOWEST = sorted(((y, x) for y in range(SIDE) for x in range(SIDE)), key=lambda at: (sum(at), at))[1:65]
ROWS, COLUMNS = np.array(LOWEST).T
BANDS, WIDTH = 4, 16  # 4 × 16 bits
MOST = 2 * BANDS + BANDS - 1  # bits of distance, up to which the search is quick: two wrong bits in every band
AT_ONCE = 1 << 22  # candidate pairs that are compared together, 100 MB


def fingerprint(pixels: np.ndarray) -> int:
    """64 bits of a picture uint8 h w c: grey, or its first three channels as red, green and blue.

    Where next to nothing varies there are no frequencies to compare: its bits are a hash of what can be seen of it, so
    that blank pages, nights and maps of few class numbers are alike only if they are equal.
    """
    import cv2

    small = _thumbnail(pixels)
    if _is_flat(small):
        return int.from_bytes(hashlib.blake2b(small.astype(np.uint8).tobytes(), digest_size=8).digest(), "little")
    grey = small @ LUMA if small.shape[2] == 3 else small[:, :, 0]
    waves = cv2.dct(grey)[ROWS, COLUMNS]
    bits = waves > DEAD * np.sqrt(np.mean(waves**2))
    return int.from_bytes(np.packbits(bits.reshape(WIDTH, BANDS).T, bitorder="little").tobytes(), "little")


def is_flat(pixels: np.ndarray) -> bool:
    """Whether a picture uint8 h w c is of one colour, but for noise."""
    return _is_flat(_thumbnail(pixels))


def groups(fingerprints: Sequence[int], distance: int = NEAR) -> list[list[int]]:
    """Positions of pictures that are alike, two or more in a group, in order of their first: those within `distance`
    bits of each other, 0 to 11, and whoever is joined to them by others in between.

    Multi-index hashing (Norouzi et al. 2012): of two codes within d bits, one of their 4 bands differs in d // 4 bits
    at most, so that only codes that share nearly all of a band are compared. 100,000 take about a second.
    """
    if not 0 <= distance <= MOST:
        raise ValueError(f"distance must be 0 to {MOST} bits, got {distance}")
    if len(fingerprints) == 0:
        return []
    codes, code_of = np.unique(np.array(fingerprints, np.uint64), return_inverse=True)
    left, right = (np.concatenate(ends) for ends in zip(*_pairs(codes, distance), strict=True))
    parts = components(joined(len(codes), left, right)[code_of])
    return [part for part in parts if len(part) > 1]


def joined(n: int, left: Sequence[int] | np.ndarray, right: Sequence[int] | np.ndarray) -> np.ndarray:
    """The number of the group of each of 0..n-1, where left[i] and right[i] belong together; (n,) whole numbers."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(n, n))
    return np.asarray(connected_components(pairs, directed=False)[1])


def components(group_of: np.ndarray) -> list[list[int]]:
    """Positions by their group's number: sorted lists, by their first positions."""
    order = np.argsort(group_of, kind="stable")
    edges = np.flatnonzero(np.diff(group_of[order])) + 1
    return sorted(part.tolist() for part in np.split(order, edges))


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    """float32 SIDE SIDE 1 or 3, whatever the picture's size and channels."""
    import cv2

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.size == 0:
        raise ValueError(f"expected uint8 h w c, got {pixels.dtype} {pixels.shape}")
    seen = np.ascontiguousarray(pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1])
    small = cv2.resize(seen, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(SIDE, SIDE, -1)


def _is_flat(small: np.ndarray) -> bool:
    return bool(small.std(axis=(0, 1)).max() < FLAT)


def _pairs(codes: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(i, j), i < j, of distinct codes within `distance` of each other, in parts; some of them more than once."""
    yield np.empty(0, np.int64), np.empty(0, np.int64)
    wrong = [sum(1 << bit for bit in bits) for n in range(distance // BANDS + 1) for bits in combinations(range(16), n)]
    for band in range(BANDS):
        keys = (codes >> np.uint64(band * WIDTH)).astype(np.uint16).astype(np.int64)
        bucket = np.argsort(keys, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=1 << WIDTH))])
        for mask in wrong:
            first, count = start[keys ^ mask], np.diff(start)[keys ^ mask]
            for part in _portions(count):
                i = np.repeat(np.arange(part.start, part.stop), count[part])
                within = np.arange(len(i)) - np.repeat(np.cumsum(count[part]) - count[part], count[part])
                j = bucket[np.repeat(first[part], count[part]) + within]
                i, j = i[i < j], j[i < j]
                near = np.bitwise_count(codes[i] ^ codes[j]) <= distance
                yield i[near], j[near]


def _portions(count: np.ndarray) -> Iterator[slice]:
    """Consecutive codes whose candidates are `AT_ONCE` together, or a single code that has more."""
    total, begin = np.cumsum(count), 0
    while begin < len(count):
        before = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, before + AT_ONCE, side="right")))
        yield slice(begin, end)
        begin = end
