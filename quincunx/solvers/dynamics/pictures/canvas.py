"""What all pictures of dynamics share: a blank figure, colours, and the two axes of steps."""

from __future__ import annotations

from typing import Any, TypeAlias

from quincunx._errors import ModelError, need_extra
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.smooth_map import StepMap

__all__ = ["COLOURS", "FAINT", "INK", "Figure", "blank", "in_one_dimension", "with_gamma"]

Figure: TypeAlias = Any
"""``matplotlib.figure.Figure``."""

INK, FAINT = "#22303c", "#9aa7b1"
# Told apart also by those who see few colours (Okabe and Ito).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8a6d00", "#22303c")


def blank(rows: int = 1, *, width: float = 7.0, height: float = 4.2) -> tuple[Figure, Any]:
    """Return a figure and its axes, one below the other; sizes in inches. No window is opened.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    need_extra("matplotlib", "plots", "a picture")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def with_gamma(ax: Any, problem: StepMap) -> None:
    """Add an axis above for ``gamma = step * lambda``, where the problem has a sharpness."""
    if not isinstance(problem, Logistic):
        return
    sharpness = problem.sharpness
    above = ax.secondary_xaxis(
        "top", functions=(lambda step: step * sharpness, lambda gamma: gamma / sharpness)
    )
    above.set_xlabel("gamma = step · lambda")


def in_one_dimension(problem: StepMap, what: str) -> None:
    """Refuse a map of more dimensions.

    Raises:
        ModelError: it has more.
    """
    if problem.dimension != 1:
        raise ModelError(f"{what} shows maps of one dimension; here are {problem.dimension}")
