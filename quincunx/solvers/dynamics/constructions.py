"""Data and a step for which gradient descent cycles, at a gamma of one's choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.cycles import Cycle, cycle_from
from quincunx.solvers.dynamics.families import (
    Design,
    equal_norm,
    hinge_kick,
    padded,
    planar,
    rounded,
    tail_kick,
)
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.rationals import rational, written

__all__ = ["Construction", "construct"]

FAMILIES: dict[str, Callable[[float], Design]] = {
    "tail": tail_kick,
    "hinge": hinge_kick,
    "planar": planar,
    "equal-norm": equal_norm,
}
# Between which gammas designs keep to numbers that floats can tell apart.
REACH = {
    "tail": (1.001, 1.99999),
    "hinge": (1.00001, 1.99999),
    "planar": (0.00001, 1.99999),
    "equal-norm": (1.5, 1.999),
}
HOW = {
    "tail": "one point of the cycle lies on the tail of the steep point's sigmoid",
    "hinge": "the steep point pulls only from the cycle's negative point",
    "planar": "the steep points' hinges bound a cone that the cycle jumps over",
    "equal-norm": "all points have one norm; the cycle jumps over the flat middle of the loss",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Construction:
    """A logistic regression on which gradient descent can cycle though its minimiser is stable.

    Attributes:
        problem: the data, in whole numbers and short decimals.
        step: exact, a short decimal; step times sharpness is within 1e-6 of gamma.
        gamma: that was asked for.
        cycle: stable in floating point; :func:`~quincunx.solvers.dynamics.certify` proves it.
        family: how it is made.
        margin: 1 less the size of the largest multiplier: what is left until stability is lost.
        saturation: the least ``|z w|`` over steep points z, at the minimiser and at the points of
            the cycle: their sigmoids differ from 0 or 1 by ``exp(-saturation)``. Large for hinges;
            the tail kick lives of a moderate one. None where no point is steep.
    """

    problem: Logistic
    step: Fraction
    gamma: Fraction
    cycle: Cycle
    family: str
    margin: float
    saturation: float | None

    def __str__(self) -> str:
        """Explain the data, the step and the cycle in a few lines."""
        exact, found = self.problem.exact, self.cycle
        d = self.problem.dimension
        rows = [
            f"{_tuple(z)} x {written(c)}" for z, c in zip(exact.points, exact.weights, strict=True)
        ]
        visits = " -> ".join(_floats(w) for w in found.points)
        minimum = _floats(self.problem.minimizer())
        saturated = "" if self.saturation is None else f", saturation {self.saturation:.3g}"
        return "\n".join(
            [
                f"A stable cycle of period {found.period} at gamma = step * sharpness ="
                f" {written(self.gamma)}, in {d} dimension{'s' * (d > 1)}",
                f"points      {', '.join(rows)}",
                f"step        {written(self.step)}, sharpness {self.problem.sharpness:.12g}",
                f"minimiser   {minimum}, stable as gamma < 2",
                f"cycle       {visits} -> ...",
                f"multipliers {', '.join(f'{m:.6g}' for m in _plain(found.multipliers))}",
                f"margin      {self.margin:.3g} until stability is lost{saturated}",
                f"family      {self.family}: {HOW[self.family]}",
            ]
        )


def _plain(values: Array) -> list[Any]:
    return [complex(v) if v.imag else float(v.real) for v in values]


def _tuple(point: tuple[Fraction, ...]) -> str:
    return written(point[0]) if len(point) == 1 else f"({', '.join(map(written, point))})"


def _floats(w: Array) -> str:
    # An even coordinate is 0 up to rounding.
    clean = [f"{v:.8g}" for v in np.where(np.abs(w) < 1e-12 * np.abs(w).max(), 0.0, w)]
    return clean[0] if len(clean) == 1 else f"({', '.join(clean)})"


def construct(gamma: Any, dimension: int = 1, *, family: str | None = None) -> Construction:
    """Construct data on which gradient descent has a stable cycle, at a given gamma.

    In one dimension there are cycles below the critical gamma of 2 exactly for gamma > 1; in two
    and more for every gamma > 0.

    Arguments:
        gamma: the step times the sharpness at the minimiser; a number or a string such as "1.5".
            In one dimension between 1 and 2, in more between 0 and 2.
        dimension: d, >= 1; the points span all of it, so that the minimiser is unique.
        family: in one dimension "tail" (three points, once each: the default from 1.001 on) or
            "hinge" (points 1, -1 and M with multiplicities); in more "planar" (the default) or
            "equal-norm" (all points have one norm; gamma from 1.5). More than two dimensions are
            filled up with pairs ``+-e_k``, along which the cycle does not move.

    Raises:
        ModelError: there is no such cycle, or none that the family has in numbers of sensible size.

    Example:
        >>> from quincunx.solvers.dynamics import construct
        >>> print(construct(1.5))
        A stable cycle of period 2 at gamma = step * sharpness = 1.5, in 1 dimension
        points      1 x 1, -0.6977 x 1, 52 x 1
        step        12.53697914, sharpness 0.119646047388
        minimiser   0.41140435, stable as gamma < 2
        cycle       1.5321137 -> 0.10422684 -> ...
        multipliers -0.117124
        margin      0.883 until stability is lost, saturation 5.42
        family      tail: one point of the cycle lies on the tail of the steep point's sigmoid

    Reference:
        Meng, Orvieto, Cao and De Sa, "Gradient descent on logistic regression with non-separable
        data and large step sizes", 2024, arXiv:2406.05033, for the claims; the families are this
        library's own.
    """
    exact = rational(gamma, "gamma")
    name = _family(exact, dimension, family)
    low, high = REACH[name]
    value = float(exact)
    if not low <= value <= high:
        raise ModelError(
            f"gamma is {written(exact)}; the family {name!r} keeps to numbers of sensible size for "
            f"gamma from {low:g} to {high:g}{_other(name, value)}"
        )
    return _measured(padded(FAMILIES[name](value), dimension), exact, name)


def _family(gamma: Fraction, dimension: int, family: str | None) -> str:
    """Return the family to use, or say why there is none."""
    if not isinstance(dimension, int) or dimension < 1:
        raise ModelError(f"dimension is {dimension!r}; give a whole number >= 1")
    if gamma <= 0:
        raise ModelError(f"gamma is {written(gamma)}; a step is positive, so give a gamma > 0")
    if gamma >= 2:
        raise ModelError(
            f"gamma is {written(gamma)}; give one below 2. From there on the minimiser itself is "
            f"unstable, and what gradient descent does instead is seen by running it on any data"
        )
    if dimension == 1 and gamma <= 1:
        raise ModelError(
            f"gamma is {written(gamma)}: in one dimension gradient descent then converges from "
            f"every start, on all data, so that no cycle exists. Give a gamma between 1 and 2, or "
            f"dimension=2"
        )
    fitting = ("tail", "hinge") if dimension == 1 else ("planar", "equal-norm")
    if family is None:
        return "hinge" if dimension == 1 and gamma < Fraction(str(REACH["tail"][0])) else fitting[0]
    if family not in fitting:
        known = "" if family in FAMILIES else ", which is unknown"
        raise ModelError(
            f"family is {family!r}{known}; in {dimension} dimension{'s' * (dimension > 1)} give "
            f"{fitting[0]!r} or {fitting[1]!r}"
        )
    return family


def _other(name: str, gamma: float) -> str:
    """Name a family of the same dimensions that reaches this gamma."""
    other = {"tail": "hinge", "equal-norm": "planar"}.get(name)
    if other is None or not REACH[other][0] <= gamma <= REACH[other][1]:
        return ", though cycles exist beyond"
    return f". Use family {other!r}"


def _measured(design: Design, gamma: Fraction, name: str) -> Construction:
    """Round the step, refine the cycle and measure what is left of its stability."""
    problem = design.problem()
    step = rounded(float(gamma) / problem.sharpness, design.digits)
    cycle = cycle_from(problem, float(step), design.guess)
    margin = 1 - float(np.abs(cycle.multipliers).max())
    off = abs(float(step) * problem.sharpness - float(gamma))
    if cycle.period != 2 or not margin > 0 or off > 1e-7:
        raise ModelError(
            f"the family {name!r} gave no stable cycle at gamma = {written(gamma)}; please report "
            f"this, and use another family"
        )
    places = np.concatenate([problem.minimizer()[None], cycle.points])
    steep = problem.points[list(design.outliers)]
    return Construction(
        problem=problem,
        step=step,
        gamma=gamma,
        cycle=cycle,
        family=name,
        margin=margin,
        saturation=float(np.abs(places @ steep.T).min()) if design.outliers else None,
    )
