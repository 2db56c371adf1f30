"""Gradient descent in one dimension on intervals, with ranges that are exact but for rounding.

On the line only the scales ``s_k = |z_k|`` and weights ``q_k`` count:
``f'(w) = sum_k q_k s_k s(s_k w) - pull + l2 w``. f' rises, and f'' is even and falls in ``|w|``, so
that ``T = w - step f'`` rises, falls between ``-c`` and c with ``f''(c) = 1 / step``, and rises
again. The range of T on an interval therefore comes from the ends and at most two turns, and that
of T' from the ends and 0: nothing is lost when a box is followed for several steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.certify.balls import Ball, ball
from quincunx.solvers.dynamics.certify.enclosure import Enclosure, enclose
from quincunx.solvers.dynamics.logistic import Exact, Logistic
from quincunx.solvers.dynamics.rationals import rational

__all__ = ["PEAK_ABOVE", "Line", "Span", "Trap", "exact_step", "follow", "trap"]

# The largest t s(-t) is the x with x exp(x) = 1/e; this is above it, as a test shows.
PEAK_ABOVE = Fraction("0.278464542762")


class Span(NamedTuple):
    """An interval with exact ends."""

    low: Ball
    high: Ball

    @classmethod
    def of(cls, low: Fraction, high: Fraction) -> Span:
        """Make an interval that holds all between two fractions."""
        return cls(ball(low).lower(), ball(high).upper())

    @property
    def ball(self) -> Ball:
        """A ball that holds all of it."""
        return self.low.union(self.high)

    @property
    def middle(self) -> Ball:
        """An exact number within, or at an end where there is none between."""
        found = ((self.low + self.high) / 2).mid()
        return min(max(found, self.low), self.high)

    @property
    def width(self) -> Ball:
        """Not less than the distance between the ends."""
        return (self.high - self.low).upper()

    def overlaps(self, other: Span) -> bool:
        """Whether a number is in both."""
        return not (self.high < other.low or other.high < self.low)

    def within(self, other: Span) -> bool:
        """Whether all of this is in the other."""
        return bool(other.low <= self.low and self.high <= other.high)

    def enclosure(self) -> Enclosure:
        """Return short decimals a little outside."""
        return enclose(self.ball)

    def fractions(self) -> tuple[Fraction, Fraction]:
        """Return the ends."""
        return _fraction(self.low), _fraction(self.high)


def _fraction(exact: Ball) -> Fraction:
    mantissa, exponent = (int(v) for v in exact.man_exp())
    return Fraction(mantissa) * Fraction(2) ** exponent


def spanned(*balls: Ball) -> Span:
    """Return the interval from the lowest to the highest number of balls."""
    return Span(min(b.lower() for b in balls), max(b.upper() for b in balls))


def exact_step(step: Any) -> Fraction:
    """Return a step as a fraction.

    Raises:
        ModelError: it is not a positive number.
    """
    found = rational(step, "step")
    if found <= 0:
        raise ModelError(f"step is {step!r}; give a number > 0, such as '1.5'")
    return found


class Trap(NamedTuple):
    """An interval ``|w| <= radius`` that every orbit enters and stays in, and why.

    Attributes:
        radius: not below ``(PEAK_ABOVE + step pull^2 / 2) / restoring + step pull`` without an L2
            term, where it is above ``step pull / (1 - |1 - step l2|)``.
        restoring: the smaller of mean ``max(0, z)`` and mean ``max(0, -z)``.
        pull: mean ``|z|``, which no gradient of the loss without L2 term exceeds.
    """

    radius: Fraction
    restoring: Fraction
    pull: Fraction


def trap(exact: Exact, step: Fraction) -> Trap:
    """Return a trapping interval with a short radius, in fractions.

    Without L2 term ``w f'(w) >= restoring |w| - PEAK``, as ``-t s(-t) >= -PEAK`` where
    ``t = z w > 0``, and ``-t s(-t) >= -t - PEAK`` where ``t < 0``. Hence ``T(w)^2 <= w^2 -
    2 step (restoring |w| - PEAK) + step^2 pull^2``, and ``|w|`` falls beyond
    ``(PEAK + step pull^2 / 2) / restoring``, from within which one step adds at most ``step pull``.
    With an L2 term ``|T(w)| <= |1 - step l2| |w| + step pull``. Larger radii do as well.

    Raises:
        ModelError: nothing traps: the points are separable, or ``step l2 >= 2``.
    """
    total = sum(exact.weights)
    pairs = [(z[0], c / total) for z, c in zip(exact.points, exact.weights, strict=True)]
    ahead = sum((c * z for z, c in pairs if z > 0), Fraction(0))
    behind = sum((-c * z for z, c in pairs if z < 0), Fraction(0))
    restoring, pull = min(ahead, behind), ahead + behind
    if exact.l2:
        factor = abs(1 - step * exact.l2)
        if factor >= 1:
            raise ModelError(
                f"step * l2 is {float(step * exact.l2):g}: the L2 term alone throws w ever further."
                f" Use a step below {float(2 / exact.l2):g}"
            )
        radius = step * pull / (1 - factor)
    else:
        if not restoring:
            raise ModelError(
                "the points are separable: the loss falls for ever and nothing traps w. Add an L2 "
                "term (l2=0.01), or points on the other side"
            )
        radius = (PEAK_ABOVE + step * pull**2 / 2) / restoring + step * pull
    # Rounded up to ten binary digits, so that certificates are short.
    grain = Fraction(2) ** (_binary_exponent(radius) - 10)
    return Trap((radius // grain + 1) * grain, restoring, pull)


def _binary_exponent(value: Fraction) -> int:
    return value.numerator.bit_length() - value.denominator.bit_length()


@dataclass(frozen=True, slots=True)
class Line:
    """A problem in one dimension and a step, in balls of the precision at which this was made.

    Attributes:
        scales: ``s_k``, distinct.
        pushes: ``q_k s_k``.
        pull: of the gradient, ``sum q_k s_k`` over ``z_k > 0``.
        l2: the L2 term.
        step: of gradient descent.
        trap: the trapping interval.
        peak: ``f''(0)``, the largest of all.
        minimizer: encloses w*.
        gamma: encloses ``step f''(w*)``.
        turns: where T turns, each an interval that holds a critical point and the range of T on it;
            none within the trapping interval where T is monotone there.
    """

    scales: list[Ball]
    pushes: list[Ball]
    pull: Ball
    l2: Ball
    step: Ball
    trap: Trap
    peak: Ball
    minimizer: Span
    gamma: Span
    turns: tuple[tuple[Span, Span], ...]

    @classmethod
    def of(cls, problem: Logistic, step: Fraction) -> Line:
        """Enclose a problem, within :func:`~quincunx.solvers.dynamics.certify.balls.working`.

        Raises:
            ModelError: it has more than one dimension, no minimiser, or nothing that traps.
        """
        if problem.dimension != 1:
            raise ModelError(
                f"this is proved in one dimension, and the problem has {problem.dimension}; "
                f"certify(problem, step, cycle) proves cycles in any dimension"
            )
        trapped = trap(problem.exact, step)
        scales, pushes, pull = _merged(problem.exact)
        bare = cls(
            [ball(s) for s in scales],
            [ball(p) for p in pushes],
            ball(pull),
            ball(problem.exact.l2),
            ball(step),
            trapped,
            ball(sum((s * p for s, p in zip(scales, pushes, strict=True)), Fraction(0)) / 4)
            + ball(problem.exact.l2),
            Span(ball(0), ball(0)),
            Span(ball(0), ball(0)),
            (),
        )
        minimizer = _minimizer(bare, _guess(problem, float(trapped.radius)))
        return replace(
            bare,
            minimizer=minimizer,
            gamma=spanned(1 - bare.slope(minimizer)),
            turns=_turns(bare),
        )

    def derivatives(self, w: Ball) -> tuple[Ball, Ball]:
        """Return f' and f'' at an exact number."""
        first, second = self.l2 * w - self.pull, self.l2
        ahead = bool(w >= 0)
        for s, push in zip(self.scales, self.pushes, strict=True):
            t = s * w
            e = (-t if ahead else t).exp()
            u = 1 / (1 + e)
            first = first + push * (u if ahead else e * u)
            second = second + push * s * e * u * u
        return first, second

    def at(self, w: Ball) -> Ball:
        """Return T at an exact number."""
        return w - self.step * self.derivatives(w)[0]

    def move(self, x: Span) -> tuple[Span, Ball]:
        """Return the range of T on an interval, and a ball that holds that of T'."""
        f_low, s_low = self.derivatives(x.low)
        f_high, s_high = (f_low, s_low) if x.low == x.high else self.derivatives(x.high)
        image = spanned(x.low - self.step * f_low, x.high - self.step * f_high)
        for place, value in self.turns:
            if x.overlaps(place):
                image = Span(min(image.low, value.low), max(image.high, value.high))
        bends = s_low.union(s_high)
        if x.low <= 0 <= x.high:
            bends = bends.union(self.peak)
        return image, 1 - self.step * bends

    def image(self, x: Span) -> Span:
        """Return the range of T on an interval."""
        return self.move(x)[0]

    def slope(self, x: Span) -> Ball:
        """Return a ball that holds T' on an interval."""
        return self.move(x)[1]

    def higher(self, x: Span) -> tuple[Ball, Ball]:
        """Return balls that hold f''' and f'''' on an interval, from the range of every term."""
        third = fourth = ball(0)
        for s, push in zip(self.scales, self.pushes, strict=True):
            bend, twist = _logistic_ranges(s, x)
            third = third + push * s * s * bend
            fourth = fourth + push * s * s * s * twist
        return third, fourth

    def core(self) -> Span:
        """Return an interval that T maps into itself, and that holds w* and all cycles.

        Every step is towards w*, if perhaps too far. So the highest point of a cycle is the image
        of one below w*, and the lowest that of one above. Every orbit enters this interval or
        converges to w* from one side.
        """
        star = self.minimizer
        whole = Span.of(-self.trap.radius, self.trap.radius)
        low, high = whole
        for _ in range(6):
            # One after the other: each end is then right for the other, also as rounded.
            low = min(max(low, self.image(Span(star.low, high)).low), star.low)
            high = max(min(high, self.image(Span(low, star.high)).high), star.high)
        return Span(low, high)


