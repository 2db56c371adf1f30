"""The scale of a codebook, found by a search in one dimension."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from quincunx._types import Array
from quincunx.kernels.select import on_gpu
from quincunx.solvers.rounding.problem import Points, Problem, some_rows, with_scale

STEPS = 16  # an octave
STRIDES = (4, 1)  # first coarse steps, then fine ones
FURTHEST = 160  # steps up or down, ten octaves
AROUND = 3  # strides up and down that are tried at once, where one trial takes as long as many
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

    The rounding knows nothing of rows but their weights, so that on a GPU several scales are tried
    at once. Where all rows together have more of a loss than those that were tried, the largest
    errors are in others: numbers out of the codebook's range, which feedback makes larger still.
    The scale then climbs while the loss falls.

    Arguments:
        problem: its codebook's scale may be None.
        rounding: of a problem with a scale.
    """
    if problem.codebook.scale is not None:
        return problem, rounding(problem)
    # A few rows leave a GPU idle, which waits for one launch after the other.
    scale, expected = _of_some_rows(problem, rounding, together=on_gpu(problem.weights))
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


def _of_some_rows(
    problem: Problem, rounding: Callable[[Problem], Points], *, together: bool = False
) -> tuple[float, float]:
    """Return the scale of least loss on some rows, and the loss that all rows then should have.

    Arguments:
        problem: its codebook has no scale.
        rounding: of a problem with a scale, or, if scales are tried together, one for each tile.
        together: try several scales at once.
    """
    xp = problem.xp
    whole = float(xp.sum(problem.weights * problem.weights, dtype=xp.float64))
    if not whole:
        return NO_WEIGHTS, 0.0
    trial = getattr(problem.codebook, "trial", problem.codebook)
    sample = replace(problem, weights=some_rows(problem), codebook=trial)
    part = float(xp.sum(sample.weights * sample.weights, dtype=xp.float64))
    start = math.sqrt(whole / math.prod(problem.weights.shape)) * problem.codebook.unit_scale

    def one(scale: float) -> float:
        return rounding(with_scale(sample, scale)).loss

    def many(scales: Sequence[float]) -> list[float]:
        return _losses(sample, scales, rounding)

    scale, loss = best_scale(one, start, many if together else None)
    return scale, loss * whole / part if part else math.inf


def _losses(
    sample: Problem, scales: Sequence[float], rounding: Callable[[Problem], Points]
) -> list[float]:
    """Return the losses of several scales by one rounding, of the rows once for each."""
    xp, rows = sample.xp, sample.weights.shape[0]
    tiles = rows // sample.codebook.tile[0]
    given: Array = xp.asarray(
        [[scale] for scale in scales for _ in range(tiles)],
        dtype=sample.weights.dtype, device=sample.weights.device,
    )  # fmt: skip
    stacked = replace(
        with_scale(sample, given),
        weights=xp.concat([sample.weights] * len(scales)),
        shape=(rows * len(scales), sample.shape[1]),
    )
    errors = rounding(stacked).values - stacked.weights
    hessian = xp.astype(sample.hessian, errors.dtype, copy=False)
    found = xp.sum((errors @ hessian) * errors, axis=1, dtype=xp.float64)
    real = xp.reshape(found, (len(scales), rows))[:, : sample.shape[0]]
    return [float(loss) for loss in xp.sum(real, axis=1)]


def best_scale(
    loss: Callable[[float], float],
    start: float,
    losses: Callable[[Sequence[float]], list[float]] | None = None,
) -> tuple[float, float]:
    """Return the scale of least loss near ``start``, and that loss.

    The loss of a rounding is a rough function of the scale, so no derivative is of use: downhill
    in quarter octaves, then in sixteenths, then a parabola through the best and its neighbours.

    Arguments:
        loss: of a scale.
        start: > 0.
        losses: of several scales, where these take no longer than one.
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
            if losses and not {best - stride, best + stride} <= seen.keys():
                near = [best + stride * k for k in range(-AROUND, AROUND + 1)]
                new = [step for step in near if step not in seen]
                seen |= zip(new, losses([scale(step) for step in new]), strict=True)
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
