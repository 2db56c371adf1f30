"""A certificate in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from quincunx.solvers.dynamics.rationals import written

if TYPE_CHECKING:
    from quincunx.solvers.dynamics.certify.certificate import Certificate
    from quincunx.solvers.dynamics.certify.enclosure import Enclosure

__all__ = ["statement"]

ROWS = 12  # points of the data, and of the cycle, that are printed


def statement(found: Certificate) -> str:
    """Write what is proved as a theorem, and what is not as a remark."""
    head = "Theorem" if found.stable is not None else "No theorem about a cycle; what is proved"
    lines = [f"{head}. Gradient descent with step {written(found.step)} on the mean logistic loss"]
    if found.problem.l2:
        lines[0] += f" with L2 term {written(found.problem.l2)}"
    lines[0] += " of the points (labels folded in)"
    rows = zip(found.problem.points, found.problem.weights, strict=True)
    lines.extend(_first([f"    {_vector(z)}  x {written(c)}" for z, c in rows], "points"))
    sections = (_span, _minimum, _cycle, _stability, _attraction, _start)
    parts = [section(found) for section in sections]
    for number, part in enumerate([part for part in parts if part], 1):
        lines.append(f"{number}. {part[0]}")
        lines.extend(f"    {line}" for line in part[1:])
    if found.reason:
        lines.append(f"Note: {found.reason}.")
    lines.append(
        f"Proof: ball arithmetic of {found.bits} bits (Arb); Krawczyk's test for minimiser and "
        f"cycle; Gershgorin's discs for eigenvalues; mean value theorem for the rest. "
        f"{found.seconds:.2f} s."
    )
    return "\n".join(lines)


def _span(found: Certificate) -> list[str]:
    if not found.basis:
        return []
    return [
        f"The points span {len(found.basis)} of {len(found.problem.points[0])} dimensions. "
        "Gradient descent changes nothing across their span, and all below is within it:",
        *(f"b_{k} = {_vector(b)}" for k, b in enumerate(found.basis, 1)),
        "are orthogonal; V below is for coordinates along b_k / |b_k|",
    ]


def _minimum(found: Certificate) -> list[str]:
    if found.sharpness is None or found.gamma is None:
        return []
    why = "has exactly one minimiser, as its L2 term is strictly convex"
    if not found.problem.l2:
        why = "has exactly one minimiser, as the points overlap and span the space"
    if found.basis:
        why = "has exactly one minimiser within the span of the points, as they overlap"
    lines = [f"The loss {why}:", f"w* = {_vector(found.minimizer)}"]
    if found.balance and len(found.balance) <= ROWS:
        lines.insert(1, f"{_vector(found.balance)} are weights > 0 that sum the points to 0;")
    place = next(
        (f" < {bound}" for bound in (1, 2) if found.gamma.high < bound),
        " > 2" if found.gamma.low > 2 else "",
    )
    return [
        *lines,
        f"lambda = {found.sharpness}, the largest eigenvalue of the second derivative there",
        f"gamma = step lambda = {found.gamma}{place}",
    ]


def _cycle(found: Certificate) -> list[str]:
    if not found.points:
        return []
    points = [f"x_{k} = {_vector(x)}" for k, x in enumerate(found.points)]
    what = "fixed point" if found.period == 1 else f"cycle of {found.period} points, all distinct,"
    where = "in the box, within the span" if found.basis else "in the box"
    return [f"It has exactly one {what} {where}", *_first(points, "points")]


def _stability(found: Certificate) -> list[str]:
    if not found.multipliers:
        return []
    words = {
        True: "The cycle is stable: its multipliers are within the unit circle:",
        False: "The cycle is unstable: a multiplier is outside the unit circle:",
        None: "The multipliers of the cycle are:",
    }
    return [words[found.stable], *(_complex(a, b) for a, b in found.multipliers)]


def _attraction(found: Certificate) -> list[str]:
    near = found.attraction
    if near is None:
        return []
    p = found.period
    whole = len(near.frame) > 1 or bool(found.basis)
    shape = "|V^-1 (x - x_0)|" if whole else "|x - x_0|"
    lines = [
        "It attracts all starts x with",
        f"{shape} <= {written(near.radius)}",
        f"where {p} steps contract this distance by {float(near.kappa):.10g} or less",
    ]
    if whole:
        lines.insert(2, f"with V = ({'; '.join(_vector(row) for row in near.frame)}),")
    return lines


def _start(found: Certificate) -> list[str]:
    if found.arrival is None:
        return []
    return [
        f"Gradient descent from w_0 = {_vector(found.arrival.start)} converges to it: it is in "
        f"that neighbourhood after {found.arrival.steps} steps."
    ]


def _complex(real: Enclosure, imaginary: Enclosure) -> str:
    return str(real) if imaginary.low == imaginary.high == 0 else f"{real} + i {imaginary}"


def _vector(values: Iterable[Any]) -> str:
    return f"({', '.join(written(v) if isinstance(v, Fraction) else str(v) for v in values)})"


def _first(lines: Sequence[str], what: str) -> list[str]:
    if len(lines) <= ROWS:
        return list(lines)
    return [*lines[: ROWS - 1], f"    and {len(lines) - ROWS + 1} more {what} (see to_json)"]
