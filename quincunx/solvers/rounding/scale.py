"""The scale of a codebook, found by a search in one dimension."""

import math
from collections.abc import Callable
from dataclasses import replace

from quincunx.solvers.rounding.problem import Points, Problem, some_rows, with_scale

STEPS = 16  # an octave
STRIDES = (4, 1)  # first coarse steps, then fine ones
FURTHEST = 160  # steps up or down, ten octaves
NO_WEIGHTS = 1e-12  # the scale for weights that are all zero
SURPRISE = 1.1  # how much more than expected a loss is before the scale climbs
CLIMB = 2.0**0.125  # the ratio of scales tried on the whole problem
MOST_CLIMBS = 4


def scaled(problem: Problem, rounding: Callable[[Problem], Points]) -> Problem:
    """Return the problem with a scale for its codebook: its own, or the one of least loss.

    The loss is that of the rounding itself, feedback and all, on up to 64 rows: rows are
    independent, so that they stand for the others. A codebook that has a quicker one for trials,
    ``codebook.trial``, is tried by that.

    Arguments:
        problem: its codebook's scale may be None.
        rounding: of a problem with a scale.
    """
    if problem.codebook.scale is not None:
        return problem
    scale, _ = _of_some_rows(problem, rounding)
    return with_scale(problem, scale)


def rounded_at_scale(
    problem: Problem, rounding: Callable[[Problem], Points]
) -> tuple[Problem, Points]:
    """Return the problem with a scale, as :func:`scaled` does, and what it is rounded to.

    Where all rows together have more of a loss than those that were tried, the largest errors are
    in others: numbers out of the codebook's range, which feedback makes larger still. The scale
    then climbs while the loss falls.

    Arguments:
        problem: its codebook's scale may be None.
        rounding: of a problem with a scale.
    """
    if problem.codebook.scale is not None:
        return problem, rounding(problem)
    scale, expected = _of_some_rows(problem, rounding)
    problem = with_scale(problem, scale)
    found = rounding(problem)
    return (
        climbed(problem, found, rounding) if found.loss > SURPRISE * expected else (problem, found)
    )


def climbed(
    problem: Problem, found: Points, rounding: Callable[[Problem], Points]
) -> tuple[Problem, Points]:
    """Try larger scales while the loss falls; return the best, and what it rounds to.

    Arguments:
        problem: with a scale.
        found: what it is rounded to.
        rounding: of a problem with a scale.
    """
    for _ in range(MOST_CLIMBS):
        larger = with_scale(problem, problem.codebook.scale * CLIMB)
        other = rounding(larger)
        if not other.loss < found.loss:
            break
        problem, found = larger, other
    return problem, found


def _of_some_rows(problem: Problem, rounding: Callable[[Problem], Points]) -> tuple[float, float]:
    """Return the scale of least loss on some rows, and the loss that all rows then should have."""
    xp = problem.xp
    whole = float(xp.sum(problem.weights * problem.weights, dtype=xp.float64))
    if not whole:
        return NO_WEIGHTS, 0.0
    trial = getattr(problem.codebook, "trial", problem.codebook)
    sample = replace(problem, weights=some_rows(problem), codebook=trial)
    part = float(xp.sum(sample.weights * sample.weights, dtype=xp.float64))
    start = math.sqrt(whole / math.prod(problem.weights.shape)) * problem.codebook.unit_scale
    scale, loss = best_scale(lambda scale: rounding(with_scale(sample, scale)).loss, start)
    return scale, loss * whole / part if part else math.inf


def best_scale(loss: Callable[[float], float], start: float) -> tuple[float, float]:
    """Return the scale of least loss near ``start``, and that loss.

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
        return scale(best), least
    shift = min(max((below - above) / (2 * bend), -0.5), 0.5)
    vertex = scale(best + shift)
    there = loss(vertex)
    return (vertex, there) if there < least else (scale(best), least)
