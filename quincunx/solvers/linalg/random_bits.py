"""Random signs, permutations and normal numbers from the raw bits of a counter.

Philox 4x64 turns a key and a counter into bits, without a state that a library could change
(Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011). What is made of
them here is written down to the bit, so that a transform is rebuilt from its kind, size and seed
on any machine. The key is the seed and ``2^56 kind + n``; words count from the first that NumPy's
``Philox`` gives.
"""

from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quincunx._errors import ModelError


class Kind(IntEnum):
    """What bits are used for; different kinds of one seed are independent."""

    SIGNS = 1
    FIRST_PERMUTATION = 2
    SECOND_PERMUTATION = 3
    LEFT_FACTOR = 4
    RIGHT_FACTOR = 5


def words(kind: Kind, n: int, seed: int, count: int) -> NDArray[np.uint64]:
    """Return the first words of a stream, uint64 [count].

    Arguments:
        kind: which stream.
        n: the size of the transform, 1 <= n < 2^56.
        seed: 0 <= seed < 2^64.
        count: how many, >= 0.

    Raises:
        ModelError: the size or the seed is out of range.
    """
    if not 1 <= n < 2**56:
        raise ModelError(f"a transform has a size of at least 1, not {n}")
    if not 0 <= seed < 2**64:
        raise ModelError(f"the seed is {seed}; use a whole number from 0 to 2^64 - 1")
    key = np.array([seed, (int(kind) << 56) + n], dtype=np.uint64)
    return np.random.Philox(key=key).random_raw(count)


@lru_cache(maxsize=1024)
def signs(n: int, seed: int) -> NDArray[np.int8]:
    """Return 1 or -1 with equal probability, int8 [n], to be read only.

    Sign i is -1 where bit ``i mod 64``, counted from the lowest, of word ``i // 64`` is set. The
    last ones are kept, because a layer asks for its own with every token.
    """
    raw = words(Kind.SIGNS, n, seed, -(-n // 64)).astype("<u8").view(np.uint8)
    found = 1 - 2 * np.unpackbits(raw, count=n, bitorder="little").astype(np.int8)
    found.flags.writeable = False
    return found


def permutation(kind: Kind, n: int, seed: int) -> NDArray[np.int64]:
    """Return the order that sorts n words, int64 [n]; equal words keep their places."""
    return np.argsort(words(kind, n, seed, n), kind="stable")


def normal(kind: Kind, n: int, seed: int, count: int) -> NDArray[np.float64]:
    """Return normal numbers of mean 0 and variance 1, float64 [count].

    By Box and Muller's cosine from words 2 i and 2 i + 1. As logarithm and cosine differ in the
    last bit from machine to machine, store what is made of these.
    """
    uniform = (words(kind, n, seed, 2 * count) >> np.uint64(11)) * 2.0**-53
    return np.asarray(np.sqrt(-2 * np.log1p(-uniform[::2])) * np.cos(2 * np.pi * uniform[1::2]))
