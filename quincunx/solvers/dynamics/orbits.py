"""Orbits of many starts and steps at once, and where they end: verified, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.threads import in_rows
from quincunx.solvers.dynamics.contraction import Contraction, contraction
from quincunx.solvers.dynamics.cycles import Cycle, cycle_from, newton_cycles
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.smooth_map import StepMap, check_step

__all__ = ["Settled", "lyapunov", "orbit", "period_of", "settle", "spectrum", "tails"]

Report = Callable[[int, int], object]

WORK = 1 << 17  # sigmoids that are worth a thread
PIECE = 1 << 26  # sigmoids between two reports: a tenth of a second
ROWS = 1 << 14  # orbits at once where their tails are looked at
FIRST = 256  # iterations of the first round; each further one doubles them all
LOOKED_AT = 256  # tails that are searched for cycles in a round
TRIED = 24  # guesses of one period that Newton's method starts from in a round
ENTRIES = 1 << 22  # of the matrices of those guesses
# How near a tail must come to itself for a guess, relative to its spread. Only the loosest finds
# cycles that are approached slowly, only the tightest those that have just doubled their period.
RECURRENCES = (3e-2, 1e-3, 1e-6)
SAME = 1e-7  # relative distance of points of two computations of one cycle
NEARER = 0.9  # an orbit is followed until it must have come nearer to its cycle by this factor
ROUNDING = 1e-11  # relative distance to a cycle below which rounding may hide its attraction


def orbit(problem: StepMap, step: float, start: Array, iterations: int) -> Array:
    """Return a trajectory.

    Arguments:
        problem: the map.
        step: of it.
        start: [d].
        iterations: how many steps to take.

    Returns:
        Points [iterations + 1, d], from the start on.

    Raises:
        ModelError: a number is not what it should be.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.orbits import orbit
        >>> orbit(Logistic([1, -1], [4, 1]), 6.25, [0.0], 2).round(6).tolist()
        [[0.0], [1.875], [1.456027]]
    """
    points = np.asarray(start, np.float64).reshape(1, -1)
    return tails(problem, check_step(step), points, iterations, keep=iterations + 1)[:, 0]


def tails(
    problem: StepMap,
    steps: Array,
    starts: Array,
    iterations: int,
    *,
    keep: int = 1,
    report: Report | None = None,
) -> Array:
    """Return the last points of many orbits.

    Gradient descent on a logistic loss runs in compiled loops on all threads, others in NumPy.

    Arguments:
        problem: the map.
        steps: a number, or one an orbit [N].
        starts: [N, d], or [d] for one start at all steps.
        iterations: how many steps to take.
        keep: how many points to return, the start included if that is ``iterations + 1``.
        report: called now and then with how many orbits are done, and of how many.

    Returns:
        Points [keep, N, d]; the last are those after all iterations.

    Raises:
        ModelError: a step is not positive, a start not finite, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.orbits import tails
        >>> problem = Logistic([1, -1], [4, 1])
        >>> tails(problem, [6.25, 14.0], [1.0], 1000, keep=2)[:, :, 0].round(6).tolist()
        [[1.386294, 2.413771], [1.386294, 0.763571]]
    """
    each, w = _pairs(problem, steps, starts)
    if not 1 <= keep <= iterations + 1:
        raise ModelError(
            f"keep is {keep} at {iterations} iterations; give 1 to {iterations + 1} points to keep"
        )
    out = np.empty((keep, *w.shape))
    for first, last in _last_points(problem, each, w, iterations, out):
        if report is not None and last > first:
            report(last, len(w))
    return out


def _pairs(problem: StepMap, steps: Array, starts: Array) -> tuple[Array, Array]:
    """Return steps [N] and starts [N, d], checked."""
    d = problem.dimension
    w = np.asarray(starts, np.float64)
    if w.shape[-1:] != (d,) or w.ndim > 2 or not np.isfinite(w).all():
        raise ModelError(f"starts have shape {w.shape}; give finite ones [N, {d}], or [{d}]")
    each = np.asarray(steps, np.float64)
    if each.ndim > 1 or not (np.isfinite(each).all() and np.all(each > 0)):
        raise ModelError("steps must be a number or [N] numbers, all > 0")
    count = each.size if w.ndim == 1 else len(w)
    if each.ndim and each.size != count:
        raise ModelError(f"there are {each.size} steps and {count} starts; give one each")
    return (
        np.ascontiguousarray(np.broadcast_to(each, (count,))),
        np.ascontiguousarray(np.broadcast_to(w, (count, d))),
    )


def _last_points(
    problem: StepMap, steps: Array, w: Array, iterations: int, out: Array
) -> Iterator[tuple[int, int]]:
    """Write the last points [keep, N, d], and yield ranges of orbits as they are done."""
    loop = _compiled(problem, "descent")
    if loop is not None:
        yield from _by_blocks(problem, loop, steps, w, iterations, out)
        return
    begin = iterations + 1 - len(out)
    for first in range(0, len(w), ROWS):
        here, size = w[first : first + ROWS], steps[first : first + ROWS]
        with np.errstate(all="ignore"):
            for i in range(iterations + 1):
                if i:
                    here = problem.map(here, size)
                if i >= begin:
                    out[i - begin, first : first + ROWS] = here
        yield first, first + len(here)


def _compiled(problem: StepMap, name: str, *more: int) -> Callable[..., None] | None:
    """Return a compiled loop for a problem, or None where there is none."""
    if not isinstance(problem, Logistic):
        return None
    from quincunx.kernels.gradient_descent import _numba

    if problem.dimension > _numba.MOST_DIMENSIONS:
        return None
    found: Callable[..., None] = getattr(_numba, name)(problem.dimension, *more)
    return found


def _by_blocks(
    problem: Any, loop: Callable[..., None], steps: Array, w: Array, iterations: int, *last: Array
) -> Iterator[tuple[int, int]]:
    """Run a compiled loop on all blocks of orbits, and yield ranges of orbits as they are done."""
    from quincunx.kernels.gradient_descent._numba import LANES

    merged = problem.merged
    weighted = merged.directions * merged.weights[:, None]
    numbers = (merged.directions, weighted, merged.pull, merged.l2, iterations)
    blocks = -(-len(w) // LANES)
    work = LANES * max(iterations, 1) * len(weighted)
    piece, least = max(64, PIECE // work), max(1, WORK // work)
    for first in range(0, blocks, piece):
        count = min(piece, blocks - first)

        def run(low: int, high: int, at: int = first) -> None:
            loop(w, steps, *numbers, *last, at + low, at + high)

        in_rows(run, count, least=least)
        yield first * LANES, min((first + count) * LANES, len(w))


def lyapunov(
    problem: StepMap, steps: Array, starts: Array, iterations: int, burn_in: int = 1000
) -> Array:
    """Return the largest Lyapunov exponent of orbits, in nats an iteration.

    Arguments:
        problem: the map.
        steps: a number, or one an orbit [N].
        starts: [N, d], or [d].
        iterations: over how many the stretching is averaged.
        burn_in: iterations before those.

    Returns:
        [N]; below 0 where neighbours come together, -inf where a derivative was exactly 0.

    Raises:
        ModelError: as :func:`tails`.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.orbits import lyapunov
        >>> problem = Logistic([1, -1], [4, 1])
        >>> lyapunov(problem, [3.125, 14.0], [1.0], 1000).round(4)
        array([-0.6931, -1.0915])
    """
    return _stretchings(problem, steps, starts, iterations, burn_in, 1)[:, 0]


def spectrum(
    problem: StepMap, steps: Array, starts: Array, iterations: int, burn_in: int = 1000
) -> Array:
    """Return all Lyapunov exponents of orbits [N, d], the largest first; see :func:`lyapunov`.

    Tangent vectors are followed and made orthonormal at each step.

    Reference:
        Benettin, Galgani, Giorgilli and Strelcyn, "Lyapunov characteristic exponents for smooth
        dynamical systems and for Hamiltonian systems", Meccanica 15, 1980.
    """
    return _stretchings(problem, steps, starts, iterations, burn_in, problem.dimension)


def _stretchings(
    problem: StepMap, steps: Array, starts: Array, iterations: int, burn_in: int, count: int
) -> Array:
    each, w = _pairs(problem, steps, starts)
    if iterations < 1 or burn_in < 0:
        raise ModelError(f"iterations is {iterations} and burn_in {burn_in}; give >= 1 and >= 0")
    w = tails(problem, each, w, burn_in)[0]
    d = problem.dimension
    # Not along axes, which symmetric problems keep apart.
    seed = np.random.default_rng(0).normal(size=(d, d))
    first = np.linalg.qr(seed)[0].T[:count]
    tangents = np.ascontiguousarray(np.broadcast_to(first, (len(w), count, d)))
    tangents, logs = tangents.copy(), np.zeros((len(w), count))
    loop = _compiled(problem, "stretching", count)
    if loop is not None:
        w = w.copy()
        for _ in _by_blocks(problem, loop, each, w, iterations, tangents, logs):
            pass
        return logs / iterations
    with np.errstate(all="ignore"):
        for _ in range(iterations):
            moved = problem.jacobian(w, each) @ np.swapaxes(tangents, 1, 2)
            basis, triangle = np.linalg.qr(moved)
            tangents = np.swapaxes(basis, 1, 2)
            logs += np.log(np.abs(np.diagonal(triangle, axis1=1, axis2=2)))
            w = problem.map(w, each)
    return logs / iterations


def period_of(points: Array, max_period: int) -> int:
    """Return the least period at which a tail repeats, or 0.

    The tail's largest distance from itself, so many steps later, must be 1e-6 of its spread, or
    rounding. That is a guess: :func:`~quincunx.solvers.dynamics.cycles.cycle_from` tells whether a
    cycle is there.

    Arguments:
        points: [T, d], T >= 2.
        max_period: the longest period to look for; longer ones than T / 2 cannot be seen.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.orbits import orbit, period_of
        >>> problem = Logistic([1, -1], [4, 1])
        >>> [period_of(orbit(problem, eta, [1.0], 5000)[-64:], 16) for eta in (6, 14, 17, 30)]
        [1, 2, 4, 0]
    """
    tail = np.asarray(points, np.float64)
    if tail.ndim != 2 or len(tail) < 2:
        raise ModelError(f"points have shape {tail.shape}; give a tail [T, d] with T >= 2")
    return int(_least_periods(tail[:, None], max_period, RECURRENCES[-1:])[0, 0])


def _least_periods(tail: Array, max_period: int, tolerances: tuple[float, ...]) -> Array:
    """Return the least lags at which tails [T, N, d] repeat, for each tolerance [N, tolerances]."""
    lags = min(max_period, len(tail) // 2)
    spread = np.ptp(tail, axis=0).max(1)
    scale = ROUNDING * np.abs(tail).max((0, 2))
    found = np.zeros((tail.shape[1], len(tolerances)), dtype=np.int64)
    for lag in range(lags, 0, -1):
        gap = np.abs(tail[lag:] - tail[:-lag]).max((0, 2))
        for k, tolerance in enumerate(tolerances):
            found[gap <= np.maximum(tolerance * spread, scale), k] = lag
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where orbits end.

    Attributes:
        cycles: the stable cycles that orbits were seen to converge to, by falling share.
        labels: [N], which of them an orbit converges to; -1: not known, be it that the orbit is
            slow, chaotic, on an unstable cycle or one of a longer period, or on its way to
            infinity.
        steps_taken: [N], iterations after which that was known, or those tried.
    """

    cycles: tuple[Cycle, ...]
    labels: Array
    steps_taken: Array

    @property
    def unresolved(self) -> float:
        """The fraction of orbits whose end is not known."""
        return float(np.mean(self.labels < 0))


