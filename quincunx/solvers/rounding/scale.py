"""The scale of a codebook, found by a search in one dimension."""

import math
from collections.abc import Callable
from dataclasses import replace

from quincunx.solvers.rounding.problem import Points, Problem, some_rows, with_scale

STEPS = 16  # an octave
STRIDES = (4, 1)  # first coarse steps, then fine ones
FURTHEST = 160  # steps up or down, ten octaves
NO_WEIGHTS = 1e-12  # the scale for weights that are all zero


def scaled(problem: Problem, rounding: Callable[[Problem], Points]) -> Problem:
    """Return the problem with a scale for its codebook: its own, or the one of least loss.

    The loss is that of the rounding itself, feedback and all, on up to 64 rows: rows are
    independent, so that they stand for the others.

    Arguments:
        problem: its codebook's scale may be None.
        rounding: of a problem with a scale.
    """
    if problem.codebook.scale is not None:
        return problem
    sample = replace(problem, weights=some_rows(problem))
    xp = problem.xp
    size = math.sqrt(float(xp.mean(problem.weights * problem.weights)))
    if not size:
        return with_scale(problem, NO_WEIGHTS)
    start = size * problem.codebook.unit_scale
    best = best_scale(lambda scale: rounding(with_scale(sample, scale)).loss, start)
    return with_scale(problem, best)


def best_scale(loss: Callable[[float], float], start: float) -> float:
    """Return the scale of least loss near ``start``.

    The loss of a rounding is a rough function of the scale, so no derivative is of use: downhill
    in quarter octaves, then in sixteenths, then a parabola through the best and its neighbours.

    Arguments:
        loss: of a scale.
        start: > 0.
    """
    seen: dict[int, float] = {}

    def scale(step: float) -> float:
        return start * math.exp2(step / STEPS)

    def at(step: int) -> float:
        if step not in seen:
            seen[step] = loss(scale(step))
        return seen[step]

    best, last = 0, -1
    for stride in STRIDES:
        while best != last and abs(best) < FURTHEST:
            last, best = best, min((best, best - stride, best + stride), key=at)
        last = -1
    below, least, above = at(best - 1), at(best), at(best + 1)
    bend = below - 2 * least + above
    if not (bend > 0 and math.isfinite(bend)):
        return scale(best)
    shift = min(max((below - above) / (2 * bend), -0.5), 0.5)
    vertex = scale(best + shift)
    return vertex if loss(vertex) < least else scale(best)
