"""Numbers as exact fractions: what theorems are stated with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from quincunx._errors import ModelError

__all__ = ["rational", "rational_rank", "written"]

LEAST, MOST = Fraction(1, 10**150), Fraction(10**150)
LONGEST = 4000  # letters of a number
HUGE = re.compile(r"[eE][+-]?\d{4}")


def rational(value: Any, what: str = "the number") -> Fraction:
    """Return the fraction that a number stands for.

    A floating-point number stands for the shortest decimal that is read as it, so that 0.1 is a
    tenth: what a user typed, and not the binary fraction next to it.

    Arguments:
        value: a whole number, float, Fraction, Decimal, or a string such as "0.1" or "1/3".
        what: names it in errors.

    Raises:
        ModelError: it is no finite number, or one so large or small that floats overflow.

    Example:
        >>> from quincunx.solvers.dynamics.rationals import rational
        >>> rational(0.1), rational("1/3")
        (Fraction(1, 10), Fraction(1, 3))
    """
    found = _read(value)
    if found is None:
        raise ModelError(f"{what} is {value!r}; give a finite number, or a string such as '1/3'")
    if found and not LEAST <= abs(found) <= MOST:
        raise ModelError(
            f"{what} is {value!r}; give 0, or a number from {float(LEAST):.0e} to "
            f"{float(MOST):.0e} in size"
        )
    return found


def _read(value: Any) -> Fraction | None:
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    # Powers of ten written out would fill the memory before their size could be looked at.
    if isinstance(value, str) and (len(value) > LONGEST or HUGE.search(value)):
        return None
    try:
        if isinstance(value, float):
            return Fraction(repr(value)) if math.isfinite(value) else None
        if isinstance(value, Decimal) and abs(value.adjusted()) > 1000:
            return None
        if isinstance(value, (int, str, Fraction, Decimal)):
            return Fraction(value)
    except (ValueError, OverflowError, ZeroDivisionError):
        pass
    return None


def written(value: Fraction) -> str:
    """Write a fraction as a decimal where that is exact and short, and as a quotient otherwise.

    Example:
        >>> from fractions import Fraction
        >>> from quincunx.solvers.dynamics.rationals import written
        >>> written(Fraction(1, 8)), written(Fraction(1, 3))
        ('0.125', '1/3')
    """
    if value.denominator == 1:
        return str(value.numerator)
    twos = (value.denominator & -value.denominator).bit_length() - 1
    rest, fives = value.denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places > 40:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return "-" * (value < 0) + f"{digits[:-places]}.{digits[-places:]}"


def rational_rank(rows: Iterable[Iterable[Fraction]]) -> int:
    """Return the rank of a matrix of fractions, by elimination without rounding.

    Arguments:
        rows: of equal lengths.
    """
    left = [list(row) for row in rows]
    rank = 0
    for column in range(len(left[0]) if left else 0):
        pivot = next((i for i in range(rank, len(left)) if left[i][column]), None)
        if pivot is None:
            continue
        left[rank], left[pivot] = left[pivot], left[rank]
        for i in range(rank + 1, len(left)):
            if left[i][column]:
                ratio = left[i][column] / left[rank][column]
                left[i] = [a - ratio * b for a, b in zip(left[i], left[rank], strict=True)]
        rank += 1
    return rank
