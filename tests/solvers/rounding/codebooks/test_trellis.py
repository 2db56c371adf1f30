"""Trellis-coded tiles as a codebook, and in LDLQ."""

from dataclasses import replace

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.rounding import E8P, Grid, Trellis, decode, ldlq, nearest, proxy_loss

ERRORS = {1: 0.3, 2: 0.08, 4: 0.007, 8: 0.002}  # a tenth or more above those measured


def random_problem(m, n, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(2 * n, n)) * np.arange(1, n + 1) ** -0.6
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    inputs = inputs @ basis
    return rng.normal(size=(m, n)), inputs.T @ inputs / (2 * n)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("code", ["mul1", "3inst", "hyb"])
def test_codes_stand_for_values(bits, code):
    if code == "hyb" and bits == 8:
        pytest.skip("2 x 8 bits are more than a state of 12")
    x = np.random.default_rng(0).normal(size=(3, 256))
    codebook = Trellis(bits, code, state_bits=12)
    codebook = replace(codebook, scale=1.05 * codebook.unit_scale)
    values, codes = codebook.quantize(x)
    assert codes.dtype == np.uint8 and codes.shape == (3, 32 * bits) and values.dtype == x.dtype
    np.testing.assert_allclose(codebook.decode(codes), values, rtol=1e-6)
    assert np.mean((values - x) ** 2) < ERRORS[bits] * np.mean(x**2)


def test_in_ldlq_it_is_better_than_others_of_its_rate():
    weights, hessian = random_problem(64, 128)
    small = Trellis(2, state_bits=12)
    books = (replace(small, tile=(64, 4)), small, replace(small, tile=(16, 16)), E8P(2), Grid(2))
    fine, usual, square, lattice, grid = (
        ldlq(weights, hessian, codebook).proxy_loss for codebook in books
    )
    assert fine < usual < square and usual < lattice < grid


def test_half_bits():
    x = np.random.default_rng(0).normal(size=(40, 256))
    errors = []
    for bits in (1, 1.5, 2, 2.5):
        codebook = Trellis(bits, "hyb", state_bits=12)
        codebook = replace(codebook, scale=1.05 * codebook.unit_scale)
        values, codes = codebook.quantize(x)
        assert codes.shape == (40, 32 * bits)
        np.testing.assert_allclose(codebook.decode(codes), values, rtol=1e-6)
        errors.append(np.mean((values - x) ** 2))
    falls = np.array(errors[:-1]) / errors[1:]
    assert np.all((falls > 1.6) & (falls < 2.1))  # half a bit: 2 at best


@pytest.mark.parametrize("m, n", [(32, 32), (5, 40), (33, 20)])
@pytest.mark.parametrize("tile", [(32, 8), (16, 16), (64, 4), (256, 1)])
def test_a_rounding_by_trellis_is_one_like_others(m, n, tile):
    weights, hessian = random_problem(m, n)
    for rounding in (nearest, ldlq):
        found = rounding(weights, hessian, Trellis(3, state_bits=10, tile=tile))
        assert found.values.shape == (m, n)
        assert found.codes.shape == (-(-m // tile[0]), -(-n // tile[1]), 96)
        assert found.proxy_loss == pytest.approx(proxy_loss(found.values - weights, hessian))
        again = decode(found.codebook, found.codes, (m, n))
        np.testing.assert_allclose(again, found.values, rtol=1e-5, atol=1e-6)


def test_torch_agrees():
    torch = pytest.importorskip("torch")
    weights, hessian = random_problem(16, 32)
    plain = ldlq(weights, hessian, Trellis(2, state_bits=10, scale=1.0))
    found = ldlq(
        torch.from_numpy(weights), torch.from_numpy(hessian), Trellis(2, state_bits=10, scale=1.0)
    )
    np.testing.assert_array_equal(found.codes.numpy(), plain.codes)
    np.testing.assert_allclose(
        found.codebook.decode(found.codes[0]).numpy(), plain.codebook.decode(plain.codes[0])
    )


def test_refusals():
    with pytest.raises(ModelError, match=r"bits is 0\.5"):
        Trellis(0.5)
    with pytest.raises(ModelError, match=r"2\.5 bits.*'mul1'; ask for a multiple of 1"):
        Trellis(2.5)
    with pytest.raises(ModelError, match=r"tile is \(8, 32\)"):
        Trellis(2, tile=(8, 32))
    with pytest.raises(ModelError, match="shift is 16"):
        Trellis(8, "hyb", state_bits=12)
    with pytest.raises(ModelError, match="no trellis code"):
        Trellis(2, "lut")
    with pytest.raises(ModelError, match="no scale yet"):
        Trellis(2, state_bits=10).quantize(np.zeros((1, 256)))
    with pytest.raises(ModelError, match=r"\(1, 63\).*64 bytes a tile"):
        Trellis(2, scale=1.0).decode(np.zeros((1, 63), np.uint8))
    with pytest.raises(ModelError, match="metric"):
        Trellis(2, state_bits=10, scale=1.0).quantize(np.zeros((1, 256)), metric=np.eye(9))
    weights, hessian = random_problem(64, 32)
    with pytest.raises(ModelError, match="a scale a row, and tiles of 32 rows"):
        ldlq(weights, hessian, Trellis(2, state_bits=10, scale=np.ones((64, 1))))
