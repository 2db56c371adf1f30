"""Roundings that keep errors near zero: by descent alone, or by feedback that is held back."""

import math
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.select import copied
from quincunx.solvers.linalg.ldl import LDL, block_ldl
from quincunx.solvers.rounding.answer import Rounding
from quincunx.solvers.rounding.codebooks.grid import Grid
from quincunx.solvers.rounding.greedy import descended
from quincunx.solvers.rounding.ldlq import rounded
from quincunx.solvers.rounding.nearest import apart, up_or_down
from quincunx.solvers.rounding.problem import Points, Problem, finish, prepare, proxy_loss
from quincunx.solvers.rounding.scale import scaled

STEPS = 200  # of the search for multipliers
CLAMPED = 1.0 + 1e-6  # steps: more is left over only beyond the ends of a grid, by chance or not


def balance(W: Array, H: Array, grid: Grid, *, passes: int = 10) -> Rounding:
    """Round to the nearest, then move weights while the loss falls, those of large H_ii first.

    Discrepancy theory's view of rounding: signs of errors are chosen so that they cancel in the
    outputs. The passes are those of :func:`greedy` with the columns sorted, so that no row ends
    with a higher loss than nearest rounding has.

    Arguments:
        W: weights [m, n], floating.
        H: second moments [n, n].
        grid: where its scale is None, one is chosen: that of least loss of nearest rounding.
        passes: at most, >= 0.

    Returns:
        The rounding; ``stats`` as for :func:`greedy`.

    Raises:
        ModelError: an argument does not fit.

    Reference:
        Chee, Cai, Kuleshov, De Sa (NeurIPS 2023), whose code has it as "allbal"; there the loss
        may rise, as weights are clamped after a pass.
    """
    began = perf_counter()
    _check_grid(grid)
    if passes < 0:
        raise ModelError(f"passes is {passes}; use a number >= 0")
    problem = scaled(prepare(W, H, grid), apart)
    xp: Any = problem.xp
    # Passes go from the last column to the first.
    order = xp.argsort(xp.linalg.diagonal(problem.hessian), stable=True)
    hessian = xp.take(xp.take(problem.hessian, order, axis=0), order, axis=1)
    weights = xp.take(problem.weights, order, axis=1)
    sorted_problem = replace(problem, weights=weights, hessian=hessian)
    found, made, moved = descended(sorted_problem, apart(sorted_problem), passes)
    back = xp.argsort(order)
    points = Points(
        xp.take(found.values, back, axis=1), xp.take(found.codes, back, axis=1), found.loss
    )
    return finish(problem, points, seconds=perf_counter() - began, passes=made, moved=moved)


