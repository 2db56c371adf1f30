"""A number that is known to lie between two exact ones."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.rationals import rational

__all__ = ["Enclosure", "enclose"]

SHOWN = 20  # digits that are printed
TAIL = 3  # of them at most between brackets, twice


@dataclass(frozen=True, slots=True)
class Enclosure:
    """An interval with fractions as ends, proved to hold a number.

    Arguments:
        low: the number is not below it.
        high: nor above it.

    Raises:
        ModelError: ``low > high``.

    Example:
        >>> from fractions import Fraction
        >>> from quincunx.solvers.dynamics.certify.enclosure import Enclosure
        >>> pi = Enclosure(Fraction("3.14159"), Fraction("3.14160"))
        >>> print(pi, pi.midpoint, "3.141592" in pi)
        3.141[590, 600] 3.141595 True
    """

    low: Fraction
    high: Fraction

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ModelError(
                f"an enclosure goes from {float(self.low)} to {float(self.high)}; give low <= high"
            )

    @property
    def midpoint(self) -> float:
        """The middle, rounded to a float."""
        return float((self.low + self.high) / 2)

    @property
    def width(self) -> float:
        """The distance of the ends, rounded to a float."""
        return float(self.high - self.low)

    def __contains__(self, value: Any) -> bool:
        """Whether a number, or all of another enclosure, is within; floats count as decimals."""
        if isinstance(value, Enclosure):
            return self.low <= value.low and value.high <= self.high
        return self.low <= rational(value) <= self.high

    def __float__(self) -> float:
        """Return the middle."""
        return self.midpoint

    def __str__(self) -> str:
        """Write the digits that both ends share and those in which they differ, or "a +/- b"."""
        if self.low == self.high == 0:
            return "0"
        size = max(abs(self.low), abs(self.high))
        if self.low <= 0 <= self.high:
            return f"0 +/- {_short(size)}"
        places = min(_places(self.high - self.low), SHOWN - 1 - _exponent(size))
        low, high = _floor(self.low, places), -_floor(-self.high, places)
        first, second = _digits(low, places), _digits(high, places)
        if first == second:
            return first
        pairs = enumerate(zip(first, second, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
        tails = first[same:], second[same:]
        if len(first) == len(second) and len(tails[0]) <= TAIL and "." not in tails[0]:
            return f"{first[:same]}[{tails[0]}, {tails[1]}]"
        # Digits carry: 0.1599..., 0.1600...
        middle = (low + high) // 2
        unit = Fraction(10) ** -places
        away = max(self.high - middle * unit, middle * unit - self.low)
        return f"{_digits(middle, places)} +/- {_short(away)}"

    def to_json(self) -> list[str]:
        """Return both ends, exactly, as strings."""
        return [_exact(self.low), _exact(self.high)]


def enclose(value: Any) -> Enclosure:
    """Return an enclosure with short decimals as ends around a ball, a little wider than it.

    Arguments:
        value: flint's ``arb``, finite.
    """
    from flint import ctx

    low, high = _dyadic(value.lower()), _dyadic(value.upper())
    size = max(abs(low), abs(high), Fraction(1, 10**9))
    # One unit more on both sides: the same number with other rounding shall lie within as well.
    places = _places(max(high - low, size / 2 ** int(ctx.prec)))
    unit = Fraction(1, 10**places) if places > 0 else Fraction(10**-places)
    return Enclosure((_floor(low, places) - 1) * unit, (1 - _floor(-high, places)) * unit)


def _dyadic(value: Any) -> Fraction:
    mantissa, exponent = (int(v) for v in value.man_exp())
    return Fraction(mantissa) * Fraction(2) ** exponent


def _exponent(value: Fraction) -> int:
    """Return e with ``10^e <= value < 10^(e + 1)``, for a positive number."""
    guess = int((value.numerator.bit_length() - value.denominator.bit_length()) * 0.30103) - 1
    while Fraction(10) ** (guess + 1) <= value:
        guess += 1
    while Fraction(10) ** guess > value:
        guess -= 1
    return guess


def _places(width: Fraction) -> int:
    """Return decimal places that show a width to two digits."""
    return 1 - _exponent(width) if width else SHOWN


def _floor(value: Fraction, places: int) -> int:
    return int((value * Fraction(10) ** places).__floor__())


def _digits(whole: int, places: int) -> str:
    if places <= 0:
        return str(whole * 10**-places)
    text = str(abs(whole)).rjust(places + 1, "0")
    return "-" * (whole < 0) + f"{text[:-places]}.{text[-places:]}"


def _short(value: Fraction) -> str:
    """Write a positive number to two digits, upwards."""
    exponent = _exponent(value)
    first = -_floor(-value, 1 - exponent)
    return f"{first / 10:.1f}e{exponent}"


def _exact(value: Fraction) -> str:
    """Write a fraction whose denominator divides a power of ten as a decimal, others as is."""
    twos = (value.denominator & -value.denominator).bit_length() - 1
    rest, fives = value.denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return str(value)
    places = max(twos, fives)
    return _digits(value.numerator * 10**places // value.denominator, places)
