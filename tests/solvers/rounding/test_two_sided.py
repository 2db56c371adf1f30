"""Feedback on both sides: against its definition, ldlq, its mirror image and brute force."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from quincunx._errors import ModelError
from quincunx.solvers.linalg.ldl import block_ldl
from quincunx.solvers.rounding import (
    E8P,
    Grid,
    decode,
    ldlq,
    nearest,
    spanning,
    two_sided,
    two_sided_loss,
)
from quincunx.solvers.rounding.codebooks.lattices import Integer


@dataclass(frozen=True)
class WholeTiles:
    """Whole multiples of the scale in tiles of two rows and three columns."""

    scale: Any = 1.0
    tile: tuple[int, int] = (2, 3)
    bits: float = 8.0
    unit_scale: float = 1.0

    def quantize(self, x, /, *, metric=None):
        assert metric.shape == (3, 3)
        codes = np.rint(x / self.scale)
        return codes * self.scale, codes.astype(np.int64)

    def decode(self, codes, /):
        return codes * self.scale


def random_hessian(n, seed, rank=None):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(2 * n, rank or n)) @ rng.normal(size=(rank or n, n))
    return inputs.T @ inputs / (2 * n)


def random_problem(m, n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, n)), random_hessian(n, seed + 1), random_hessian(m, seed + 2)


def left_over(found, weights, hessian, output, tile=(1, 1)):
    """L_O' E L, which is to be the plain rounding errors."""
    left = block_ldl(output, tile[0], damping=0.01).lower
    right = block_ldl(hessian, tile[1], damping=0.01).lower
    return left.T @ (found.values - weights) @ right


SIZES = [(1, 1), (1, 6), (7, 1), (5, 7), (30, 150), (270, 20)]


@pytest.mark.parametrize("codebook", [Grid(2), Grid(3, levels="lloyd-max"), E8P()], ids=repr)
@pytest.mark.parametrize("m, n", [(5, 8), (40, 160)])
def test_without_coupled_outputs_it_is_ldlq(codebook, m, n):
    weights, hessian, _ = random_problem(m, n)
    codebook = replace(codebook, scale=0.8)
    found = two_sided(weights, hessian, codebook, output_hessian=np.eye(m))
    plain = ldlq(weights, hessian, codebook)
    np.testing.assert_array_equal(found.codes, plain.codes)
    assert found.proxy_loss == pytest.approx(plain.proxy_loss, rel=1e-9)
    assert found.damping == plain.damping


@pytest.mark.parametrize("m, n", SIZES)
@pytest.mark.parametrize("codebook", [Integer(0.3), WholeTiles(0.3)], ids=["one", "tiles"])
def test_what_is_left_over_is_the_rounding_error(codebook, m, n):
    r, c = codebook.tile
    weights, hessian, output = random_problem(r * m, c * n)
    found = two_sided(weights, hessian, codebook, output_hessian=output)
    eta = left_over(found, weights, hessian, output, codebook.tile)
    # Exact but for rounding; uniform errors come near the half step, and go no further.
    assert np.max(np.abs(eta)) <= 0.15 * (1 + 1e-9)
    assert m * n == 1 or np.max(np.abs(eta)) > 0.12
    np.testing.assert_allclose(found.values / 0.3, np.rint(found.values / 0.3), atol=1e-9)


@pytest.mark.parametrize("m, n", SIZES)
def test_the_compiled_loop_follows_the_definition(m, n):
    weights, hessian, output = random_problem(m, n)
    grid = Grid(3, scale=0.5)
    found = two_sided(weights, hessian, grid, output_hessian=output)
    np.testing.assert_array_equal(found.codes, by_definition(weights, hessian, output, grid))
    np.testing.assert_allclose(found.values, decode(grid, found.codes, (m, n)), rtol=1e-6)
    eta = left_over(found, weights, hessian, output)
    # Where the target is within the range of the grid, no more than half a step is left.
    inside = np.abs(found.values) < 3.5 * 0.5
    assert np.all(np.abs(eta[inside]) <= 0.25 * (1 + 1e-9))


