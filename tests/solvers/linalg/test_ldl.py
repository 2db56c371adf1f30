"""Block LDL: the decomposition holds, and says what it had to add."""

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.linalg.ldl import block_ldl
from tests.solvers.rounding.problems import degenerate, draw

LIBRARIES = ["numpy", "torch", "array_api_strict"]


def blocked(ldl, block):
    """D as a matrix."""
    blocks = np.asarray(ldl.blocks)
    out = np.zeros((len(blocks) * block,) * 2)
    for k, part in enumerate(blocks):
        out[k * block : (k + 1) * block, k * block : (k + 1) * block] = part
    return out


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("block", [1, 2, 8, 24])
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_the_product_is_the_matrix(library, block, damping):
    xp = pytest.importorskip(library)
    _, hessian = draw(3, 1, 24)
    ldl = block_ldl(xp.asarray(hessian), block, damping=damping)
    lower = np.asarray(ldl.lower)
    assert ldl.damping == pytest.approx(damping * np.trace(hessian) / 24)
    product = lower @ blocked(ldl, block) @ lower.T
    assert np.allclose(product, hessian + ldl.damping * np.eye(24), atol=1e-14)
    for k in range(0, 24, block):
        assert np.array_equal(lower[k : k + block, k : k + block], np.eye(block))
        assert not lower[k : k + block, k + block :].any()


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("block", [1, 4])
def test_degenerate_matrices_are_decomposed_and_the_addition_is_told(seed, block):
    hessian = degenerate(seed, 20)
    ldl = block_ldl(hessian, block)
    assert np.isfinite(ldl.lower).all() and np.isfinite(ldl.blocks).all()
    size = np.sqrt(np.maximum(np.diagonal(hessian), 0))
    inverse = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0)
    product = ldl.lower @ blocked(ldl, block) @ ldl.lower.T
    wanted = hessian + ldl.jitter * np.diag(np.diagonal(hessian))
    gap = (product - wanted) * inverse[:, None] * inverse
    assert np.abs(gap).max() < 1e-12
    single = seed % 8 == 6  # made in single precision, so indefinite by its rounding
    assert ldl.damping == 0 and 0 <= ldl.jitter < (1e-5 if single else 1e-10)


def test_a_positive_definite_matrix_needs_no_jitter():
    assert block_ldl(draw(0, 1, 50)[1]).jitter == 0


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.ones((2, 3)), "square"),
        (np.zeros((0, 0)), "square"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "not positive semidefinite"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (np.diag([1.0, -0.5]), "on its diagonal"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN"),
        (np.diag([1.0, np.inf]), "NaN"),
    ],
)
def test_what_is_no_hessian_is_refused(matrix, words):
    with pytest.raises(ModelError, match=words):
        block_ldl(matrix)


@pytest.mark.parametrize("block", [0, 3, 5])
def test_blocks_divide_the_columns(block):
    with pytest.raises(ModelError, match="divisor of 4"):
        block_ldl(np.eye(4), block)


@pytest.mark.parametrize("damping", [-1.0, np.nan, np.inf])
def test_damping_is_a_number(damping):
    with pytest.raises(ModelError, match="damping"):
        block_ldl(np.eye(4), damping=damping)


def test_the_order_in_memory_is_of_no_account():
    torch = pytest.importorskip("torch")
    half = torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hessian = half @ half.T
    plain, turned = block_ldl(hessian, 2), block_ldl(hessian.T.contiguous().T, 2)
    assert torch.equal(plain.lower, turned.lower)
