"""The bifurcation diagram: where orbits end, for every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.orbits import tails
from quincunx.solvers.dynamics.pictures.canvas import COLOURS, FAINT, Figure, blank, with_gamma
from quincunx.solvers.dynamics.smooth_map import StepMap, check_step

__all__ = ["bifurcation", "critical_points"]

SPAN = (0.5, 3.0)  # of gamma, where no steps are given
COUNT = 1200


def bifurcation(
    problem: StepMap,
    steps: Sequence[float] | Array | None = None,
    *,
    starts: Array | None = None,
    iterations: int = 2000,
    keep: int = 120,
    coordinate: int = 0,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> Figure:
    """Draw the last points of orbits against the step.

    Each start has its own colour, so that attractors which exist side by side are seen. In one
    dimension two of the starts are the critical points of the map: where its Schwarzian derivative
    is negative, every attracting cycle draws one of them.

    Arguments:
        problem: the map.
        steps: those to show; None: 1,200 of gamma from 0.5 to 3.
        starts: [s, d]; None: a point near the minimiser, the critical points, and two random ones.
        iterations: before points are shown.
        keep: how many points of an orbit are shown.
        coordinate: which number of a point is drawn.
        seed: of random starts.
        report: called with the orbits done, and all.

    Returns:
        A figure of matplotlib.

    Raises:
        ModelError: a step is not positive, or the map has no such coordinate.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, bifurcation
        >>> problem = Logistic([1, -1], [4, 1])
        >>> figure = bifurcation(problem, [11, 12, 13, 14, 15], iterations=100)
        >>> figure.get_axes()[0].get_xlabel()
        'step'
    """
    if not 0 <= coordinate < problem.dimension:
        raise ModelError(
            f"coordinate is {coordinate}; the map has {problem.dimension}, counted from 0"
        )
    if steps is None:
        if not isinstance(problem, Logistic):
            raise ModelError("give the steps to show: only logistic problems have a range of steps")
        steps = np.linspace(*SPAN, COUNT) / problem.sharpness
    some = np.array([check_step(step) for step in steps])
    figure, (ax,) = blank()
    groups = _starts(problem, some, starts, seed)
    done = 0
    for number, each in enumerate(groups):
        ends = tails(problem, some, each, iterations + keep, keep=keep)[:, :, coordinate]
        shown = np.where(np.isfinite(ends), ends, np.nan)
        ax.plot(
            np.tile(some, len(shown)),
            shown.ravel(),
            ",",
            color=COLOURS[number % len(COLOURS)],
            alpha=0.6,
            rasterized=True,
        )
        done += len(some)
        if report is not None:
            report(done, len(some) * len(groups))
    if isinstance(problem, Logistic) and some[0] <= problem.critical_step <= some[-1]:
        ax.axvline(problem.critical_step, color=FAINT, linewidth=0.8, linestyle=":")
    ax.set_xlabel("step")
    ax.set_ylabel("w" if problem.dimension == 1 else f"w[{coordinate}]")
    with_gamma(ax, problem)
    return figure


def critical_points(problem: Logistic, steps: Array) -> Array:
    """Return where the derivative of the map vanishes in one dimension: c >= 0, and -c as well.

    Arguments:
        problem: in one dimension.
        steps: [N].

    Returns:
        c [N]; NaN where the map is monotone.
    """
    low, high = np.zeros(len(steps)), np.ones(len(steps))

    def bend(w: Array) -> Array:
        return problem.derivatives(w)[1]

    goal = 1 / np.asarray(steps)
    some: Array = (bend(low) > goal) & (problem.l2 < goal)
    for _ in range(1100):
        more = some & (bend(high) > goal)
        if not more.any():
            break
        high = np.where(more, 2 * high, high)
    for _ in range(100):
        middle = (low + high) / 2
        above = bend(middle) > goal
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(some, (low + high) / 2, np.nan)


def _starts(problem: StepMap, steps: Array, given: Array | None, seed: int) -> list[Array]:
    """Return groups of starts, one for each step, [N, d] each."""
    shape = (len(steps), problem.dimension)
    if given is not None:
        points = np.asarray(given, np.float64).reshape(-1, problem.dimension)
        return [np.broadcast_to(point, shape).copy() for point in points]
    groups: list[Array] = []
    if isinstance(problem, Logistic):
        near = problem.minimizer()
        groups.append(np.broadcast_to(near + 1e-3 * (1 + np.abs(near)), shape).copy())
        if problem.dimension == 1:
            critical = critical_points(problem, steps)
            for way in (critical, -critical):
                filled: Array = np.where(np.isfinite(way), way, near)
                groups.append(filled[:, None])
    for number in range(2):
        drawn = [problem.starts(2, step, seed)[number] for step in steps[[0, -1]]]
        part = np.linspace(0, 1, len(steps))[:, None]
        groups.append((1 - part) * drawn[0] + part * drawn[1])
    return groups
