"""A search for small data sets on which gradient descent cycles, at a gamma as low as may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from scipy.special import expit

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.cycles import Cycle, cycle_from
from quincunx.solvers.dynamics.families import rounded
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.rationals import written
from quincunx.solvers.dynamics.trapping import PEAK

__all__ = ["Found", "Search", "search"]

BATCH = 64  # data sets whose orbits run at once
STARTS = 12
PERIODS = 40  # the longest period looked for
STABLE = 0.98  # largest multiplier of a cycle that counts
LINE, PLANE = 600, 4000  # steps of an orbit; in the plane cycles are longer
MOST_POINTS = 60
ROUNDS = 120  # of lowering gamma

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Data, a step and a stable cycle.

    Attributes:
        problem: in short decimals.
        step: likewise.
        gamma: the step times the sharpness.
        cycle: refined by Newton's method, of a period over 1, all multipliers within the unit
            circle.
    """

    problem: Logistic
    step: Fraction
    gamma: float
    cycle: Cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search came to.

    Attributes:
        found: of the lowest gamma; None where nothing was found, which proves nothing.
        points: of each data set, equal ones counted.
        tries: data sets drawn.
        cycling: how many of them had a verified stable cycle.
    """

    found: Found | None
    points: int
    tries: int
    cycling: int

    def __str__(self) -> str:
        """Say what was found, and of how many tries."""
        tried = f"{self.tries} data sets of {self.points} points"
        if self.found is None:
            return f"No stable cycle was found on {tried}; that proves nothing"
        exact, cycle = self.found.problem.exact, self.found.cycle
        rows = "; ".join(
            f"{', '.join(map(written, z))} x {written(c)}"
            for z, c in zip(exact.points, exact.weights, strict=True)
        )
        size = float(np.abs(cycle.multipliers[0]))
        return (
            f"gamma {self.found.gamma:.9g}: a stable cycle of period {cycle.period}, largest "
            f"multiplier {size:.3g}, at step {written(self.found.step)} on points {rows} (the best "
            f"of {tried}, {self.cycling} of which cycle)"
        )


class _Shape(Protocol):
    """Data sets with some parameters, for which logarithms of sizes are used."""

    def draw(self, rng: np.random.Generator) -> Array:
        """Return parameters [k]."""

    def rows(self, parameters: Array) -> Array:
        """Return points [n, d] for parameters [k]."""

    @property
    def weights(self) -> Array:
        """Multiplicities [n]."""

    @property
    def orbit(self) -> int:
        """Steps until a cycle is reached, as a rule."""


@dataclass(frozen=True, slots=True)
class _Line:
    """Points 1 and others once each in one dimension; parameters are logarithms of magnitudes."""

    signs: Array

    def draw(self, rng: np.random.Generator) -> Array:
        # Moderate ones, and steep ones that kick.
        moderate = rng.normal(0, 1.0, len(self.signs) - 1)
        steep = rng.uniform(1.5, 6.5, len(moderate))
        return np.where(rng.random(len(moderate)) < 0.5, steep, moderate)

    def rows(self, parameters: Array) -> Array:
        return (self.signs * np.exp(np.append(0.0, parameters)))[:, None]

    @property
    def weights(self) -> Array:
        return np.ones(len(self.signs))

    @property
    def orbit(self) -> int:
        return LINE


@dataclass(frozen=True, slots=True)
class _Kite:
    """Points ``(0, 1)`` B+ times, ``(0, -1)`` B- times and ``(+-m, h)``; parameters log m, log h.

    The few-point cycles known drift down along y while x chatters, until a kick throws y back.
    """

    up: int
    down: int

    def draw(self, rng: np.random.Generator) -> Array:
        steep = rng.uniform(2.5, 5.5)
        return np.array([steep, steep + rng.uniform(-2.0, -0.5)])

    def rows(self, parameters: Array) -> Array:
        m, h = np.exp(parameters)
        return np.array([[0, 1], [0, -1], [m, h], [-m, h]])

    @property
    def weights(self) -> Array:
        return np.array([self.up, self.down, 1.0, 1.0])

    @property
    def orbit(self) -> int:
        return PLANE


@dataclass(frozen=True, slots=True)
class _Candidate:
    shape: _Shape
    parameters: Array
    gamma: float
    cycle: Cycle

    @property
    def size(self) -> float:
        """The largest multiplier: with its sign on a line, as a modulus otherwise."""
        first = self.cycle.multipliers[0]
        return float(first.real) if len(self.cycle.multipliers) == 1 else float(abs(first))


def search(
    dimension: int = 1,
    points: int | None = None,
    *,
    gamma_below: float = 2.0,
    seed: int = 0,
    tries: int = 512,
    report: Report | None = None,
) -> Search:
    """Search data sets of few points for a stable cycle other than the minimiser.

    Data sets are drawn at random, at a random gamma, and orbits are run from several starts. What
    they end in counts only if Newton's method finds a cycle there, its period is over 1 and its
    multipliers are within the unit circle: slow convergence and drifts do not count. Then gamma is
    lowered step by step, with the data adjusted so that the cycle stays stable.

    Arguments:
        dimension: 1: points once each, of free magnitudes. 2: points ``(0, 1)``, ``(0, -1)`` some
            times each, and ``(+-m, h)``.
        points: how many, equal ones counted; None: the fewest for which something is found.
        gamma_below: look only below this gamma; at most 2.
        seed: of the draw.
        tries: data sets drawn for each number of points.
        report: called with the data sets done, and all, for each number of points.

    Returns:
        The best data set in short decimals, or that there was none, with the number of tries.

    Raises:
        ModelError: an argument is out of range.

    Example:
        >>> from quincunx.solvers.dynamics.data_search import search
        >>> print(search(1, 2, tries=64))
        No stable cycle was found on 64 data sets of 2 points; that proves nothing
    """
    low = _check(dimension, points, gamma_below, tries)
    least = {1: 2, 2: 4}[dimension]
    numbers = range(least, MOST_POINTS) if points is None else (points,)
    for count in numbers:
        rng = np.random.default_rng([seed, dimension, count])
        result = _with_points(dimension, count, (low, gamma_below), rng, tries, report)
        if result.found is not None:
            break
    return result


def _check(dimension: int, points: int | None, gamma_below: float, tries: int) -> float:
    """Return the lowest gamma to draw."""
    if dimension not in (1, 2):
        raise ModelError(
            f"dimension is {dimension!r}; give 1 or 2: pairs +-e_k carry data over to more"
        )
    least = 2 if dimension == 1 else 4
    if points is not None and not (isinstance(points, int) and least <= points <= MOST_POINTS):
        raise ModelError(f"points is {points!r}; give None or from {least} to {MOST_POINTS}")
    low = 1.0 if dimension == 1 else 0.0
    if not low < gamma_below <= 2:
        raise ModelError(
            f"gamma_below is {gamma_below!r}; in {dimension} dimension{'s' * (dimension > 1)} give "
            f"one over {low:g} and up to 2: cycles lie between"
        )
    if not isinstance(tries, int) or tries < 1:
        raise ModelError(f"tries is {tries!r}; give a whole number >= 1")
    return low


def _with_points(
    dimension: int,
    count: int,
    gammas: tuple[float, float],
    rng: np.random.Generator,
    tries: int,
    report: Report | None,
) -> Search:
    """Search data sets of one number of points."""
    best: Found | None = None
    cycling = 0
    for begin in range(0, tries, BATCH):
        size = min(BATCH, tries - begin)
        shape = _shape(dimension, count, rng)
        found = list(_cycling(shape, size, gammas, rng))
        cycling += len(found)
        # The lowest of a batch is the likeliest to go lower still.
        for candidate in sorted(found, key=lambda each: each.gamma)[:2]:
            exact = _shortened(_lowered(candidate, gammas[0], rng))
            if exact is not None and (best is None or exact.gamma < best.gamma):
                best = exact
        if report is not None:
            report(begin + size, tries)
    return Search(found=best, points=count, tries=tries, cycling=cycling)


def _shape(dimension: int, count: int, rng: np.random.Generator) -> _Shape:
    if dimension == 1:
        signs = np.append(1.0, rng.choice([-1.0, 1.0], count - 1))
        if signs.min() > 0:
            signs[1] = -1.0
        return _Line(signs)
    down = int(rng.integers(1, max(2, (count - 2 + 1) // 2)))
    return _Kite(count - 2 - down, down)


def _cycling(
    shape: _Shape, size: int, gammas: tuple[float, float], rng: np.random.Generator
) -> Iterator[_Candidate]:
    """Yield those of some random data sets whose orbits end in a verified stable cycle."""
    drawn = [shape.draw(rng) for _ in range(size)]
    points = np.stack([shape.rows(each) for each in drawn])
    # Rather near the upper end, where cycles are easier to find; they are followed down from there.
    gamma = gammas[0] + (gammas[1] - gammas[0]) * np.sqrt(rng.random(size))
    stars, sharpness = _minima(points, shape.weights)
    steps = gamma / sharpness
    # From how far one step comes, over three decades.
    shares = shape.weights / shape.weights.sum()
    reach = steps * (np.linalg.norm(points, axis=2) * shares).max(1)
    ways = rng.normal(size=(size, STARTS, points.shape[2]))
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    starts = ways * (reach[:, None] * 10 ** rng.uniform(-3, 0, (size, STARTS)))[..., None]
    trails = _trails(points, shape, steps, starts)
    for k, parameters in enumerate(drawn):
        cycle = _verified(points[k], shape.weights, float(steps[k]), trails[:, k], stars[k])
        if cycle is not None:
            yield _Candidate(shape, parameters, float(gamma[k]), cycle)


def _minima(points: Array, weights: Array) -> tuple[Array, Array]:
    """Return minimisers [K, d] and sharpness [K] of data sets [K, n, d], by bisection.

    In the plane data are even in x, so that minimisers have x = 0.
    """
    shares = weights / weights.sum()
    z = points[:, :, -1]
    # |w| <= PEAK / r at the minimiser, with r the restoring slope of the line.
    slope = np.minimum(np.maximum(z, 0) @ shares, np.maximum(-z, 0) @ shares)
    high = PEAK / slope
    low = -high
    for _ in range(90):
        middle = (low + high) / 2
        falls = (expit(-middle[:, None] * z) * z) @ shares > 0
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    stars = np.zeros((len(points), points.shape[2]))
    stars[:, -1] = (low + high) / 2
    t = stars[:, -1:] * z
    bends = expit(t) * expit(-t) * shares
    hessians = np.einsum("kn,kni,knj->kij", bends, points, points)
    return stars, np.linalg.eigvalsh(hessians)[:, -1]


def _trails(points: Array, shape: _Shape, steps: Array, starts: Array) -> Array:
    """Return the ends [PERIODS + 1, K, STARTS, d] of orbits on K data sets [K, n, d]."""
    shares = shape.weights / shape.weights.sum()
    pulls = points * (steps[:, None, None] * shares[:, None])
    across = points.transpose(0, 2, 1).copy()
    w, ends = starts, []
    for number in range(shape.orbit + PERIODS + 1):
        if number >= shape.orbit:
            ends.append(w)
        w = w + expit(-(w @ across)) @ pulls
    return np.stack(ends)


def _verified(
    points: Array, weights: Array, step: float, trail: Array, star: Array
) -> Cycle | None:
    """Return a stable cycle of a period over 1 that an orbit [PERIODS + 1, STARTS, d] ends in."""
    for orbit in trail.transpose(1, 0, 2):
        scale = float(np.abs(orbit).max())
        if np.abs(orbit[-1] - star).max() < 1e-6 * scale:
            continue
        back = np.abs(orbit[1:] - orbit[0]).max(1) < 1e-6 * scale
        if not back.any():
            continue
        guess = orbit[: int(np.argmax(back)) + 1]
        cycle = _stable(Logistic(points, weights), step, guess, star)
        if cycle is not None:
            return cycle
    return None


def _near(problem: Logistic, step: float, guess: Array, star: Array) -> Cycle | None:
    """Return the cycle near a guess, if it is of this period and not the minimiser."""
    try:
        cycle = cycle_from(problem, step, guess)
    except ModelError:
        return None
    # Rounding must not make a cycle of the minimiser.
    apart = np.abs(cycle.points - star).max() > 1e-6 * np.abs(cycle.points).max()
    return cycle if 1 < cycle.period == len(guess) and apart else None


def _stable(problem: Logistic, step: float, guess: Array, star: Array) -> Cycle | None:
    """Return the cycle near a guess, if it is stable besides."""
    cycle = _near(problem, step, guess, star)
    return cycle if cycle is not None and abs(cycle.multipliers[0]) < STABLE else None


def _moved(old: _Candidate, parameters: Array, gamma: float) -> _Candidate | None:
    """Return the cycle continued to other data, stable or not, or None where it is lost."""
    rows, weights = old.shape.rows(parameters), old.shape.weights
    stars, sharpness = _minima(rows[None], weights)
    step = gamma / float(sharpness[0])
    cycle = _near(Logistic(rows, weights), step, old.cycle.points, stars[0])
    return None if cycle is None else _Candidate(old.shape, parameters, gamma, cycle)


def _lowered(candidate: _Candidate, floor: float, rng: np.random.Generator) -> _Candidate:
    """Lower gamma as long as the cycle can be kept stable."""
    best, stride = candidate, 0.05
    slopes = _slopes(best)
    path = np.zeros(len(best.parameters))
    for _ in range(ROUNDS):
        if stride < 1e-4:
            break
        gamma = floor + (best.gamma - floor) * (1 - stride)
        # Moves that went well are continued, as the way down is a long narrow valley.
        wander = 3 * stride * (rng.normal(size=len(path)) + path)
        trial = _corrected(best, slopes, wander, gamma)
        if trial is None:
            stride, path = stride * 0.8, path * 0.8
        else:
            path = 0.5 * path + 0.5 * (trial.parameters - best.parameters) / stride
            path /= max(1.0, float(np.linalg.norm(path)) / 3)
            best, stride = trial, min(0.3, stride * 1.5)
            slopes = _slopes(best)
    return best


def _slopes(here: _Candidate) -> Array:
    """Return derivatives [k + 1] of the multiplier by the parameters, and by gamma."""
    small = 1e-7
    found = np.zeros(len(here.parameters) + 1)
    for i in range(len(found)):
        for _ in range(3):
            moves = np.zeros(len(found))
            moves[i] = small
            there = _moved(here, here.parameters + moves[:-1], here.gamma + moves[-1])
            if there is not None:
                found[i] = (there.size - here.size) / small
                break
            small /= 10
    return found


def _corrected(old: _Candidate, slopes: Array, wander: Array, gamma: float) -> _Candidate | None:
    """Move data at random, and back along the multiplier's slope to where the cycle is stable.

    The multiplier depends on the data so strongly that a random move by itself loses stability.
    """
    along, strength = slopes[:-1], float(slopes[:-1] @ slopes[:-1])
    if not strength:
        return None
    # On a line 0 is furthest from both ends of stability; a modulus is 0 at best.
    wanted = 0.0 if len(old.cycle.multipliers) == 1 else min(old.size, 0.9)
    excess = old.size - wanted + float(slopes[-1]) * (gamma - old.gamma) + float(along @ wander)
    parameters = old.parameters + wander
    for _ in range(4):
        parameters = parameters - along * (excess / strength)
        trial = _moved(old, parameters, gamma)
        if trial is None:
            return None
        if abs(trial.size) < 0.95:
            return trial
        excess = trial.size - wanted
    return None


def _shortened(candidate: _Candidate) -> Found | None:
    """Write data and step in as few digits as keep the cycle stable, and verify it anew."""
    for digits in range(2, 17):
        rows = [
            tuple(rounded(float(v), digits) for v in row)
            for row in candidate.shape.rows(candidate.parameters)
        ]
        problem = Logistic(rows, candidate.shape.weights)
        step = rounded(candidate.gamma / problem.sharpness, max(6, digits))
        cycle = _stable(problem, float(step), candidate.cycle.points, problem.minimizer())
        if cycle is not None:
            gamma = float(step) * problem.sharpness
            return Found(problem=problem, step=step, gamma=gamma, cycle=cycle)
    return None