def _merged(exact: Exact) -> tuple[list[Fraction], list[Fraction], Fraction]:
    """Return the distinct ``|z|``, ``q |z|``, and the sum of ``q z`` over z > 0."""
    total = sum(exact.weights)
    weights: dict[Fraction, Fraction] = {}
    pull = Fraction(0)
    for (z,), c in zip(exact.points, exact.weights, strict=True):
        weights[abs(z)] = weights.get(abs(z), Fraction(0)) + c / total
        pull += max(z, Fraction(0)) * c / total
    return list(weights), [s * q for s, q in weights.items()], pull


def _logistic_ranges(s: Ball, x: Span) -> tuple[Ball, Ball]:
    """Return s'' and s''' of the logistic function on an interval times s."""
    values = []
    for w in (x.low, x.high):
        ahead = bool(w >= 0)
        e = (-s * w if ahead else s * w).exp()
        u = 1 / (1 + e)
        v = e * u * u
        size = v * (1 - e) * u
        values.append((-size if ahead else size, v))
    (b_low, v_low), (b_high, v_high) = values
    bend, v = b_low.union(b_high), v_low.union(v_high)
    if x.low <= 0 <= x.high:
        v = v.union(ball(Fraction(1, 4)))
    # s'' turns where s' = 1/6, at +-log(2 + sqrt(3)), and is -+sqrt(3)/18 there.
    turn, extreme = (2 + ball(3).sqrt()).log() / s, ball(3).sqrt() / 18
    if not (x.high < turn or turn < x.low):
        bend = bend.union(-extreme)
    if not (x.high < -turn or -turn < x.low):
        bend = bend.union(extreme)
    # s''' = v (1 - 6 v) with v = s' turns where v = 1/12.
    twist = (v_low * (1 - 6 * v_low)).union(v_high * (1 - 6 * v_high))
    if x.low <= 0 <= x.high:
        twist = twist.union(ball(Fraction(-1, 8)))
    if v.overlaps(ball(Fraction(1, 12))):
        twist = twist.union(ball(Fraction(1, 24)))
    return bend, twist


