"""The cobweb: an orbit of a map of the line between its graph and the diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quincunx.solvers.dynamics.cycles import Cycle
from quincunx.solvers.dynamics.orbits import orbit
from quincunx.solvers.dynamics.pictures.canvas import (
    COLOURS,
    FAINT,
    INK,
    Figure,
    blank,
    in_one_dimension,
)
from quincunx.solvers.dynamics.smooth_map import StepMap, check_step

__all__ = ["cobweb"]

DOTS = 1000  # of the map's graph


def cobweb(
    problem: StepMap,
    step: float,
    start: Any,
    *,
    iterations: int = 60,
    cycles: Sequence[Cycle] = (),
) -> Figure:
    """Draw a map of the line, its diagonal, and an orbit that goes from one to the other.

    Arguments:
        problem: the map, in one dimension.
        step: its step.
        start: where the orbit begins, a number.
        iterations: of the orbit.
        cycles: to mark.

    Returns:
        A figure of matplotlib.

    Raises:
        ModelError: the map has more dimensions, or the step is not positive.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, cobweb
        >>> figure = cobweb(Logistic([1, -1], [4, 1]), 14, 0.1)
    """
    in_one_dimension(problem, "a cobweb")
    step = check_step(step)
    figure, (ax,) = blank(width=5.2, height=5.2)
    path = orbit(problem, step, np.reshape(start, 1), iterations)[:, 0]
    path = path[np.isfinite(path)]
    marks = [c.points[:, 0] for c in cycles]
    seen = np.concatenate([path, *marks])
    room = 0.08 * (np.ptp(seen) or 1.0)
    low, high = seen.min() - room, seen.max() + room
    line = np.linspace(low, high, DOTS)
    ax.plot(line, line, color=FAINT, linewidth=0.8)
    ax.plot(line, problem.map(line[:, None], step)[:, 0], color=INK, linewidth=1.4)
    ax.plot(
        np.repeat(path, 2)[:-1],
        np.concatenate([path[:1], np.repeat(path[1:], 2)]),
        color=COLOURS[0],
        linewidth=0.8,
    )
    for number, points in enumerate(marks):
        hollow = not cycles[number].stable
        colour = COLOURS[1 + number % (len(COLOURS) - 1)]
        ax.plot(
            points,
            np.roll(points, -1),
            "o",
            color=colour,
            markerfacecolor="none" if hollow else colour,
            label=f"period {cycles[number].period}, {'un' * hollow}stable",
        )
    if marks:
        ax.legend(frameon=False)
    ax.set(xlabel="w", ylabel="T(w)", xlim=(low, high), ylim=(low, high))
    return figure