def by_definition(weights, hessian, output, grid):
    """One weight after the other, from the last row and column."""
    left = block_ldl(output, damping=0.01).lower
    right = block_ldl(hessian, damping=0.01).lower
    errors, codes = np.zeros_like(weights), np.zeros(weights.shape, np.uint8)
    for j in reversed(range(weights.shape[1])):
        for i in reversed(range(weights.shape[0])):
            target = weights[i, j] - left[:, i] @ errors @ right[:, j]
            value, code = grid.quantize(np.array([[target]]))
            errors[i, j], codes[i, j] = value[0, 0] - weights[i, j], code[0, 0]
    return codes


def test_scales_of_rows_go_with_their_rows():
    weights, hessian, output = random_problem(37, 140)
    weights *= np.geomspace(0.01, 10, 37)[:, None]
    grid = spanning(weights, 3)
    found = two_sided(weights, hessian, grid, output_hessian=np.eye(37))
    np.testing.assert_array_equal(found.codes, ldlq(weights, hessian, grid).codes)
    strict = pytest.importorskip("array_api_strict")
    moved = replace(grid, scale=strict.asarray(grid.scale), zero=strict.asarray(grid.zero))
    arrays = map(strict.asarray, (weights, hessian))
    other = two_sided(*arrays, moved, output_hessian=strict.asarray(output))
    found = two_sided(weights, hessian, grid, output_hessian=output)
    np.testing.assert_array_equal(np.asarray(other.codes), found.codes)


@pytest.mark.parametrize("m, n", [(24, 24), (140, 60)])
@pytest.mark.parametrize("codebook", [Grid(2, scale=0.7), Integer(0.5)], ids=["grid", "whole"])
def test_the_transposed_problem_has_the_transposed_answer(codebook, m, n):
    weights, hessian, output = random_problem(m, n)
    found = two_sided(weights, hessian, codebook, output_hessian=output)
    turned = two_sided(weights.T, output, codebook, output_hessian=hessian)
    np.testing.assert_array_equal(turned.codes.T, found.codes)
    assert turned.proxy_loss == pytest.approx(found.proxy_loss, rel=1e-9)


def test_no_linear_feedback_of_a_small_problem_is_better_on_average():
    _, hessian, output = random_problem(2, 3)
    coupled = np.kron(output, hessian)
    coupled /= np.trace(coupled)
    below = np.tril_indices(6, -1)

    def mean_loss(feedback):
        lower = np.eye(6)
        lower[below] = feedback
        # Rounding errors eta, uniform and independent, leave E = lower^-T eta.
        spread = np.linalg.inv(lower)
        return np.trace(spread @ coupled @ spread.T)

    best = scipy.optimize.minimize(mean_loss, np.zeros(15), options={"gtol": 1e-9})
    scale = np.trace(np.kron(output, hessian))
    d_left, d_right = (block_ldl(matrix).blocks.sum() for matrix in (output, hessian))
    assert d_left * d_right / scale == pytest.approx(best.fun, rel=1e-6)
    # And that mean is what rounding has.
    rng = np.random.default_rng(0)
    losses = [
        two_sided(
            rng.uniform(-50, 50, size=(2, 3)), hessian, Integer(), output_hessian=output, damping=0
        ).proxy_loss
        for _ in range(400)
    ]
    error = np.std(losses) / np.sqrt(len(losses))
    assert abs(np.mean(losses) - best.fun * scale / 12) < 4 * error


def test_it_comes_near_the_best_of_all_points():
    ratios = []
    for seed in range(40):
        weights, hessian, output = random_problem(2, 3, seed)
        grid = Grid(1, scale=1.6)
        points = np.array(list(product((-0.8, 0.8), repeat=6))).reshape(-1, 2, 3) - weights
        best = np.einsum("ab,kbj,jl,kal->k", output, points, hessian, points).min()
        found = two_sided(weights, hessian, grid, output_hessian=output)
        assert found.proxy_loss >= best * (1 - 1e-9)
        others = [f(weights, hessian, grid).values - weights for f in (ldlq, nearest)]
        losses = [two_sided_loss(errors, hessian, output) for errors in others]
        ratios.append([found.proxy_loss / best, *(loss / best for loss in losses)])
    ours, one_sided, plain = np.exp(np.mean(np.log(ratios), axis=0))
    # Measured 1.71, 2.21 and 2.79 times the loss of the best of 64.
    assert ours < one_sided < plain


