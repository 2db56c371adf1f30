"""Branches of cycles: how they move with a parameter, where they are stable, what they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.pictures.canvas import COLOURS, INK, Figure, blank

if TYPE_CHECKING:
    from quincunx.solvers.dynamics.continuation import Branch

__all__ = ["branches"]

MARKS = {"flip": "D", "fold": "s", "neimark-sacker": "^"}


def branches(*lines: Branch, coordinate: int = 0) -> Figure:
    """Draw branches of cycles: solid where stable, dashed where not, with their bifurcations.

    Arguments:
        lines: what :func:`quincunx.solvers.dynamics.follow` returned.
        coordinate: which number of the points is drawn.

    Returns:
        A figure of matplotlib.

    Raises:
        ModelError: no branch is given.
        MissingExtraError: matplotlib is not installed.
    """
    if not lines:
        raise ModelError("give at least one branch, as follow() returns them")
    figure, (ax,) = blank()
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        period = line.points.shape[1]
        for k in range(period):
            values = line.points[:, k, coordinate]
            for stable, style in ((True, "-"), (False, "--")):
                # A piece ends at its neighbour's first point, so that no gap is seen.
                shown = line.stable == stable
                shown = shown | np.roll(shown, 1) & (np.arange(len(shown)) > 0)
                ax.plot(
                    line.parameter,
                    np.where(shown, values, np.nan),
                    style,
                    color=colour,
                    linewidth=1.3 if stable else 0.9,
                    label=f"period {period}" if stable and not k else None,
                )
        for event in line.events:
            points = event.cycle.points[:, coordinate]
            ax.plot(
                np.full(len(points), event.parameter),
                points,
                MARKS.get(event.kind, "o"),
                color=INK,
                markersize=4,
            )
    for kind in dict.fromkeys(event.kind for line in lines for event in line.events):
        ax.plot([], [], MARKS.get(kind, "o"), color=INK, markersize=4, label=kind)
    ax.legend(frameon=False)
    ax.set(xlabel=lines[0].name, ylabel=f"w[{coordinate}]" if lines[0].points.shape[2] > 1 else "w")
    return figure