def settle(
    problem: StepMap,
    step: float,
    starts: Array,
    *,
    max_period: int = 64,
    iterations: int = 100_000,
    report: Report | None = None,
) -> Settled:
    """Find the stable cycles that orbits converge to, and which orbit goes where.

    Rounds of growing length; after each, near-recurrences of orbits are guesses for Newton's
    method, and only a cycle that it finds, with all multipliers within the unit circle, counts.
    Around it a neighbourhood is sought that ``T^p`` contracts, in a norm in which its derivative
    does. An orbit converges if it enters there and, iterated on, comes nearer at least at the rate
    of the neighbourhood, to 0.9 of the distance. So neither a slow transient nor a drift passes for
    a cycle. This is computed, not proved: a proof takes ``certify``.

    Arguments:
        problem: the map.
        step: of it.
        starts: [N, d].
        max_period: the longest period to find.
        iterations: after which an orbit is given up.
        report: called after each round with how many orbits need no more, and of how many.

    Returns:
        Cycles, with shares, and a label for each start.

    Raises:
        ModelError: as :func:`tails`.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.orbits import settle
        >>> problem = Logistic([1, -1, 1300], [5100, 4900, 1])
        >>> step = 1.5 / problem.sharpness
        >>> found = settle(problem, step, problem.starts(1000, step, 0))
        >>> sorted(cycle.period for cycle in found.cycles), found.unresolved
        ([1, 2], 0.0)
    """
    step = check_step(step)
    w = _pairs(problem, step, starts)[1]
    if max_period < 1 or iterations < 1:
        raise ModelError(f"max_period is {max_period}, iterations {iterations}; give both >= 1")
    if isinstance(problem, Logistic) and problem.span.shape[1] < problem.dimension:
        # What leaves the points' span stays as it is, and would count as a multiplier of 1.
        within, span = problem.within_span(), problem.span
        inner = settle(within, step, w @ span, max_period=max_period, iterations=iterations,
                       report=report)  # fmt: skip
        cycles = tuple(replace(c, points=c.points @ span.T) for c in inner.cycles)
        return replace(inner, cycles=cycles)
    known: list[_Basin] = []
    labels, taken = np.full(len(w), -1), np.zeros(len(w), dtype=np.int64)
    for first in range(0, len(w), ROWS):
        part = slice(first, first + ROWS)
        for left in _settle_some(
            problem, step, w[part], known, labels[part], taken[part], max_period, iterations
        ):
            if report is not None:
                report(min(first + ROWS, len(w)) - left, len(w))
    counts = np.bincount(labels[labels >= 0], minlength=len(known))
    order = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
    names = np.full(len(known) + 1, -1)
    names[order] = np.arange(len(order))
    cycles = tuple(replace(known[k].cycle, share=float(counts[k] / len(w))) for k in order)
    return Settled(cycles=cycles, labels=names[labels], steps_taken=taken)


