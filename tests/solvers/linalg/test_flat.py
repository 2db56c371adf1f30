"""The fixed orthogonal matrices, for every size."""

import math

import numpy as np
import pytest
import scipy.linalg

from quincunx._errors import ModelError
from quincunx.solvers.linalg.flat import Factors, factors, flat
from quincunx.solvers.linalg.hadamard import hadamard_matrix

# Sizes of layers of published models, and how they are factored: part of the format of files.
CHOSEN = {
    2880: Factors(1, 1, (12, 12, 20)),
    4096: Factors(4096, 1, ()),
    4304: Factors(16, 269, ()),
    4544: Factors(16, 1, (284,)),
    4864: Factors(64, 1, (76,)),
    5460: Factors(4, 1365, ()),
    5632: Factors(128, 1, (44,)),
    9728: Factors(128, 1, (76,)),
    11008: Factors(64, 1, (172,)),
    11520: Factors(4, 1, (12, 12, 20)),
    13696: Factors(32, 1, (428,)),
    14336: Factors(512, 1, (28,)),
    17408: Factors(256, 1, (68,)),
    18944: Factors(128, 1, (148,)),
    25600: Factors(64, 1, (20, 20)),
    29568: Factors(2, 1, (12, 28, 44)),
}


def sample(n):
    """All unit vectors where they are few, else some, and random vectors."""
    rng = np.random.default_rng(n)
    return np.eye(n) if n <= 300 else np.vstack([np.eye(3, n), rng.normal(size=(5, n))])


@pytest.mark.parametrize("n", [4099, *CHOSEN])
def test_orthogonal_and_as_flat_as_it_says(n):
    check(n)


def test_small_sizes_are_orthogonal_and_as_flat_as_they_say():
    for n in range(1, 101):
        check(n)


@pytest.mark.full
def test_all_sizes_up_to_300_are_orthogonal_and_as_flat_as_they_say():
    for n in range(101, 301):
        check(n)


def check(n):
    x = sample(n)
    y = flat(x)
    assert np.abs(flat(y, transposed=True) - x).max() < 1e-13
    assert np.abs(y @ y.T - x @ x.T).max() < 1e-14 * max(1, np.abs(x @ x.T).max())
    largest = np.abs(y[: min(n, 3) if n > 300 else n]).max() * math.sqrt(n)
    assert largest <= factors(n).flatness + 1e-12
    if factors(n).odd == 1:
        assert largest == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("n", "chosen"), CHOSEN.items())
def test_the_factors_never_change(n, chosen):
    assert factors(n) == chosen


def test_factors_make_up_the_size_and_hadamard_is_used_where_it_can_be():
    for n in range(1, 2000):
        way = factors(n)
        assert way.power * way.odd * math.prod(way.cores) == n
        odd = n // (n & -n)
        if odd == 1 or (n % 4 == 0 and odd < 64):
            assert way.odd == 1


def test_every_matrix_is_what_its_factors_say():
    hartley = np.arange(15)[:, None] * np.arange(15) * 2 * np.pi / 15
    hartley = (np.cos(hartley) + np.sin(hartley)) / math.sqrt(15)
    cases = {
        64: scipy.linalg.hadamard(64) / 8,
        48: np.kron(scipy.linalg.hadamard(4), hadamard_matrix(12)) / math.sqrt(48),
        960: None,
        30: np.kron(scipy.linalg.hadamard(2) / math.sqrt(2), hartley),
    }
    cases[960] = np.kron(
        scipy.linalg.hadamard(4), np.kron(hadamard_matrix(12), hadamard_matrix(20))
    ) / math.sqrt(960)
    for n, matrix in cases.items():
        x = np.random.default_rng(n).normal(size=(3, n))
        np.testing.assert_allclose(flat(x), x @ matrix.T, atol=1e-13)
        np.testing.assert_allclose(flat(x, transposed=True), x @ matrix, atol=1e-13)


@pytest.mark.parametrize("p", [7, 13, 101, 103])
def test_primes_have_circulants_of_legendre_symbols(p):
    chi = [0, *(1 if pow(k, p // 2, p) == 1 else -1 for k in range(1, p))]
    first = np.array(chi) / math.sqrt(p) + 1 / p
    np.testing.assert_allclose(flat(np.eye(p)).T, scipy.linalg.circulant(first), atol=1e-14)


@pytest.mark.parametrize("n", [64, 60, 101, 45, 4099])
def test_single_precision(n):
    x = np.random.default_rng(0).normal(size=(20, n))
    y = flat(x.astype(np.float32))
    assert y.dtype == np.float32
    assert np.abs(y - flat(x)).max() < 3e-6


def test_batches_strides_and_empty_input():
    x = np.random.default_rng(1).normal(size=(4, 3, 120))
    # One row is a matrix-vector product for BLAS, which adds in another order.
    np.testing.assert_allclose(flat(x)[2, 1], flat(x[2, 1]), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(flat(x[::2, :, ::2]), flat(x[::2, :, ::2].copy()))
    assert flat(x[:0]).shape == (0, 3, 120)


def test_input_is_not_changed():
    x = np.ones((3, 64))
    flat(x)
    np.testing.assert_array_equal(x, np.ones((3, 64)))


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ModelError, match="not 0"):
        factors(0)