def _minimizer(line: Line, guess: float) -> Span:
    """Enclose the zero of f', which rises: negative below, positive above."""
    centre, reach = ball(0) + guess, ball(2) ** -40
    for _ in range(2000):
        x = Span((centre - reach).lower(), (centre + reach).upper())
        if line.derivatives(x.low)[0] < 0 < line.derivatives(x.high)[0]:
            break
        reach = 2 * reach
    else:
        raise ModelError(
            "the minimiser could not be enclosed: the loss is too flat there; use more bits"
        )
    for _ in range(8 * _bits()):
        # Interval Newton steps, or halves, until rounding hides the sign.
        middle = x.middle
        first = line.derivatives(middle)[0]
        bends = (1 - line.slope(x)) / line.step
        found = middle - first / bends if bends > 0 else x.ball
        new = Span(max(x.low, found.lower()), min(x.high, found.upper()))
        if 2 * new.width > x.width:
            if first.contains(0):
                break
            new = Span(x.low, middle) if first > 0 else Span(middle, x.high)
        x = new
    # Wider than rounding: what is found with other bits or a better guess lies within.
    pad = (abs(x.middle) + 1 / max(s.mid() for s in line.scales)) * ball(2) ** (16 - _bits())
    return Span((x.low - pad).lower(), (x.high + pad).upper())


