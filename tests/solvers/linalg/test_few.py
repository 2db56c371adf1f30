"""A few vectors go a shorter way than many, to the same results."""

import numpy as np
import pytest

from quincunx.solvers.linalg import KroneckerOrthogonal, RandomHadamard, random_kronecker
from quincunx.solvers.linalg.few import MOST, few_vectors

SIZES = (1, 2, 96, 256, 768, 28, 224, 688, 2062)


def many(x):
    """Return the same vectors with others behind them, enough for the usual way."""
    rows = np.zeros((MOST // x.shape[1] + 1, x.shape[1]), x.dtype)
    assert few_vectors(np.concatenate([x, rows])) is None
    return np.concatenate([x, rows])


def check_equal(few, more):
    assert few.dtype == more.dtype and few.shape == more.shape
    if few.shape[-1] == 28:  # a product of one matrix with another, whose sums are the library's
        eps = 28 * np.finfo(few.dtype).eps * np.abs(more).max()
        np.testing.assert_allclose(few, more, rtol=0, atol=eps)
    else:
        np.testing.assert_array_equal(few, more)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tuned", [False, True])
def test_few_and_many_vectors_give_the_same(n, dtype, tuned):
    rng = np.random.default_rng(n)
    x, before = rng.normal(size=(3, n)).astype(dtype), rng.normal(size=(3, n)).astype(dtype)
    transform = RandomHadamard(n, 5, rng.normal(size=n).astype(np.float16) if tuned else None)
    check_equal(transform.apply(x), transform.apply(many(x))[:3])
    check_equal(transform.undo(x), transform.undo(many(x))[:3])
    given = {"divisor": before[0]}
    check_equal(transform.apply(x, **given), transform.apply(many(x), **given)[:3])
    given = {"factor": before[1], "bias": before[2]}
    check_equal(transform.undo(x, **given), transform.undo(many(x), **given)[:3])
    kept = x.copy()
    transform.undo(x), transform.apply(x)
    assert np.array_equal(x, kept)


@pytest.mark.parametrize("n", [1, 7, 96, 256, 768])
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_vectors_are_multiplied_by_kronecker_products_as_many_are(n, library, dtype):
    transform, x = random_kronecker(n, 3), np.random.default_rng(n).normal(size=(2, 3, n))
    x = x.astype(dtype)
    matrix = np.kron(transform.left, transform.right)[transform.second]
    matrix = matrix[:, np.argsort(transform.first)]  # columns, from the order of the product
    rows = np.zeros((MOST // n + 1, n), dtype)
    as_library = np.asarray
    if library == "torch":
        torch = pytest.importorskip("torch")
        as_library = torch.from_numpy
        parts = (transform.left, transform.right, transform.first, transform.second)
        transform = KroneckerOrthogonal(*map(torch.from_numpy, parts))
    given, long = as_library(x), as_library(np.concatenate([x.reshape(6, n), rows]))
    eps = 8 * n**0.5 * np.finfo(dtype).eps
    for of, by in ((transform.apply, matrix.T), (transform.undo, matrix)):
        found = of(given)
        assert type(found) is type(given) and found.shape == given.shape
        assert found.dtype == given.dtype
        np.testing.assert_allclose(found, x @ by, rtol=0, atol=eps * np.abs(x).max())
        more = np.asarray(of(long))[:6].reshape(x.shape)
        np.testing.assert_allclose(found, more, rtol=0, atol=eps * np.abs(x).max())
    assert np.array_equal(given, x)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_tensors_are_served_in_their_types(kind):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, kind)
    x = torch.randn(2, 3, 96, generator=torch.Generator().manual_seed(0)).to(dtype)
    wide = x.to(torch.float32).numpy() if kind != "float64" else x.numpy()
    transform, scale, bias = RandomHadamard(96, 1), torch.tensor([0.5]), torch.ones(96, dtype=dtype)
    found = transform.apply(x, dtype=dtype)
    assert found.dtype == dtype and torch.equal(
        found, torch.tensor(transform.apply(wide)).to(dtype)
    )
    found = transform.undo(x, factor=scale, bias=bias, dtype=torch.float32)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(
        found.numpy(), (transform.undo(wide * 0.5) + 1).astype(np.float32)
    )


def test_gradients_go_the_usual_way():
    torch = pytest.importorskip("torch")
    x, signs = torch.ones(2, 96, requires_grad=True), torch.ones(96, requires_grad=True)
    assert few_vectors(x) is None and few_vectors(torch.ones(2, 96), signs) is None
    with torch.no_grad():
        assert few_vectors(x, signs, None) is not None
    transform = RandomHadamard(96, 1, signs)
    transform.apply(torch.ones(2, 96)).sum().backward()
    assert signs.grad is not None
    transform.undo(x).sum().backward()
    assert x.grad is not None
