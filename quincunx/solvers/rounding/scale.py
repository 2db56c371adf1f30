"""The scale of a codebook, found by a search in one dimension."""

import math
from collections.abc import Callable
from dataclasses import replace

from quincunx.solvers.rounding.problem import Points, Problem, some_rows, with_scale

COARSE, FINE = 0.25, 0.0625  # octaves between neighbouring scales
FIRST = (-3, 5)  # coarse steps around the scale that suits normal weights
FURTHEST = 40  # coarse steps up or down, ten octaves
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
    """Return the scale of least loss among some around ``start``.

    The loss of a rounding is a rough function of the scale, so no derivative is of use: quarter
    octaves around the start, and on while the best of them is the outermost; sixteenths around the
    best; then a parabola through the best and its neighbours.

    Arguments:
        loss: of a scale.
        start: > 0.
    """
    coarse = {
        step: loss(start * math.exp2(COARSE * step)) for step in range(FIRST[0], FIRST[1] + 1)
    }
    while True:
        best = min(coarse, key=coarse.__getitem__)
        beyond = [side for side in (best - 1, best + 1) if side not in coarse]
        if not beyond or abs(best) >= FURTHEST:
            break
        coarse[beyond[0]] = loss(start * math.exp2(COARSE * beyond[0]))
    center = start * math.exp2(COARSE * best)
    fine = {step: loss(center * math.exp2(FINE * step)) for step in (-3, -2, -1, 1, 2, 3)}
    fine[0] = coarse[best]
    step = min(fine, key=fine.__getitem__)
    for side in (step - 1, step + 1):
        if side not in fine:
            fine[side] = loss(center * math.exp2(FINE * side))
    below, least, above = fine[step - 1], fine[step], fine[step + 1]
    bend = below - 2 * least + above
    if not (bend > 0 and math.isfinite(bend)):
        return center * math.exp2(FINE * step)
    shift = min(max((below - above) / (2 * bend), -0.5), 0.5)
    vertex = center * math.exp2(FINE * (step + shift))
    return vertex if loss(vertex) < least else center * math.exp2(FINE * step)