@pytest.mark.parametrize("codebook", [Grid(2), Grid(3, levels="lloyd-max"), E8P()], ids=repr)
def test_libraries_agree(codebook):
    weights, hessian, output = random_problem(9, 16)
    found = two_sided(weights, hessian, codebook, output_hessian=output)
    codebook = found.codebook
    for name in ("array_api_strict", "torch"):
        library = pytest.importorskip(name)
        given = [library.asarray(array) for array in (weights, hessian, output)]
        other = two_sided(given[0], given[1], codebook, output_hessian=given[2])
        assert type(other.values) is type(given[0])
        np.testing.assert_array_equal(np.asarray(other.codes), found.codes)
        assert other.proxy_loss == pytest.approx(found.proxy_loss, rel=1e-9)


def test_the_scale_of_some_rows_suits_all():
    weights, hessian, output = random_problem(100, 32)
    found = two_sided(weights, hessian, Grid(2), output_hessian=output)
    for factor in (0.7, 0.85, 1.2, 1.4):
        other = replace(found.codebook, scale=found.codebook.scale * factor)
        loss = two_sided(weights, hessian, other, output_hessian=output).proxy_loss
        assert loss > 0.97 * found.proxy_loss
    zeros = two_sided(0 * weights, hessian, Grid(2), output_hessian=output)
    assert np.max(np.abs(zeros.values)) < 1e-9


def test_the_loss_is_that_of_what_is_returned():
    weights, hessian, output = random_problem(5, 11)
    found = two_sided(weights, hessian, E8P(), output_hessian=output)
    assert "padded" in found.message
    expected = np.trace(output @ (found.values - weights) @ hessian @ (found.values - weights).T)
    assert found.proxy_loss == pytest.approx(expected, rel=1e-9)
    single = [array.astype(np.float32) for array in (weights, hessian, output)]
    half = two_sided(single[0].astype(np.float16), single[1], Grid(2), output_hessian=single[2])
    assert half.values.dtype == np.float32


@pytest.mark.parametrize("seed", range(20))
def test_degenerate_hessians(seed):
    weights, hessian, output = random_problem(12, 20, seed)
    if seed % 2:
        hessian = random_hessian(20, seed, rank=2)
    output = random_hessian(12, seed, rank=1) if seed % 3 else np.zeros((12, 12))
    output[:, 3] = output[3, :] = 0.0
    found = two_sided(weights, hessian, Grid(2), output_hessian=output, damping=0.0)
    assert np.all(np.isfinite(found.values)) and np.isfinite(found.proxy_loss)
    assert found.stats["output_damping"] == 0 and found.stats["output_jitter"] >= 0


def test_refusals():
    weights, hessian, output = random_problem(4, 6)
    with pytest.raises(ModelError, match=r"output Hessian of 4 rows .* has shape \(6, 6\)"):
        two_sided(weights, hessian, Grid(2), output_hessian=hessian)
    with pytest.raises(ModelError, match="of the outputs: the Hessian is not symmetric"):
        two_sided(weights, hessian, Grid(2), output_hessian=np.triu(output))
    with pytest.raises(ModelError, match="of the outputs: the Hessian has NaN"):
        two_sided(weights, hessian, Grid(2), output_hessian=output * np.nan)
    with pytest.raises(ModelError, match="type int64"):
        two_sided(weights, hessian, Grid(2), output_hessian=np.eye(4, dtype=np.int64))
    with pytest.raises(ModelError, match="a scale a row, and tiles of 2 rows"):
        two_sided(weights, hessian, WholeTiles(np.ones((4, 1))), output_hessian=output)
