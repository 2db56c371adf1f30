"""Maps that depend on one number: the step, a coordinate of the data, a multiplicity, the L2 term.

What :func:`~quincunx.solvers.dynamics.follow` follows cycles along.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.logistic import Exact, Logistic
from quincunx.solvers.dynamics.rationals import rational
from quincunx.solvers.dynamics.smooth_map import StepMap, check_step

__all__ = ["Family", "by_coordinate", "by_l2", "by_multiplicity", "by_step", "check_rank"]

NEWTON = 300


@dataclass(frozen=True, slots=True)
class Family:
    """A map and a step for every value of a parameter; all smooth in it.

    Arguments:
        at: takes the value; returns the problem and the step. Where there is none it raises
            :class:`ModelError`.
        name: of the parameter, for messages and axes.
        gamma: takes the value; returns step * sharpness, or NaN. None: there never is one.
    """

    at: Callable[[float], tuple[StepMap, float]]
    name: str = "parameter"
    gamma: Callable[[float], float] | None = None


def by_step(problem: StepMap) -> Family:
    """Return the family of one map whose parameter is the step."""
    sharpness = math.nan
    if isinstance(problem, Logistic):
        check_rank(problem)
        try:
            sharpness = problem.sharpness
        except ModelError:
            pass  # Separable: cycles can be followed, but there is no sharpness to relate them to.
    return Family(lambda value: (problem, value), "step", lambda value: value * sharpness)


def check_rank(problem: Logistic) -> None:
    """Refuse data on which cycles are not isolated, as the map moves nothing in some direction.

    Raises:
        ModelError: the points span fewer dimensions than they have, and there is no L2 term.
    """
    if not problem.l2 and problem.rank < problem.dimension:
        raise ModelError(
            f"the points span {problem.rank} of {problem.dimension} dimensions, and nothing moves "
            f"in the others: follow a cycle of problem.within_span()"
        )


def by_coordinate(
    problem: Logistic,
    point: int,
    coordinate: int = 0,
    *,
    step: float | None = None,
    gamma: float | None = None,
) -> Family:
    """Return the family whose parameter is a coordinate of a point, at a fixed step or gamma.

    Arguments:
        problem: the data; its own value of the coordinate has no meaning here.
        point: row of ``problem.points``, where equal points are one.
        coordinate: column.
        step: stays as it is.
        gamma: stays as it is, in place of the step, which is then gamma over the sharpness.

    Raises:
        ModelError: there is no such coordinate, or not exactly one of step and gamma is given.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.parameters import by_coordinate
        >>> family = by_coordinate(Logistic([1, -0.892, 300]), 1, gamma=1.2)
        >>> problem, step = family.at(-0.9)
        >>> problem.points[:, 0].tolist(), round(step * problem.sharpness, 12)
        ([1.0, -0.9, 300.0], 1.2)
    """
    n, d = problem.points.shape
    if not (0 <= point < n and 0 <= coordinate < d):
        raise ModelError(
            f"there is no coordinate {coordinate} of point {point}; points are [{n}, {d}], counted "
            f"from 0"
        )

    def change(exact: Exact, value: Fraction) -> Logistic:
        rows = [list(row) for row in exact.points]
        rows[point][coordinate] = value
        return Logistic(rows, exact.weights, float(exact.l2))

    return _changed(problem, change, f"z[{point}, {coordinate}]", step, gamma)


def by_multiplicity(
    problem: Logistic, point: int, *, step: float | None = None, gamma: float | None = None
) -> Family:
    """Return the family whose parameter is how often a point counts; see :func:`by_coordinate`.

    Raises:
        ModelError: there is no such point, or not exactly one of step and gamma is given.
    """
    n = len(problem.points)
    if not 0 <= point < n:
        raise ModelError(f"there is no point {point}; the {n} points are counted from 0")

    def change(exact: Exact, value: Fraction) -> Logistic:
        weights = list(exact.weights)
        weights[point] = value
        return Logistic(exact.points, weights, float(exact.l2))

    return _changed(problem, change, f"c[{point}]", step, gamma)


def by_l2(problem: Logistic, *, step: float | None = None, gamma: float | None = None) -> Family:
    """Return the family whose parameter is the L2 term; see :func:`by_coordinate`.

    Raises:
        ModelError: not exactly one of step and gamma is given.
    """

    def change(exact: Exact, value: Fraction) -> Logistic:
        return Logistic(exact.points, exact.weights, float(value))

    return _changed(problem, change, "l2", step, gamma)


def _changed(
    problem: Logistic,
    change: Callable[[Exact, Fraction], Logistic],
    name: str,
    step: float | None,
    gamma: float | None,
) -> Family:
    exact = problem.exact
    # Neighbouring values are asked for in turn, so that the minimiser found last is a good start.
    near = [np.zeros(problem.dimension)]

    def other(value: float) -> Logistic:
        return change(exact, rational(float(value), name))

    if step is not None and gamma is None:
        fixed = check_step(step)
        return Family(
            lambda value: (other(value), fixed),
            name,
            lambda value: fixed * _known(other(value), near),
        )
    if gamma is None or step is not None:
        raise ModelError("give one of step= and gamma=, the one that stays fixed")
    wanted = float(gamma)
    if not (math.isfinite(wanted) and wanted > 0):
        raise ModelError(f"gamma is {gamma!r}; give a number > 0")

    def at(value: float) -> tuple[StepMap, float]:
        found = other(value)
        return found, wanted / _sharpness(found, near)

    return Family(at, name, lambda value: wanted)


def _known(problem: Logistic, near: list[Array]) -> float:
    try:
        return _sharpness(problem, near)
    except ModelError:
        return math.nan


def _sharpness(problem: Logistic, near: list[Array]) -> float:
    """Return the sharpness by Newton's method from the minimiser of similar data, which it updates.

    Without a linear program, since a branch asks for it thousands of times; on separable data
    Newton's method runs off to infinity, which is an error here.
    """
    w, least = near[0], math.inf
    for _ in range(NEWTON):
        gradient = problem.gradient(w)
        hessian = problem.hessian(w)
        size = float(np.linalg.norm(gradient))
        try:
            move = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            break
        furthest = float(np.abs(problem.points @ move).max())
        if furthest < 1e-3 and (size >= least or not size):
            # The quadratic phase has ended in rounding.
            near[0] = w
            return float(np.linalg.eigvalsh(hessian)[-1])
        least = min(least, size)
        w = w - move / (1 + furthest if furthest >= 1e-3 else 1)
    raise ModelError(
        "no minimiser is found, so gamma has no meaning: are the points separable, or do they span "
        "fewer dimensions? Give step= in place of gamma="
    )
