"""The compiled Walsh-Hadamard transform against its definition."""

import numpy as np
import pytest

from quincunx.kernels.hadamard._numba import walsh_hadamard
from quincunx.kernels.hadamard.reference import walsh_hadamard as by_definition

# Rounding grows with the square root of the number of stages; measured 9e-7 and 2e-15 of the norm.
TOLERANCE = {np.float32: 3e-6, np.float64: 6e-15}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 3, 12, 13])
@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32, 64, 512])
def test_the_same_as_by_definition(size, stride, dtype):
    x = np.random.default_rng(size).normal(size=(5, size * stride)).astype(dtype)
    out = x.copy()
    walsh_hadamard(out, stride, 0, 5)
    expected = by_definition(x.astype(np.float64), stride)
    assert np.abs(out - expected).max() < TOLERANCE[dtype] * np.linalg.norm(x[0])


def test_other_rows_are_left_alone():
    x = np.random.default_rng(0).normal(size=(7, 64))
    x[0], x[5:] = np.nan, np.inf
    out = x.copy()
    walsh_hadamard(out, 1, 1, 5)
    np.testing.assert_array_equal(out[[0, 5, 6]], x[[0, 5, 6]])
    np.testing.assert_allclose(out[1:5], by_definition(x[1:5], 1), atol=1e-13)


def test_how_rows_are_split_does_not_matter():
    x = np.random.default_rng(1).normal(size=(40, 96)).astype(np.float32)
    whole, parts = x.copy(), x.copy()
    walsh_hadamard(whole, 3, 0, 40)
    for first in range(0, 40, 8):
        walsh_hadamard(parts, 3, first, first + 8)
    np.testing.assert_array_equal(whole, parts)


def test_rows_may_lie_apart_in_memory():
    wide = np.random.default_rng(2).normal(size=(6, 80))
    x = wide[::2, :64]
    expected = by_definition(x, 1)
    walsh_hadamard(x, 1, 0, 3)
    np.testing.assert_allclose(x, expected, atol=1e-13)
