"""Cycles as data, and Newton's method on all points of a cycle at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.smooth_map import StepMap, check_step

__all__ = ["Cycle", "cycle_from", "multipliers", "newton_cycles", "proper_period"]

NEAR = 1e-9  # relative distance at which two points of a cycle are taken for one
CLOSED = 1e-11  # relative size of Newton's last step
# Where the map itself is rounded by more, steps stop shrinking below this size.
ROUNDED, SHRINKS = 1e-6, 0.7
ITERATIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Points that a map visits in turn for ever.

    Attributes:
        points: [period, d], float64; the map takes each to the next, and the last to the first.
        step: of the map.
        multipliers: [d], complex, the largest first: eigenvalues of the ordered product of the
            derivatives, without those of directions in which the map moves nothing.
        residual: the largest distance of an image from the point it should be.
        share: of the starts tried, the fraction whose orbits ended here; 0 where none were run.
    """

    points: Array
    step: float
    multipliers: Array
    residual: float
    share: float = field(default=0.0)

    @property
    def period(self) -> int:
        """How many points there are, all distinct."""
        return len(self.points)

    @property
    def stable(self) -> bool:
        """Whether all multipliers are within the unit circle, so that orbits near by are drawn."""
        return bool(np.all(np.abs(self.multipliers) < 1))

    def __repr__(self) -> str:
        """Show period, stability and the first point."""
        sizes = ", ".join(_short(m) for m in self.multipliers[:3])
        first = ", ".join(f"{v:.6g}" for v in self.points[0])
        kind = "stable" if self.stable else "unstable"
        return f"Cycle({kind}, period {self.period}, multipliers {sizes}, through ({first}))"


def _short(value: complex) -> str:
    return f"{value.real:.6g}" if not value.imag else f"{value:.6g}"


def multipliers(problem: StepMap, step: float, points: Array) -> Array:
    """Return the eigenvalues [d] of ``DT(w_p-1) ... DT(w_0)``, the largest first.

    Arguments:
        problem: the map.
        step: of it.
        points: [period, d].
    """
    product = np.eye(points.shape[1])
    for jacobian in problem.jacobian(points, step):
        product = jacobian @ product
    found = np.linalg.eigvals(product).astype(complex)
    return found[np.argsort(-np.abs(found), kind="stable")]


def proper_period(points: Array) -> int:
    """Return the least period of points [p, d] that are visited in turn: a divisor of p."""
    p = len(points)
    scale = 1e-3 + float(np.abs(points).max())
    for q in range(1, p):
        if p % q == 0 and np.abs(points - np.roll(points, -q, axis=0)).max() <= NEAR * scale:
            return q
    return p


def newton_cycles(
    problem: StepMap, step: float | Array, guesses: Array, iterations: int = ITERATIONS
) -> tuple[Array, Array]:
    """Solve ``T(x_k) = x_(k+1)`` for all points of many cycles at once, by Newton's method.

    Unlike the equation ``T^p(x) = x``, this system does not multiply errors along the cycle.

    Arguments:
        problem: the map.
        step: of it, a number or one a guess [N].
        guesses: [N, period, d].
        iterations: at most.

    Returns:
        Points [N, period, d], and whether each solves its equations to rounding [N].
    """
    x = np.array(guesses, dtype=np.float64)
    count, p, d = x.shape
    steps = np.broadcast_to(np.asarray(step, np.float64), (count,))
    alive = np.ones(count, dtype=bool)
    solved = np.zeros(count, dtype=bool)
    before = np.full(count, np.inf)
    with np.errstate(all="ignore"):
        for _ in range(iterations):
            rows = np.flatnonzero(alive)
            if not len(rows):
                break
            flat, each = x[rows].reshape(-1, d), np.repeat(steps[rows], p)
            images = problem.map(flat, each).reshape(-1, p, d)
            residual = images - np.roll(x[rows], -1, axis=1)
            blocks = problem.jacobian(flat, each).reshape(-1, p, d, d)
            move = _solve_cyclic(blocks, residual)
            x[rows] -= move
            size = np.abs(move).max((1, 2))
            scale = 1e-3 + np.abs(x[rows]).max((1, 2))
            fine = np.isfinite(size) & (scale < 1e12)
            # At a fold steps are halved each time, so that they cannot be taken for rounding.
            stuck = (size <= ROUNDED * scale) & (size >= SHRINKS * before[rows])
            done = fine & ((size <= CLOSED * scale) | stuck)
            before[rows] = size
            solved[rows[done]] = True
            alive[rows[done | ~fine]] = False
    return x, solved


def _solve_cyclic(blocks: Array, residual: Array) -> Array:
    """Solve for moves ``m`` with ``J_k m_k - m_(k+1) = r_k``, cyclically; NaN where singular."""
    count, p, d = residual.shape
    matrix = np.zeros((count, p, d, p, d))
    places = np.arange(p)
    matrix[:, places, :, places, :] += np.moveaxis(blocks, 1, 0)
    matrix[:, places, :, (places + 1) % p, :] -= np.eye(d)
    matrix, rhs = matrix.reshape(count, p * d, p * d), residual.reshape(count, p * d, 1)
    try:
        return np.linalg.solve(matrix, rhs).reshape(count, p, d)
    except np.linalg.LinAlgError:
        found = np.full((count, p, d), np.nan)
        for i in range(count):
            try:
                found[i] = np.linalg.solve(matrix[i], rhs[i]).reshape(p, d)
            except np.linalg.LinAlgError:
                pass
        return found


def cycle_from(problem: StepMap, step: float, points: Array, share: float = 0.0) -> Cycle:
    """Refine points of a cycle, and measure it.

    Arguments:
        problem: the map.
        step: of it.
        points: [period, d], near a cycle.
        share: of starts that ended there.

    Returns:
        The cycle at its proper period: a fixed point repeated is a fixed point. It begins with its
        largest point.

    Raises:
        ModelError: no cycle is near; the points drift, or repeat nothing.
    """
    step = check_step(step)
    points = np.atleast_2d(np.asarray(points, np.float64))
    if points.ndim != 2 or points.shape[1] != problem.dimension or not np.isfinite(points).all():
        raise ModelError(
            f"points have shape {points.shape}; give finite ones [period, {problem.dimension}]"
        )
    found, solved = newton_cycles(problem, step, points[None])
    if not solved[0]:
        raise ModelError(
            f"no cycle of period {len(points)} is near the points given: Newton's method does not "
            f"converge from them. An orbit that moves slowly is not a cycle"
        )
    exact = found[0]
    period = proper_period(exact)
    if period < len(exact):
        exact = newton_cycles(problem, step, exact[None, :period])[0][0]
    # The largest point comes first, so that equal cycles have equal arrays.
    order = np.lexsort(np.round(exact, 9).T[::-1])
    exact = np.roll(exact, -int(order[-1]), axis=0)
    images = problem.map(exact, step)
    return Cycle(
        points=exact,
        step=step,
        multipliers=multipliers(problem, step, exact),
        residual=float(np.abs(images - np.roll(exact, -1, axis=0)).max()),
        share=share,
    )