def _settle_some(
    problem: StepMap,
    step: float,
    w: Array,
    known: list[_Basin],
    labels: Array,
    taken: Array,
    max_period: int,
    iterations: int,
) -> Iterator[int]:
    """Write labels of some orbits and iterations taken, and add to the cycles known.

    Yields how many are left after each round.
    """
    left = np.arange(len(w))
    done = 0
    while len(left) and done < iterations:
        more = min(max(done, FIRST), iterations - done)
        keep = min(2 * max_period, more) + 1
        tail = tails(problem, step, w, more, keep=keep)
        done += more
        taken[left] = done
        finite = np.isfinite(tail).all((0, 2))
        left, tail = left[finite], tail[:, finite]
        news = list(known)
        while len(left):
            for basin in news:
                ends = basin.holds(problem, tail, iterations)
                labels[left[ends]] = known.index(basin)
                left, tail = left[~ends], tail[:, ~ends]
            news = _new_basins(problem, step, tail, max_period, known) if len(left) else []
            if not news:
                break
            known.extend(news)
        w = np.ascontiguousarray(tail[-1])
        yield len(left)


def _new_basins(
    problem: StepMap, step: float, tail: Array, max_period: int, known: list[_Basin]
) -> list[_Basin]:
    """Return stable cycles near some tails [T, N, d] that are not known."""
    tail = tail[:, np.unique(np.linspace(0, tail.shape[1] - 1, LOOKED_AT).astype(int))]
    periods = _least_periods(tail, max_period, RECURRENCES)
    found: list[_Basin] = []
    for period in np.unique(periods[periods > 0]):
        rows = np.flatnonzero((periods == period).any(1))
        most = max(1, min(TRIED, ENTRIES // int(period * tail.shape[2]) ** 2))
        rows = rows[:: -(-len(rows) // most)]
        guesses = np.swapaxes(tail[-period:, rows], 0, 1)
        points, solved = newton_cycles(problem, step, guesses)
        for guess in points[solved]:
            if any(basin.has(guess[0]) for basin in (*known, *found)):
                continue
            try:
                cycle = cycle_from(problem, step, guess)
            except ModelError:
                continue
            basin = _basin(problem, cycle) if cycle.stable else None
            if basin is not None:
                found.append(basin)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Basin:
    """A stable cycle with a neighbourhood of its first point that ``T^p`` contracts."""

    cycle: Cycle
    ball: Contraction

    def has(self, point: Array) -> bool:
        """Whether a point is one of the cycle."""
        gaps = np.abs(self.cycle.points - point).max(1)
        return bool(gaps.min() <= SAME * _scale(self.cycle))

    def holds(self, problem: StepMap, tail: Array, most: int) -> Array:
        """Whether orbits converge to the cycle, by tails [T, N, d] of them."""
        p, rate = self.cycle.period, self.ball.rate
        found = np.zeros(tail.shape[1], dtype=bool)
        sizes = self.ball.sizes(tail[-p:])
        nearest = sizes.argmin(0)
        near = np.flatnonzero(sizes.min(0) <= self.ball.radius)
        if not len(near) or len(tail) < p:
            return found
        before = sizes[nearest[near], near]
        turns = max(1, min(int(np.ceil(np.log(NEARER) / np.log(rate))), most // p))
        after = self.ball.sizes(
            tails(problem, self.cycle.step, tail[nearest[near] - p, near], turns * p)[0]
        )
        rounding = ROUNDING * float(np.linalg.norm(self.ball.norm)) * _scale(self.cycle)
        found[near] = after <= np.maximum(rate**turns * before, rounding)
        return found


def _basin(problem: StepMap, cycle: Cycle) -> _Basin | None:
    """Return a cycle with its neighbourhood, or None if none is seen to be contracted."""
    product = np.eye(problem.dimension)
    for jacobian in problem.jacobian(cycle.points, cycle.step):
        product = jacobian @ product
    ball = contraction(
        lambda w: tails(problem, cycle.step, w, cycle.period)[0],
        cycle.points[0],
        product,
        _scale(cycle),
    )
    return None if ball is None else _Basin(cycle, ball)


def _scale(cycle: Cycle) -> float:
    return 1e-3 + float(np.abs(cycle.points).max())