def _guess(problem: Logistic, radius: float) -> float:
    """Return the minimiser in double precision, however far apart the scales are."""

    def first(w: float) -> float:
        return float(problem.gradient(np.array([w]))[0])

    return float(brentq(first, -radius, radius, xtol=1e-300, rtol=1e-14, maxiter=2000))


def _turns(line: Line) -> tuple[tuple[Span, Span], ...]:
    """Enclose the critical points of T within the trapping interval, and its values there."""
    end = ball(line.trap.radius).upper()
    if line.step * line.peak <= 1 or line.step * line.derivatives(end)[1] > 1:
        return ()
    low, high = ball(0), end
    for _ in range(_bits() - 10):
        middle = Span(low, high).middle
        size = line.step * line.derivatives(middle)[1]
        if size > 1:
            low = middle
        elif size < 1:
            high = middle
        else:
            break
    place = Span(low, high)
    return tuple((x, _value(line, x)) for x in (place, Span(-high, -low)))


def _value(line: Line, x: Span) -> Span:
    """Return the range of T on an interval without knowing where it turns: f' rises."""
    below, above = line.derivatives(x.low)[0], line.derivatives(x.high)[0]
    return spanned(x.low - line.step * above, x.high - line.step * below)


def _bits() -> int:
    from flint import ctx

    return int(ctx.prec)


def follow(line: Line, x: Span, steps: int) -> tuple[list[Span], Ball]:
    """Return the ranges of an interval's images, itself the first, and the derivative of the last.

    The derivative is a product of ranges; where that holds 1, the third-order Taylor form is tried.
    """
    ranges, product = [x], ball(1)
    slopes = []
    for _ in range(steps):
        image, slope = line.move(ranges[-1])
        ranges.append(image)
        slopes.append(slope)
        product = product * slope
    if product.contains(1) and product.rad() < 16 and x.low < x.high:
        centred = _centred_derivative(line, ranges, slopes)
        if not centred.contains(1):
            return ranges, centred
    return ranges, product


def _centred_derivative(line: Line, ranges: list[Span], slopes: list[Ball]) -> Ball:
    """Return ``D(m) + D'(m) (x - m) + D''(x) (x - m)^2 / 2`` on the first range, D = (T^p)'."""
    middle = ranges[0].middle
    point = Span(middle, middle)
    first, second = ball(1), ball(0)
    for _ in slopes:
        image, slope = line.move(point)
        bend = -line.step * line.higher(point)[0]
        first, second = slope * first, bend * first * first + slope * second
        point = image
    one, two, three = ball(1), ball(0), ball(0)
    for x, slope in zip(ranges, slopes, strict=False):
        third, fourth = line.higher(x)
        bend, twist = -line.step * third, -line.step * fourth
        one, two, three = (
            slope * one,
            bend * one * one + slope * two,
            twist * one * one * one + 3 * bend * one * two + slope * three,
        )
    away = ranges[0].ball - middle
    # A square is nowhere negative: where D'' < 0 the bound stays below D(m).
    half = max(abs(away.lower()), abs(away.upper())) ** 2 / 2
    return first + second * away + three * ball(0).union(half)
