"""Block LDL decompositions of positive semidefinite matrices, regularised where they must be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.select import shared
from quincunx.kernels.threads import in_rows

ASYMMETRY = 1e-4  # relative to the largest diagonal entry: more is no rounding, and refused
LARGEST_JITTER = 1e-2
BLOCK = 256  # rows and columns compared at once
BAND = 16  # rows scaled at once


@dataclass(frozen=True, slots=True, eq=False)
class LDL:
    """A decomposition ``H + damping I + jitter diag(H) = L D L'``.

    Attributes:
        lower: L [n, n], unit lower block-triangular: the diagonal blocks are identities.
        blocks: [n / b, b, b], the diagonal blocks of D, symmetric positive semidefinite.
        damping: what was added to every diagonal entry, in units of H.
        jitter: the fraction of each diagonal entry that was added besides because the
            decomposition failed without; 0 unless H is singular or indefinite by rounding.
    """

    lower: Array
    blocks: Array
    damping: float
    jitter: float


def block_ldl(hessian: Array, block: int = 1, *, damping: float = 0.0) -> LDL:
    """Decompose a symmetric positive semidefinite matrix.

    The matrix is scaled to a unit diagonal first, so that rows of very different size do not
    disturb each other. Rows and columns that are zero, or below the fourth power of the machine's
    epsilon of the largest, stay alone: their part of L is that of the identity, and of D it is
    zero. Where a matrix is singular, or indefinite by rounding, the least
    multiple of its diagonal among powers of ten that makes the decomposition succeed is added, and
    reported.

    Arguments:
        hessian: H [n, n], floating, symmetric up to rounding.
        block: b >= 1, a divisor of n.
        damping: added to the diagonal, as a fraction of its mean, >= 0.

    Raises:
        ModelError: H is not square, finite, symmetric or nearly positive semidefinite, the damping
            is negative, or the block does not divide n.
    """
    check_hessian(hessian)
    return decomposed(hessian, block, damping)


def decomposed(hessian: Array, block: int, damping: float) -> LDL:
    """Decompose a matrix that was checked; see :func:`block_ldl`."""
    xp, n = array_namespace(hessian), hessian.shape[0]
    if block < 1 or n % block:
        raise ModelError(f"blocks of {block} do not divide {n} columns; use a divisor of {n}")
    if not 0 <= damping < float("inf"):
        raise ModelError(f"damping is {damping}; use a number >= 0, such as 0.01")
    diagonal = xp.linalg.diagonal(hessian)
    added = damping * float(xp.mean(diagonal))
    size = xp.sqrt(xp.where(diagonal > 0, diagonal, 0) + added)
    alive = size > float(xp.finfo(hessian.dtype).eps) ** 2 * float(xp.max(size))
    size = xp.where(alive, size, 0)
    inverse = xp.where(alive, 1 / xp.where(alive, size, 1), 0)
    factor, jitter = _cholesky(xp, lambda: _times(xp, hessian, inverse, inverse))
    corners = xp.asarray(_diagonal_blocks(xp, factor, block), copy=True)
    if block == 1:
        factor = _times(xp, factor, size, inverse / corners[:, 0, 0], out=factor)
    else:
        columns = xp.permute_dims(xp.reshape(factor, (n, n // block, block)), (1, 0, 2))
        unit = xp.permute_dims(columns @ xp.linalg.inv(corners), (1, 0, 2))
        factor = _times(xp, xp.reshape(unit, (n, n)), size, inverse, out=factor)
    for k in range(0, n, block) if block > 1 else ():
        factor[k : k + block, k : k + block] = 0
    _set_diagonal(xp, factor, 1.0)
    parts = xp.reshape(size, (n // block, block))
    blocks = corners @ xp.matrix_transpose(corners) * parts[:, :, None] * parts[:, None, :]
    return LDL(factor, blocks, added, jitter)


def check_hessian(hessian: Array) -> None:
    """Refuse what is no symmetric matrix of finite numbers with a non-negative diagonal.

    Raises:
        ModelError: says which entry is wrong.
    """
    xp = array_namespace(hessian)
    if hessian.ndim != 2 or hessian.shape[0] != hessian.shape[1] or not hessian.shape[0]:
        raise ModelError(f"a Hessian is a square matrix; this one has shape {hessian.shape}")
    # One number tells: a sum is finite only if all entries are.
    if not bool(xp.isfinite(xp.sum(hessian))) and not bool(xp.all(xp.isfinite(hessian))):
        raise ModelError(
            "the Hessian has NaN or infinite entries; look for overflow in its accumulation, "
            "which float64 avoids"
        )
    diagonal = xp.linalg.diagonal(hessian)
    least, largest = float(xp.min(diagonal)), float(xp.max(diagonal))
    if least < -1e-6 * max(largest, 0.0) or largest < 0:
        raise ModelError(
            f"the Hessian has {least:.3g} on its diagonal; a sum of x x' has no negative entries "
            f"there"
        )
    gap = _asymmetry(xp, hessian)
    if gap > ASYMMETRY * largest:
        raise ModelError(
            f"the Hessian is not symmetric: entries differ from their mirror images by up to "
            f"{gap:.3g}; pass (H + H.T) / 2 if that is meant"
        )


def _asymmetry(xp: Any, matrix: Array) -> float:
    """Return the largest difference between entries and their mirror images."""
    n, view = matrix.shape[0], shared(matrix)
    xp, matrix = (xp, matrix) if view is None else (np, view)
    # In blocks, so that neither side leaves the cache in the order of columns.
    cuts = [slice(k, min(k + BLOCK, n)) for k in range(0, n, BLOCK)]
    pairs = [(rows, columns) for i, rows in enumerate(cuts) for columns in cuts[: i + 1]]
    gaps = [0.0] * len(pairs)

    def compare(first: int, last: int) -> None:
        for k, (rows, columns) in enumerate(pairs[first:last], first):
            gap = xp.abs(matrix[rows, columns] - matrix[columns, rows].T)
            gaps[k] = float(xp.max(gap))

    if view is None:
        compare(0, len(pairs))
    else:
        in_rows(compare, len(pairs), least=4)
    return max(gaps)


def _times(xp: Any, matrix: Array, rows: Array, columns: Array, out: Array | None = None) -> Array:
    """Return ``diag(rows) matrix diag(columns)``, whose rows follow each other in memory."""
    if out is None:  # not empty_like, which keeps the order of a transposed matrix
        out = xp.empty(matrix.shape, dtype=matrix.dtype, device=matrix.device)
    source, left, right, into = (shared(array) for array in (matrix, rows, columns, out))
    if source is None or left is None or right is None or into is None:
        out[...] = matrix * rows[:, None] * columns
        return out

    def work(first: int, last: int) -> None:
        # A few rows at a time, which stay in the cache between the two products.
        for k in range(first, last, BAND):
            here = slice(k, min(k + BAND, last))
            np.multiply(source[here, :], right, out=into[here, :])
            into[here, :] *= left[here, None]

    in_rows(work, len(source))
    return out


def _cholesky(xp: Any, make: Callable[[], Array]) -> tuple[Array, float]:
    """Factor a matrix whose diagonal is to be one, and say what had to be added to it.

    Arguments:
        xp: the arrays' library.
        make: makes the matrix, which is overwritten; only its lower triangle is read.

    Returns:
        The factor, whose rows follow each other in memory, and the jitter.
    """
    jitter = 0.0
    while jitter <= LARGEST_JITTER:
        matrix = make()
        _set_diagonal(xp, matrix, 1 + jitter)
        factor = _factor(xp, matrix)
        # Whatever is not finite elsewhere is so on the diagonal, too.
        if factor is not None and bool(xp.isfinite(xp.sum(xp.linalg.diagonal(factor)))):
            return factor, jitter
        jitter = 10 * jitter or matrix.shape[0] * float(xp.finfo(matrix.dtype).eps)
    matrix = make()
    _set_diagonal(xp, matrix, 1.0)
    least = float(xp.min(xp.linalg.eigvalsh(xp.tril(matrix) + xp.tril(matrix, k=-1).T)))
    raise ModelError(
        f"the Hessian, scaled to a unit diagonal, has eigenvalues down to {least:.3g}: it is "
        f"not positive semidefinite, so no sum of x x'; check how it was made"
    )


def _factor(xp: Any, matrix: Array) -> Array | None:
    """Return the lower Cholesky factor of a matrix, or None where it is not positive definite."""
    view = shared(matrix)
    if view is not None:
        from scipy.linalg.lapack import get_lapack_funcs

        # LAPACK has columns in the order of our rows: its upper factor is our lower one. NumPy
        # and torch copy into its order and back, which takes longer than the work.
        (potrf,) = get_lapack_funcs(("potrf",), (view,))
        factor, info = potrf(view.T, lower=0, clean=1, overwrite_a=1)
        return None if info else xp.asarray(factor.T)
    out = xp.empty_like(matrix)
    try:
        out[...] = xp.linalg.cholesky(xp.tril(matrix) + xp.tril(matrix, k=-1).T)
    except (np.linalg.LinAlgError, RuntimeError):  # the second is torch's
        return None
    return out


def _set_diagonal(xp: Any, matrix: Array, value: float) -> None:
    """Overwrite the diagonal of a matrix, whose rows follow each other in memory."""
    xp.reshape(matrix, (-1,), copy=False)[:: matrix.shape[0] + 1] = value


def _diagonal_blocks(xp: Any, matrix: Array, block: int) -> Array:
    """Return the blocks on the diagonal, [n / b, b, b]."""
    parts = matrix.shape[0] // block
    cut = xp.permute_dims(xp.reshape(matrix, (parts, block, parts, block)), (1, 3, 0, 2))
    return xp.permute_dims(xp.linalg.diagonal(cut), (2, 0, 1))
