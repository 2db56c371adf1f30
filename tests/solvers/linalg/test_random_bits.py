"""Random bits, against Philox written out, and against what they were."""

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.linalg.random_bits import Kind, normal, permutation, signs, words

MASK = 2**64 - 1
# Files that people have stored depend on them.
SIGNS = "+-++--+-+++--+-++-+-+-++---+-+--+-++---+++---++--++++-+++-+++-++------"
FIRST = [0, 1, 5, 2, 6, 3, 4, 7]
SECOND = [5, 3, 2, 4, 7, 1, 0, 6]


def philox(key, counter):
    """Philox 4x64 with ten rounds, by the paper, in Python's whole numbers."""
    k0, k1 = key
    x = [counter, 0, 0, 0]
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [(b >> 64) ^ x[1] ^ k0, b & MASK, (a >> 64) ^ x[3] ^ k1, a & MASK]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return x


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("n", "seed"), [(1, 0), (4096, 7), (2**56 - 1, 2**64 - 1)])
def test_words_are_those_of_the_paper(kind, n, seed):
    key = (seed, (int(kind) << 56) + n)
    # The first block that NumPy gives is that of counter 1.
    expected = [word for counter in (1, 2, 3) for word in philox(key, counter)]
    assert words(kind, n, seed, 12).tolist() == expected


def test_signs_are_bits_from_the_lowest():
    n = 150
    raw = words(Kind.SIGNS, n, 5, 3).tolist()
    expected = [1 - 2 * (raw[i // 64] >> (i % 64) & 1) for i in range(n)]
    assert signs(n, 5).tolist() == expected


def test_signs_are_what_they_were():
    shown = "".join("+-"[int(sign < 0)] for sign in signs(70, 20230725))
    assert shown == SIGNS


def test_permutations_are_what_they_were():
    assert permutation(Kind.FIRST_PERMUTATION, 8, 1).tolist() == FIRST
    assert permutation(Kind.SECOND_PERMUTATION, 8, 1).tolist() == SECOND


def test_kinds_sizes_and_seeds_are_independent():
    streams = [signs(4096, 1), signs(4096, 2), signs(4097, 1)[:4096]]
    correlation = np.corrcoef(streams) - np.eye(3)
    assert np.abs(correlation).max() < 4 / np.sqrt(4096)
    assert np.abs(np.mean(streams, axis=1)).max() < 4 / np.sqrt(4096)


def test_normal_numbers_have_the_moments_they_should():
    numbers = normal(Kind.LEFT_FACTOR, 10, 3, 100_000)
    moments = [np.mean(numbers**k) for k in (1, 2, 3, 4)]
    standard_errors = np.sqrt(np.array([1, 2, 15, 96]) / 100_000)
    assert (np.abs(np.subtract(moments, [0, 1, 0, 3])) < 4 * standard_errors).all()


@pytest.mark.parametrize(("n", "seed"), [(0, 1), (-3, 1), (5, -1), (5, 2**64)])
def test_what_is_out_of_range_is_refused(n, seed):
    with pytest.raises(ModelError, match=str(n if n < 1 else seed)):
        signs(n, seed)
