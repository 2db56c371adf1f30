"""What is proved about a cycle, as data that can be printed, saved and proved again."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from quincunx._atomic import atomic_write
from quincunx._errors import FileFormatError, QuincunxError
from quincunx.solvers.dynamics.certify.attraction import Arrival, Attraction
from quincunx.solvers.dynamics.certify.enclosure import Enclosure
from quincunx.solvers.dynamics.certify.statement import statement
from quincunx.solvers.dynamics.logistic import Exact
from quincunx.solvers.dynamics.rationals import written

__all__ = ["Certificate", "exact_number"]

FORMAT, VERSION = "quincunx certificate of a cycle", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A theorem about a cycle of gradient descent on a logistic loss, with all its numbers.

    What was not proved is None or empty, and ``reason`` says why. Printed, it is a theorem to read.

    Attributes:
        problem: the data, in fractions.
        step: of gradient descent.
        balance: n fractions > 0 with ``sum_i balance_i z_i = 0``: the points overlap. Empty with an
            L2 term, which needs no such thing.
        basis: r orthogonal vectors of d fractions, where the points span r < d dimensions: all is
            within their span then, and what is left of a start across it stays as it is. Empty
            where they span the space.
        minimizer: [d], the one minimiser of the loss.
        sharpness: the largest eigenvalue of the second derivative at the minimiser, lambda.
        gamma: step times lambda.
        period: of the cycle: all its points are distinct.
        points: [period][d], each step of gradient descent leads from one to the next. There is
            exactly one cycle with points in these boxes.
        multipliers: [d], or [r] within a span, real and imaginary part of each eigenvalue of the
            ordered product of the derivatives along the cycle.
        stable: True: proved to be; False: proved to be unstable; None: neither.
        attraction: what is surely drawn into the cycle.
        arrival: that gradient descent from a given start converges to the cycle.
        reason: what was not proved and why; empty where all was.
        bits: of the arithmetic.
        seconds: that the proof took.
    """

    problem: Exact
    step: Fraction
    balance: tuple[Fraction, ...]
    basis: tuple[tuple[Fraction, ...], ...]
    minimizer: tuple[Enclosure, ...]
    sharpness: Enclosure | None
    gamma: Enclosure | None
    period: int
    points: tuple[tuple[Enclosure, ...], ...]
    multipliers: tuple[tuple[Enclosure, Enclosure], ...]
    stable: bool | None
    attraction: Attraction | None
    arrival: Arrival | None
    reason: str
    bits: int
    seconds: float

    @property
    def valid(self) -> bool:
        """Whether minimiser, existence, period and stability of the cycle are proved."""
        return self.stable is True and self.gamma is not None and bool(self.points)

    def __str__(self) -> str:
        """State the theorem."""
        return statement(self)

    def __repr__(self) -> str:
        """Show what is proved in a line."""
        kind = {True: "stable", False: "unstable", None: "of unknown stability"}[self.stable]
        gamma = f"gamma {self.gamma}" if self.gamma else "gamma unknown"
        return f"Certificate(valid={self.valid}, period {self.period}, {kind}, {gamma})"

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON has it: exact numbers are strings."""
        entries = {
            "format": FORMAT,
            "version": VERSION,
            "points": [[written(v) for v in z] for z in self.problem.points],
            "multiplicities": [written(c) for c in self.problem.weights],
            "l2": written(self.problem.l2),
            "step": written(self.step),
            "balance": [written(v) for v in self.balance],
            "basis": [[written(v) for v in b] for b in self.basis],
            "minimizer": [e.to_json() for e in self.minimizer],
            "sharpness": self.sharpness and self.sharpness.to_json(),
            "gamma": self.gamma and self.gamma.to_json(),
            "period": self.period,
            "cycle": [[e.to_json() for e in point] for point in self.points],
            "multipliers": [[a.to_json(), b.to_json()] for a, b in self.multipliers],
            "stable": self.stable,
            "attraction": self.attraction
            and {
                "frame": [[written(v) for v in row] for row in self.attraction.frame],
                "radius": written(self.attraction.radius),
                "kappa": written(self.attraction.kappa),
            },
            "arrival": self.arrival
            and {"start": [written(v) for v in self.arrival.start], "steps": self.arrival.steps},
            "reason": self.reason,
            "bits": self.bits,
            "seconds": self.seconds,
        }
        return {**entries, "sha256": _digest(entries)}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Certificate:
        """Return the certificate that :meth:`to_json` wrote, with its claims unproved.

        Raises:
            FileFormatError: it is something else, or was changed.
        """
        if not isinstance(entries, Mapping) or entries.get("format") != FORMAT:
            raise FileFormatError(f"this is not a {FORMAT}; Certificate.save writes one")
        if entries.get("version") != VERSION:
            raise FileFormatError(
                f"the certificate has version {entries.get('version')!r}; this library reads "
                f"version {VERSION}"
            )
        kept = {name: value for name, value in entries.items() if name != "sha256"}
        try:
            same = entries.get("sha256") == _digest(kept)
            found = cls._read(entries)
        except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            if isinstance(error, QuincunxError) and not isinstance(error, FileFormatError):
                raise FileFormatError(f"the certificate is damaged: {error}") from error
            raise FileFormatError(f"the certificate is damaged: {error!r}") from error
        if not same:
            raise FileFormatError(
                "the certificate does not match its checksum: it was changed after it was "
                "written. Make it anew with certify"
            )
        return found

    @classmethod
    def _read(cls, entries: Mapping[str, Any]) -> Certificate:
        points = tuple(_fractions(z) for z in entries["points"])
        attraction, arrival = entries["attraction"], entries["arrival"]
        found = cls(
            problem=Exact(
                points, _fractions(entries["multiplicities"]), exact_number(entries["l2"])
            ),
            step=exact_number(entries["step"]),
            balance=_fractions(entries["balance"]),
            basis=tuple(_fractions(b) for b in entries["basis"]),
            minimizer=tuple(_enclosure(e) for e in entries["minimizer"]),
            sharpness=_optional(_enclosure, entries["sharpness"]),
            gamma=_optional(_enclosure, entries["gamma"]),
            period=_whole(entries["period"], 1),
            points=tuple(tuple(_enclosure(e) for e in point) for point in entries["cycle"]),
            multipliers=tuple((_enclosure(a), _enclosure(b)) for a, b in entries["multipliers"]),
            stable=entries["stable"],
            attraction=None
            if attraction is None
            else Attraction(
                tuple(_fractions(row) for row in attraction["frame"]),
                exact_number(attraction["radius"]),
                exact_number(attraction["kappa"]),
            ),
            arrival=None
            if arrival is None
            else Arrival(_fractions(arrival["start"]), _whole(arrival["steps"], 0)),
            reason=_text(entries["reason"]),
            bits=_whole(entries["bits"], 53),
            seconds=_finite(entries["seconds"]),
        )
        _check_shapes(found)
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file from which :func:`verify` proves everything anew.

        The file is written whole: an older one of the name stays as it was if writing fails.
        """
        with atomic_write(path) as file:
            file.write(json.dumps(self.to_json(), indent=1) + "\n")