def constrained(
    W: Array,
    H: Array,
    grid: Grid,
    *,
    limit: float = 0.5,
    seed: int | None = None,
    damping: float = 0.01,
) -> Rounding:
    """Round with the best feedback among those that keep every column's error small.

    Feedback can send targets beyond the ends of a grid, where errors are no longer bounded, and
    :func:`ldlq` then may lose to nearest rounding. Here the variance of a column's error is at
    most ``1 + limit`` times that of plain rounding, so that targets stay near the weights. The
    price is a higher loss where the grid is wide enough for :func:`ldlq`. The feedback is found by
    about a hundred decompositions of H.

    Arguments:
        W: weights [m, n], floating.
        H: second moments [n, n].
        grid: of equal steps, uniform or half-integer; where its scale is None, one is chosen.
        limit: >= 0; 0 is no feedback, infinity that of :func:`ldlq`.
        seed: of random bits that round up or down, so that the mean error is zero, as QuIP's
            theorem has it; None: to the nearest, with half the squared error.
        damping: added to the diagonal of H for the feedback, as a fraction of its mean.

    Returns:
        The rounding. ``stats["risk"]`` is ``tr(M H M')`` of the feedback, ``stats["risk_gap"]`` by
        how much it may exceed the least, and ``stats["clamped"]`` the share of the weights whose
        target was more than a step beyond the grid's ends.

    Raises:
        ModelError: an argument does not fit.

    Reference:
        Chee, Cai, Kuleshov, De Sa (NeurIPS 2023), Algorithm 5, where the feedback is found by
        alternating directions, and for random rounding only.
    """
    began = perf_counter()
    _check_grid(grid)
    if grid.levels == "lloyd-max":
        raise ModelError(f"{grid} has no equal steps; use Grid(bits)")
    problem = prepare(W, H, grid)
    xp: Any = problem.xp
    plain = block_ldl(problem.hessian, damping=damping)
    eye = xp.eye(problem.hessian.shape[0], dtype=problem.hessian.dtype, device=H.device)
    feedback = limited_feedback(
        copied(problem.hessian + plain.damping * eye).astype(np.float64), limit
    )
    lower = xp.asarray(feedback.lower, dtype=problem.weights.dtype, device=problem.weights.device)
    ldl = LDL(lower, xp.ones((lower.shape[0], 1, 1), dtype=lower.dtype, device=H.device), 0.0, 0.0)

    def work(problem: Problem) -> Points:
        choose = None if seed is None else up_or_down(problem, seed)
        found = rounded(problem, ldl=ldl, choose=choose)
        return replace(found, loss=proxy_loss(found.values - problem.weights, problem.hessian))

    problem = scaled(problem, work)
    found = work(problem)
    left_over = xp.abs((found.values - problem.weights) @ lower) / problem.codebook.scale
    at_end = (found.codes[:, :, 0] == 0) | (found.codes[:, :, 0] == grid.top)
    clamped = xp.astype(at_end & (left_over > CLAMPED), xp.float64)
    return finish(
        problem,
        found,
        damping=plain.damping,
        jitter=plain.jitter,
        seconds=perf_counter() - began,
        risk=feedback.risk,
        risk_gap=feedback.gap,
        clamped=float(xp.mean(clamped)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class LimitedFeedback:
    """Feedback whose errors are limited.

    Attributes:
        lower: float64 [n, n], unit lower triangular: column k takes ``E_{>k} lower_{>k,k}``.
        risk: ``tr(M H M')`` for its inverse M.
        gap: the risk less a lower bound on that of any feedback within the limit.
    """

    lower: NDArray[np.float64]
    risk: float
    gap: float


def limited_feedback(hessian: NDArray[np.float64], limit: float) -> LimitedFeedback:
    """Minimise ``tr(M H M')`` over unit lower triangular M with column norms^2 up to 1 + limit.

    With multipliers lambda >= 0 of the limits the minimum over M is ``tr D`` of ``H + diag(lambda)
    = L D L'``, at ``M = L^-1``. The dual ``tr D - (1 + limit) sum(lambda)`` is concave and smooth,
    its gradient the norms^2 less ``1 + limit``, and is maximised by L-BFGS-B. Then M is drawn
    towards the identity until it keeps the limits.

    Arguments:
        hessian: [n, n], symmetric positive semidefinite.
        limit: >= 0.

    Raises:
        ModelError: the limit is negative, or H is no such matrix.
    """
    from scipy.optimize import minimize

    if not limit >= 0:
        raise ModelError(f"limit is {limit}; use a number >= 0, such as 0.5")
    n = len(hessian)
    size = float(np.mean(np.diagonal(hessian))) or 1.0
    hessian = hessian / size

    def negative_dual(multipliers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        ldl = block_ldl(hessian + np.diag(multipliers))
        slack = 1 + limit - np.sum(_inverse(ldl.lower) ** 2, axis=0)
        return (1 + limit) * np.sum(multipliers) - np.sum(ldl.blocks), slack

    plain = block_ldl(hessian)
    inverse, bound = _inverse(plain.lower), float(np.sum(plain.blocks))
    if limit == 0:
        inverse = np.eye(n)
        bound = float(np.trace(hessian))
    elif np.max(np.sum(inverse**2, axis=0)) > 1 + limit:
        found = minimize(
            negative_dual, np.ones(n), jac=True, method="L-BFGS-B", bounds=[(0, None)] * n,
            options={"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": 1e-14, "gtol": 1e-8},
        )  # fmt: skip
        bound = -float(found.fun)
        inverse = _inverse(block_ldl(hessian + np.diag(found.x)).lower)
        excess = float(np.max(np.sum(inverse**2, axis=0))) - 1
        if excess > limit:
            inverse = np.eye(n) + math.sqrt(limit / excess) * (inverse - np.eye(n))
    risk = float(np.sum((inverse @ hessian) * inverse))
    return LimitedFeedback(_inverse(inverse), risk * size, (risk - bound) * size)


def _inverse(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a unit lower triangular matrix."""
    from scipy.linalg import solve_triangular

    eye = np.eye(len(lower))
    return np.tril(solve_triangular(lower, eye, lower=True, unit_diagonal=True))


def _check_grid(grid: Any) -> None:
    """Refuse what is no grid.

    Raises:
        ModelError: says what it is.
    """
    if not isinstance(grid, Grid):
        raise ModelError(f"{grid!r} is no grid; use Grid(bits), or ldlq for other codebooks")
