"""One run of gradient descent: loss, sharpness and distance along the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.orbits import orbit
from quincunx.solvers.dynamics.pictures.canvas import COLOURS, FAINT, INK, Figure, blank
from quincunx.solvers.dynamics.smooth_map import check_step

__all__ = ["trajectory"]


def trajectory(problem: Logistic, step: float, start: Any, *, iterations: int = 300) -> Figure:
    """Draw the loss, the sharpness and the distance to the minimiser along a run.

    The sharpness is shown as ``step * lambda_max(f''(w))``: above the line at 2 a step overshoots
    (the edge of stability). Kicks, where the loss rises above where it began and falls again (a
    catapult), are marked.

    Arguments:
        problem: with a minimiser.
        step: of gradient descent.
        start: [d].
        iterations: of the run.

    Returns:
        A figure of matplotlib.

    Raises:
        ModelError: the step is not positive, or there is no minimiser.
        MissingExtraError: matplotlib is not installed.

    Reference:
        Cohen and others, "Gradient Descent on Neural Networks Typically Occurs at the Edge of
        Stability", ICLR 2021; Lewkowycz and others, "The large learning rate phase of deep
        learning: the catapult mechanism", 2020.
    """
    step = check_step(step)
    path = orbit(
        problem, step, np.asarray(start, np.float64).reshape(problem.dimension), iterations
    )
    best = problem.minimizer()
    excess = problem.loss(path) - problem.loss(best)
    sharp = step * np.linalg.eigvalsh(problem.hessian(path))[:, -1]
    gaps = np.linalg.norm(path - best, axis=1)
    figure, axes = blank(3, height=6.0)
    times = np.arange(len(path))
    tiny = np.finfo(float).tiny
    for ax, values, name in zip(
        axes,
        (excess, sharp, gaps),
        ("loss above least", "step · sharpness", "|w − w*|"),
        strict=True,
    ):
        ax.plot(times, np.maximum(values, tiny), color=COLOURS[0], linewidth=1.0)
        ax.set_ylabel(name)
    axes[0].set_yscale("log")
    axes[2].set_yscale("log")
    kicks = np.flatnonzero((excess[1:-1] > excess[0]) & (excess[1:-1] > excess[:-2])) + 1
    axes[0].plot(kicks, excess[kicks], "v", color=COLOURS[3], markersize=4)
    axes[0].axhline(max(excess[0], tiny), color=FAINT, linewidth=0.8, linestyle=":")
    axes[1].axhline(2, color=INK, linewidth=0.8, linestyle="--")
    axes[1].axhline(step * problem.sharpness, color=FAINT, linewidth=0.8, linestyle=":")
    axes[2].set_xlabel("iteration")
    return figure
