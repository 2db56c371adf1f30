"""Weights and Hessians in a basis where no entry stands out, and the way back."""

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.linalg.ldl import check_hessian
from quincunx.solvers.linalg.orthogonal import Orthogonal


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Incoherent:
    """A rounding problem in another basis.

    ``W~ = U W diag(d) V'`` and ``H~ = V diag(1/d) H diag(1/d) V'``.

    The proxy loss is the same in both: ``tr(E H E') = tr(E~ H~ E~')`` for ``E~ = U E diag(d) V'``.

    Attributes:
        weights: W~ [m, n].
        hessian: H~ [n, n], symmetric.
        left: U, of size m.
        right: V, of size n.
        channel_scale: d [n], > 0; None: all 1.
    """

    weights: Array
    hessian: Array
    left: Orthogonal
    right: Orthogonal
    channel_scale: Array | None

    def undo(self, values: Array, /) -> Array:
        """Bring values back to the basis of the weights: ``U' values V diag(1/d)``.

        Arguments:
            values: [m, n], in the basis of W~, in the type of the weights.

        Returns:
            [m, n].
        """
        back = _along_columns(self.left.undo, self.right.undo(values))
        return back if self.channel_scale is None else back / self.channel_scale

    def __repr__(self) -> str:
        """Show sizes and transforms, not weights."""
        rows, columns = self.weights.shape
        return f"Incoherent({rows} x {columns}, left={self.left}, right={self.right})"


def incoherent(
    weights: Array,
    hessian: Array,
    /,
    *,
    left: Orthogonal,
    right: Orthogonal,
    rescale: bool = False,
) -> Incoherent:
    """Change the basis of a rounding problem by random orthogonal matrices.

    Arguments:
        weights: W [m, n], float32 or float64.
        hessian: H [n, n], symmetric positive semidefinite, in the type of ``weights``.
        left: U, of size m, such as ``RandomHadamard(m, seed)``.
        right: V, of size n, with another seed.
        rescale: scale input channels first, by ``d_i = (H_ii / (W' W)_ii)^(1/4)``, which
            minimises ``tr(H) |W|_F^2``. Channels with no weights or no inputs get the geometric
            mean of the others.

    Returns:
        The problem in the new basis, and the way back.

    Raises:
        ModelError: shapes or types do not fit together, or an entry is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> from quincunx.solvers.linalg import RandomHadamard
        >>> from quincunx.solvers.rounding.incoherence import incoherent
        >>> W, H = np.eye(12, 20), np.eye(20)
        >>> problem = incoherent(
        ...     W, H, left=RandomHadamard(12, seed=1), right=RandomHadamard(20, seed=2)
        ... )
        >>> (
        ...     bool(abs(problem.weights).max() < 1),
        ...     bool(np.allclose(problem.undo(problem.weights), W)),
        ... )
        (True, True)

    Reference:
        Chee, Cai, Kuleshov, De Sa, "QuIP", 2023, arXiv 2307.13304, algorithms 1 and 2; for
        Hadamard matrices Tseng and others, "QuIP#", 2024, arXiv 2402.04396, algorithm 3.
    """
    _check(weights, hessian, left, right)
    scale = channel_scale(weights, hessian) if rescale else None
    if scale is not None:
        weights = weights * scale
        hessian = hessian / scale[:, None] / scale
    turned = _along_columns(right.apply, right.apply(hessian))
    return Incoherent(
        weights=_along_columns(left.apply, right.apply(weights)),
        hessian=0.5 * (turned + turned.T),
        left=left,
        right=right,
        channel_scale=scale,
    )


def channel_scale(weights: Array, hessian: Array, /) -> Array:
    """QuIP's scale of input channels, ``d_i = (H_ii / (W' W)_ii)^(1/4)``.

    Arguments:
        weights: W [m, n], floating.
        hessian: H [n, n].

    Returns:
        d [n], > 0. Where W or H has a zero column, the geometric mean of the others, or 1.

    Reference:
        Chee, Cai, Kuleshov, De Sa, "QuIP", 2023, arXiv 2307.13304, section 4.
    """
    xp: Any = array_namespace(weights, hessian)
    # By the largest entries first: squares of very small or large weights leave float32's range.
    largest = xp.max(xp.abs(weights), axis=0)
    alive = (largest > 0) & (xp.linalg.diagonal(hessian) > 0)
    largest = xp.where(alive, largest, 1)
    squares = xp.sum((weights / largest) ** 2, axis=0)
    inputs = xp.where(alive, xp.linalg.diagonal(hessian), 1)
    squares = xp.where(alive, squares, 1)
    logs = 0.25 * (xp.log(inputs) - xp.log(squares)) - 0.5 * xp.log(largest)  # 0 if not alive
    mean = xp.sum(logs) / max(int(xp.sum(xp.astype(alive, xp.int64))), 1)
    return xp.exp(xp.where(alive, logs, mean))


def _along_columns(change: Any, matrix: Array) -> Array:
    """Change the columns of a matrix by what changes rows."""
    xp: Any = array_namespace(matrix)
    return xp.matrix_transpose(change(xp.matrix_transpose(matrix)))


def _check(weights: Array, hessian: Array, left: Orthogonal, right: Orthogonal) -> None:
    """Refuse what does not fit together."""
    xp: Any = array_namespace(weights, hessian)
    check_hessian(hessian)
    n = hessian.shape[0]
    if weights.ndim != 2 or weights.shape[1] != n:
        raise ModelError(
            f"weights {tuple(weights.shape)} do not fit a Hessian {(n, n)}; use weights [m, {n}]"
        )
    if weights.dtype != hessian.dtype:
        raise ModelError(
            f"weights are {weights.dtype} and the Hessian is {hessian.dtype}; use one type for both"
        )
    if not bool(xp.all(xp.isfinite(weights))):
        raise ModelError("the weights have NaN or infinite entries; rounding has no use for them")
    if (left.n, right.n) != tuple(weights.shape):
        raise ModelError(
            f"transforms of sizes {left.n} (left) and {right.n} (right) do not fit weights "
            f"{tuple(weights.shape)}"
        )
