"""Cycles found from many starts: where orbits end, and where Newton's method does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.cycles import Cycle, cycle_from, newton_cycles, proper_period
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.orbits import Settled, settle, tails
from quincunx.solvers.dynamics.smooth_map import StepMap, check_step

__all__ = ["find_cycles"]

GUESSES = 600  # for Newton's method, shared by the points of a cycle
LEAST_GUESSES = 24
BORDERS = 24  # points between basins
HALVINGS = 50  # to find one, to rounding
APPROACH = 500  # iterations that tell which cycle an orbit is drawn to
SHADOWED = 12  # iterations for which an orbit from there may follow an unstable cycle


def find_cycles(
    problem: StepMap,
    step: float,
    *,
    max_period: int = 8,
    starts: int = 1000,
    iterations: int = 20_000,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> tuple[Cycle, ...]:
    """Return the cycles of a map that are found from random starts, fixed points among them.

    Stable cycles are where orbits end, each verified by Newton's method and its multipliers;
    unstable ones are what Newton's method finds from pieces of orbits. There may be others:
    in one dimension :func:`quincunx.solvers.dynamics.all_cycles` proves that there are none.

    Arguments:
        problem: a :class:`Logistic`, or any map with derivatives.
        step: its step, > 0.
        max_period: of the cycles wanted, >= 1.
        starts: orbits, drawn by ``problem.starts``.
        iterations: of an orbit at most, before it is left as unresolved.
        seed: of the draw.
        report: called with the number of orbits that have ended, and of all.

    Returns:
        Cycles by period, stable ones first, each once; ``share`` tells how many starts a cycle is
        the end. If shares do not add up to 1, other orbits do not end in the given iterations: they
        are chaotic, slow, or of a longer period.

    Raises:
        ModelError: an argument is out of range, or the loss has no minimiser.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, find_cycles
        >>> problem = Logistic([1, -1, 1300], [5100, 4900, 1])
        >>> [(c.period, c.stable) for c in find_cycles(problem, 6, max_period=2)]
        [(1, True), (2, True), (2, False)]
    """
    step = check_step(step)
    counts = (max_period, starts, iterations, seed + 1)
    if not all(isinstance(count, int) and count >= 1 for count in counts):
        raise ModelError(
            f"max_period, starts, iterations and seed are {max_period}, {starts}, {iterations} and "
            f"{seed}; give whole numbers, at least 1 and for the seed at least 0"
        )
    if isinstance(problem, Logistic) and not problem.l2:
        problem.separability.refuse()
        inner = problem.within_span()
        if inner is not problem:
            found = find_cycles(
                inner,
                step,
                max_period=max_period,
                starts=starts,
                iterations=iterations,
                seed=seed,
                report=report,
            )
            return tuple(replace(c, points=c.points @ problem.span.T) for c in found)
    first = problem.starts(starts, step, seed)
    ends = settle(problem, step, first, max_period=max_period, iterations=iterations, report=report)
    known = list(ends.cycles)
    borders = _borders(problem, step, first, ends)
    for period in range(1, max_period + 1):
        for points in _by_newton(problem, step, first, borders, period):
            if not any(_same(points, c.points) for c in known):
                known.append(cycle_from(problem, step, points))
    return tuple(sorted(known, key=lambda c: (c.period, not c.stable, -c.share)))


def _by_newton(
    problem: StepMap, step: float, starts: Array, borders: Array, period: int
) -> list[Array]:
    """Return cycles of exactly this period that Newton's method finds from pieces of orbits."""
    many = max(LEAST_GUESSES, GUESSES // period) // 3
    guesses = []
    # Early pieces see the whole region, later ones what orbits do in the long run.
    for transient in (0, 3, 30):
        guesses.append(_pieces(problem, step, starts[:many], transient, period))
    if len(borders):
        guesses += [_pieces(problem, step, borders, t, period) for t in range(SHADOWED)]
    found, solved = newton_cycles(problem, step, np.concatenate(guesses))
    results: list[Array] = []
    for points in found[solved]:
        if proper_period(points) == period and not any(_same(points, r) for r in results):
            results.append(points)
    return results


def _pieces(problem: StepMap, step: float, starts: Array, transient: int, period: int) -> Array:
    """Return pieces of orbits [N, period, d] after some iterations."""
    found = tails(problem, step, starts, transient + period - 1, keep=period)
    return np.moveaxis(found, 0, 1)


def _borders(problem: StepMap, step: float, starts: Array, ends: Settled) -> Array:
    """Return points on the borders between basins, [at most BORDERS, d].

    Orbits from there follow the unstable cycle that parts the basins for a while, and may be all
    that leads to it: Newton's method converges to it from near by only.
    """
    points = [cycle.points for cycle in ends.cycles]
    if len(points) < 2:
        return starts[:0]
    first = ends.labels[:-1]
    pairs = np.flatnonzero((first >= 0) & (ends.labels[1:] >= 0) & (first != ends.labels[1:]))
    pairs = pairs[:BORDERS]
    a, b, label = starts[pairs], starts[pairs + 1], first[pairs]
    for _ in range(HALVINGS):
        middle = (a + b) / 2
        end = tails(problem, step, middle, APPROACH)[0]
        gaps = [np.abs(end[:, None] - each).max(2).min(1) for each in points]
        same = (np.argmin(gaps, axis=0) == label)[:, None]
        a, b = np.where(same, middle, a), np.where(same, b, middle)
    return a


def _same(a: Array, b: Array) -> bool:
    """Say whether two cycles are one, begun at whatever point."""
    if len(a) != len(b):
        return False
    scale = 1e-3 + float(np.abs(b).max())
    shifts = np.stack([np.roll(b, k, axis=0) for k in range(len(b))])
    return bool(np.abs(shifts - a).max((1, 2)).min() < 1e-7 * scale)
