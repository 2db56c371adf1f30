"""Basins: which cycle draws which starting point."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.orbits import Settled, settle
from quincunx.solvers.dynamics.pictures.canvas import COLOURS, FAINT, Figure, blank, with_gamma
from quincunx.solvers.dynamics.smooth_map import StepMap, check_step

__all__ = ["basins"]


def basins(
    problem: StepMap,
    steps: float | Sequence[float] | Array,
    low: Sequence[float] | float,
    high: Sequence[float] | float,
    *,
    resolution: int = 200,
    max_period: int = 32,
    iterations: int = 20_000,
    report: Callable[[int, int], None] | None = None,
) -> Figure:
    """Draw which cycle each starting point converges to: of the plane, or of the line by step.

    Each orbit's end is verified as by :func:`settle`; what is not resolved is left white.

    Arguments:
        problem: the map, in one or two dimensions.
        steps: one step in two dimensions; in one, one or several, which are the horizontal axis.
        low: [d], a corner of the box of starts.
        high: [d], the opposite one.
        resolution: starts along an axis.
        max_period: of cycles that are recognised.
        iterations: of an orbit at most.
        report: called with the work done, and all.

    Returns:
        A figure of matplotlib.

    Raises:
        ModelError: there are more dimensions, or the box is empty.
        MissingExtraError: matplotlib is not installed.
    """
    d = problem.dimension
    corners = [np.broadcast_to(np.asarray(c, np.float64), (d,)) for c in (low, high)]
    if d > 2 or not np.all(corners[0] < corners[1]):
        raise ModelError(
            f"basins are drawn in one or two dimensions over a box with low < high; here are {d}, "
            f"from {low} to {high}"
        )
    some = np.array([check_step(step) for step in np.atleast_1d(steps)])
    if d == 2 and len(some) > 1:
        raise ModelError(f"in the plane basins are drawn for one step; here are {len(some)}")
    axes = [np.linspace(a, b, resolution) for a, b in zip(*corners, strict=True)]
    starts = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, d)
    found = []
    for number, step in enumerate(some):
        found.append(settle(problem, step, starts, max_period=max_period, iterations=iterations))
        if report is not None:
            report(number + 1, len(some))
    if d == 2:
        return _plane(found[0], corners, resolution)
    return _line(problem, some, found, corners)


def _image(labels: Array) -> Array:
    """Return colours [..., 3] of labels, white where unresolved."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(c) for c in COLOURS])
    return np.where((labels < 0)[..., None], 1.0, colours[labels % len(COLOURS)])


def _plane(found: Settled, corners: list[Array], resolution: int) -> Figure:
    figure, (ax,) = blank(width=6.2, height=5.2)
    image = _image(found.labels.reshape(resolution, resolution).T)
    ax.imshow(
        image,
        origin="lower",
        aspect="auto",
        extent=(corners[0][0], corners[1][0], corners[0][1], corners[1][1]),
        interpolation="nearest",
    )
    for number, cycle in enumerate(found.cycles):
        ax.plot(
            *cycle.points.T,
            "o",
            markersize=4,
            color=COLOURS[number % len(COLOURS)],
            markeredgecolor="white",
            label=f"period {cycle.period}: {cycle.share:.1%}",
        )
    ax.set(xlim=(corners[0][0], corners[1][0]), ylim=(corners[0][1], corners[1][1]))
    ax.set(xlabel="w[0]", ylabel="w[1]")
    if found.cycles:
        ax.legend(loc="upper right", framealpha=0.9)
    return figure


def _line(problem: StepMap, steps: Array, found: Sequence[Settled], corners: list[Array]) -> Figure:
    figure, (ax,) = blank()
    # One colour for a period, as cycles change from step to step.
    periods = sorted({cycle.period for each in found for cycle in each.cycles})
    place = {period: number for number, period in enumerate(periods)}
    columns = []
    for each in found:
        of = np.array([place[c.period] for c in each.cycles] or [0])
        columns.append(np.where(each.labels >= 0, of[each.labels], -1))
    half = (steps[-1] - steps[0]) / max(2 * (len(steps) - 1), 1) or 0.5
    ax.imshow(
        _image(np.stack(columns, 1)),
        origin="lower",
        aspect="auto",
        extent=(steps[0] - half, steps[-1] + half, corners[0][0], corners[1][0]),
        interpolation="nearest",
    )
    for period, number in place.items():
        ax.plot([], [], "s", color=COLOURS[number % len(COLOURS)], label=f"period {period}")
    ax.plot([], [], "s", color="white", markeredgecolor=FAINT, label="unresolved")
    ax.legend(loc="upper left", framealpha=0.9)
    ax.set(xlabel="step", ylabel="start w")
    if isinstance(problem, Logistic) and len(steps) > 1:
        with_gamma(ax, problem)
    return figure