def _digest(entries: Mapping[str, Any]) -> str:
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def exact_number(text: Any) -> Fraction:
    """Return the number that a string stands for.

    Raises:
        TypeError: it is no string, or has an exponent.
    """
    # An exponent could ask for more digits than there is memory, and none is ever written.
    if not isinstance(text, str) or "e" in text.lower():
        raise TypeError(f"{text!r} stands where a number as a string is wanted")
    return Fraction(text)


def _fractions(values: Any) -> tuple[Fraction, ...]:
    return tuple(exact_number(v) for v in values)


def _enclosure(ends: Any) -> Enclosure:
    low, high = ends
    return Enclosure(exact_number(low), exact_number(high))


def _optional(read: Callable[[Any], Enclosure], value: Any) -> Enclosure | None:
    return None if value is None else read(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} stands where a sentence is wanted")
    return value


def _finite(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} stands where a number of seconds is wanted")
    return float(value)


def _whole(value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{value!r} stands where a whole number >= {least} is wanted")
    return value


def _check_shapes(found: Certificate) -> None:
    """Raise an error unless sizes fit and what is stated about fractions makes sense."""
    exact, d = found.problem, len(found.problem.points[0]) if found.problem.points else 0
    vectors: list[Sequence[object]] = [*exact.points, *found.points, *found.basis]
    r = len(found.basis) or d
    if found.minimizer:
        vectors.append(found.minimizer)
    if found.arrival:
        vectors.append(found.arrival.start)
    square: list[Sequence[object]] = []
    if found.attraction:
        square = [*found.attraction.frame, found.attraction.frame]
    if not d or any(len(v) != d for v in vectors) or any(len(row) != r for row in square):
        raise ValueError("vectors have different lengths")
    if len(set(exact.points)) != len(exact.points) or not all(any(z) for z in exact.points):
        raise ValueError("points are zero, or equal to each other")
    if len(exact.weights) != len(exact.points) or min(exact.weights) <= 0 or exact.l2 < 0:
        raise ValueError("multiplicities or l2 are not what they can be")
    if found.step <= 0 or found.stable not in (True, False, None):
        raise ValueError("step or stable are not what they can be")
    if len(found.points) not in (0, found.period) or len(found.multipliers) not in (0, r):
        raise ValueError("there are not as many points or multipliers as the period says")
    if found.attraction and not (found.attraction.radius > 0 and found.attraction.kappa < 1):
        raise ValueError("the attraction has no radius > 0 with kappa < 1")
