"""Random orthogonal matrices: the inverse, the seed, the library, the refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.linalg import (
    BlockDiagonal,
    KroneckerOrthogonal,
    RandomHadamard,
    random_kronecker,
)

TRANSFORMS = [
    RandomHadamard(1, seed=1),
    RandomHadamard(64, seed=2),
    RandomHadamard(60, seed=3),
    RandomHadamard(101, seed=4),
    RandomHadamard(90, seed=5),
    random_kronecker(60, seed=6),
    random_kronecker(13, seed=7),
    BlockDiagonal((RandomHadamard(20, seed=8), RandomHadamard(28, seed=9))),
]
NAMES = [f"{type(t).__name__} {t.n}" for t in TRANSFORMS]


def matrix_of(transform):
    return transform.apply(np.eye(transform.n)).T


@pytest.mark.parametrize("transform", TRANSFORMS, ids=NAMES)
def test_undo_is_the_transposed_and_the_inverse(transform):
    matrix = matrix_of(transform)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(transform.n), atol=1e-13)
    np.testing.assert_allclose(transform.undo(np.eye(transform.n)), matrix, atol=1e-13)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_and_strict_arrays_give_the_same(transform, dtype):
    torch = pytest.importorskip("torch")
    strict = pytest.importorskip("array_api_strict")
    x = np.random.default_rng(0).normal(size=(40, 2, transform.n)).astype(dtype)
    tolerance = {"float32": 4e-6, "float64": 1e-14}[dtype]
    for change in (transform.apply, transform.undo):
        expected = change(x)
        assert expected.dtype == x.dtype
        for library in (torch, strict):
            given = library.asarray(x)
            out = change(given)
            assert type(out) is type(given) and out.dtype == given.dtype
            np.testing.assert_allclose(np.asarray(out), expected, atol=tolerance)
            np.testing.assert_array_equal(np.asarray(given), x)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=NAMES)
def test_gradients_flow_through_torch(transform):
    torch = pytest.importorskip("torch")
    x = torch.asarray(np.random.default_rng(0).normal(size=(2, transform.n)), dtype=torch.float64)
    assert torch.autograd.gradcheck(transform.apply, x.requires_grad_())
    assert torch.autograd.gradcheck(transform.undo, x)


def test_tuned_signs_get_gradients_and_undo_multiplies_by_the_transposed():
    torch = pytest.importorskip("torch")
    tuned = torch.linspace(0.5, 2, 60, dtype=torch.float64, requires_grad=True)
    transform = RandomHadamard(60, seed=1, tuned=tuned)
    x, y = torch.asarray(np.random.default_rng(0).normal(size=(2, 60)))
    product = transform.apply(x) @ y
    np.testing.assert_allclose(product.item(), (transform.undo(y) @ x).item(), rtol=1e-12)
    product.backward()
    expected = replace(transform, tuned=torch.ones(60)).undo(y) * x
    np.testing.assert_allclose(tuned.grad, expected.detach(), atol=1e-13)


@pytest.mark.parametrize("n", [64, 60, 101])
def test_vectors_and_types_around_a_transform(n):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(n)
    x, factor, bias = rng.normal(size=(3, n)), rng.uniform(0.5, 2, n), rng.normal(size=n)
    V = RandomHadamard(n, seed=1)
    applied, undone = V.apply(x / factor), V.undo(x * factor) + bias
    np.testing.assert_array_equal(V.apply(x, divisor=factor), applied)
    np.testing.assert_array_equal(V.undo(x, factor=factor, bias=bias), undone)
    np.testing.assert_array_equal(V.undo(x, factor=np.array([2.0])), V.undo(2 * x))
    assert V.apply(x, dtype=np.float32).dtype == np.float32
    half = torch.asarray(x).to(torch.bfloat16)
    got = V.apply(half, divisor=torch.asarray(factor), dtype=torch.float16)
    expected = V.apply(half.float() / torch.asarray(factor, dtype=torch.float32))
    assert torch.equal(got, expected.half())  # 32 bits between the two types
    assert V.undo(half, bias=half[0], dtype=torch.bfloat16).dtype == torch.bfloat16
    with pytest.raises(ModelError, match="bfloat16"):
        V.apply(half)


def test_the_same_seed_makes_the_same_matrix_and_another_does_not():
    first, again, other = (matrix_of(RandomHadamard(60, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_a_matrix_is_what_it_was():
    assert signs_of(RandomHadamard(12, seed=1)) == "++++-+-+++--+++-+++---+-"
    legendre = RandomHadamard(7, seed=1).apply(np.eye(7))[0] * math.sqrt(7)
    assert np.round(legendre, 3).tolist() == [0.378, 1.378, 1.378, -0.622, 1.378, -0.622, -0.622]


def signs_of(transform):
    """Row 1 and column 1 of a Hadamard matrix."""
    matrix = matrix_of(transform)
    return "".join("+-"[int(x < 0)] for x in (*matrix[1], *matrix[:, 1]))


def test_kronecker_factors_are_as_square_as_can_be_and_stored():
    drawn = random_kronecker(60, seed=1)
    assert (len(drawn.left), len(drawn.right)) == (6, 10)
    stored = KroneckerOrthogonal(drawn.left, drawn.right, drawn.first, drawn.second)
    expected = np.eye(60)[drawn.second] @ np.kron(drawn.left, drawn.right) @ np.eye(60)[drawn.first]
    np.testing.assert_allclose(matrix_of(stored), expected, atol=1e-14)


def test_factors_are_uniform_among_orthogonal_matrices():
    # By Haar's measure an entry has mean 0, variance 1/n, and the trace has mean 0, variance 1.
    drawn = [random_kronecker(9, seed) for seed in range(400)]
    factors = np.array([[t.left, t.right] for t in drawn]).reshape(-1, 3, 3)
    assert np.abs(factors.mean(axis=0)).max() < 4 / math.sqrt(3 * len(factors))
    traces = np.trace(factors, axis1=1, axis2=2)
    assert abs(traces.mean()) < 4 / math.sqrt(len(factors))
    assert traces.var() == pytest.approx(1, abs=0.2)
    assert abs(np.linalg.det(factors).mean()) < 4 / math.sqrt(len(factors))


def test_blocks_stand_for_themselves():
    blocks = (RandomHadamard(20, seed=8), random_kronecker(6, seed=9))
    x = np.random.default_rng(0).normal(size=(3, 26))
    expected = [blocks[0].apply(x[:, :20]), blocks[1].apply(x[:, 20:])]
    np.testing.assert_array_equal(BlockDiagonal(blocks).apply(x), np.hstack(expected))


@pytest.mark.parametrize("n", [64, 60, 101, 90, 4099])
def test_spread_vectors_look_like_those_of_a_haar_matrix(n):
    # The largest entry of a random unit vector of size n is about sqrt(2 log n / n).
    rng = np.random.default_rng(n)
    axes = np.zeros((200, n))
    axes[:, :2] = rng.choice([-1.0, 1.0], size=(200, 2)) / math.sqrt(2)
    seeds = range(len(axes))
    ours = [np.abs(RandomHadamard(n, s).apply(axes[s])).max() * math.sqrt(n) for s in seeds]
    haar = rng.normal(size=(200, n))
    haar = np.abs(haar / np.linalg.norm(haar, axis=1, keepdims=True)).max(axis=1) * math.sqrt(n)
    assert np.mean(ours) < np.mean(haar)


def test_what_does_not_fit_is_refused():
    transform = RandomHadamard(12, seed=1)
    with pytest.raises(ModelError, match=r"\[..., 12\], not \(2, 13\)"):
        transform.apply(np.ones((2, 13)))
    with pytest.raises(ModelError, match="float32 or float64, not int64"):
        transform.undo(np.ones(12, dtype=np.int64))
    with pytest.raises(ModelError, match="float16"):
        random_kronecker(12, 1).apply(np.ones(12, dtype=np.float16))
    with pytest.raises(ModelError, match="at least 1, not 0"):
        RandomHadamard(0, seed=1)
    with pytest.raises(ModelError, match=r"\(11,\)"):
        RandomHadamard(12, seed=1, tuned=np.ones(11))
    with pytest.raises(ModelError, match="no blocks"):
        BlockDiagonal(())
    with pytest.raises(ModelError, match=r"\(2, 2\), \(3, 3\), \(6,\), \(5,\)"):
        KroneckerOrthogonal(np.eye(2), np.eye(3), np.arange(6), np.arange(5))
