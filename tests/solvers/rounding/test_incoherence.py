"""Changes of basis: the loss stays, the way back leads back, spikes are gone."""

import math

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.linalg import BlockDiagonal, RandomHadamard, random_kronecker
from quincunx.solvers.rounding.incoherence import channel_scale, incoherent
from quincunx.solvers.rounding.theory import hessian_incoherence, weight_incoherence


def random_problem(m, n, seed):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(2 * n, n)) * np.exp(rng.normal(size=n))
    return rng.normal(size=(m, n)) * np.exp(rng.normal(size=n)), inputs.T @ inputs


def proxy_loss(error, hessian):
    return np.trace(error @ hessian @ error.T)


TRANSFORMS = {
    "hadamard": (RandomHadamard(12, seed=1), RandomHadamard(40, seed=2)),
    "kronecker": (random_kronecker(12, seed=1), random_kronecker(40, seed=2)),
    "odd": (RandomHadamard(9, seed=1), RandomHadamard(37, seed=2)),
    "sharded": (
        RandomHadamard(12, seed=1),
        BlockDiagonal(tuple(RandomHadamard(20, seed) for seed in (2, 3))),
    ),
}


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("left, right", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_proxy_loss_is_the_same_in_both_bases(left, right, rescale):
    weights, hessian = random_problem(left.n, right.n, 0)
    problem = incoherent(weights, hessian, left=left, right=right, rescale=rescale)
    np.testing.assert_array_equal(problem.hessian, problem.hessian.T)
    np.testing.assert_allclose(problem.undo(problem.weights), weights, rtol=0, atol=1e-12)
    values = np.round(problem.weights)
    there = proxy_loss(values - problem.weights, problem.hessian)
    here = proxy_loss(problem.undo(values) - weights, hessian)
    assert here == pytest.approx(there, rel=1e-11)


def test_sides_and_scale_are_as_written():
    (left, right), (weights, hessian) = TRANSFORMS["hadamard"], random_problem(12, 40, 1)
    U, V = left.apply(np.eye(12)).T, right.apply(np.eye(40)).T
    problem = incoherent(weights, hessian, left=left, right=right, rescale=True)
    d = np.diag((np.diag(hessian) / np.diag(weights.T @ weights)) ** 0.25)
    inverse = np.linalg.inv(d)
    np.testing.assert_allclose(problem.channel_scale, np.diag(d), rtol=1e-12)
    np.testing.assert_allclose(problem.weights, U @ weights @ d @ V.T, atol=1e-11)
    expected = V @ inverse @ hessian @ inverse @ V.T
    np.testing.assert_allclose(problem.hessian, expected, rtol=0, atol=1e-12 * expected.max())


def test_the_scale_minimises_the_product_of_traces():
    weights, hessian = random_problem(12, 40, 2)

    def product(scale):
        return np.trace(hessian / scale[:, None] / scale) * np.sum((weights * scale) ** 2)

    best = product(channel_scale(weights, hessian))
    rng = np.random.default_rng(0)
    for size in (0.001, 0.1, 1.0):
        for _ in range(100):
            other = channel_scale(weights, hessian) * np.exp(size * rng.normal(size=40))
            assert product(other) >= best


def test_dead_channels_and_extreme_weights_have_a_finite_scale():
    weights, hessian = random_problem(12, 40, 3)
    weights[:, 3], hessian[5], hessian[:, 5] = 0, 0, 0
    scale = channel_scale(weights, hessian)
    alive = np.delete(scale, [3, 5])
    assert scale[3] == scale[5] == pytest.approx(math.exp(np.log(alive).mean()))
    np.testing.assert_array_equal(channel_scale(np.zeros((12, 40)), hessian), np.ones(40))
    small = channel_scale((1e-30 * weights).astype(np.float32), hessian.astype(np.float32))
    np.testing.assert_allclose(small, scale * 1e15, rtol=1e-5)


@pytest.mark.parametrize("n", [256, 172, 101, 90])
def test_spikes_are_gone(n):
    # One outlier and axes as eigenvectors: as coherent as can be.
    weights, hessian = np.zeros((n, n)), np.diag(np.arange(1.0, n + 1))
    weights[3, 5] = 1
    assert weight_incoherence(weights) == pytest.approx(n)
    assert hessian_incoherence(hessian) == pytest.approx(math.sqrt(n))
    left, right = RandomHadamard(n, seed=1), RandomHadamard(n, seed=2)
    problem = incoherent(weights, hessian, left=left, right=right)
    assert weight_incoherence(problem.weights) < 2.01
    # By Hartley's transform sqrt(2), by Hadamard's 1.
    assert hessian_incoherence(problem.hessian) < 1.42


@pytest.mark.parametrize("rescale", [False, True])
def test_torch_and_strict_arrays_give_the_same(rescale):
    torch, strict = pytest.importorskip("torch"), pytest.importorskip("array_api_strict")
    (left, right), (weights, hessian) = TRANSFORMS["hadamard"], random_problem(12, 40, 4)
    expected = incoherent(weights, hessian, left=left, right=right, rescale=rescale)
    for library in (torch, strict):
        given = (library.asarray(weights), library.asarray(hessian))
        problem = incoherent(*given, left=left, right=right, rescale=rescale)
        back = problem.undo(problem.weights)
        assert type(back) is type(problem.hessian) is type(given[0])
        np.testing.assert_allclose(np.asarray(problem.weights), expected.weights, rtol=1e-11)
        np.testing.assert_allclose(np.asarray(back), weights, rtol=0, atol=1e-12)
        scale = np.abs(expected.hessian).max()
        np.testing.assert_allclose(np.asarray(problem.hessian) / scale, expected.hessian / scale)


def test_what_does_not_fit_is_refused():
    (left, right), (weights, hessian) = TRANSFORMS["hadamard"], random_problem(12, 40, 5)

    def attempt(weights, hessian=hessian, left=left, right=right):
        return incoherent(weights, hessian, left=left, right=right)

    with pytest.raises(ModelError, match=r"\(40, 12\) do not fit a Hessian \(40, 40\)"):
        attempt(weights.T)
    with pytest.raises(ModelError, match=r"sizes 40 \(left\) and 12 \(right\)"):
        attempt(weights, left=right, right=left)
    with pytest.raises(ModelError, match="float32 and the Hessian is float64"):
        attempt(weights.astype(np.float32))
    with pytest.raises(ModelError, match="weights have NaN"):
        attempt(np.where(weights > 2, np.nan, weights))
    with pytest.raises(ModelError, match="Hessian has NaN"):
        attempt(weights, np.where(np.eye(40) > 0, np.inf, hessian))
    with pytest.raises(ModelError, match="not symmetric"):
        attempt(weights, np.triu(hessian))
