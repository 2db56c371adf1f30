"""Eigenvalues of matrices of balls, enclosed by discs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quincunx.solvers.dynamics.certify.balls import Ball

__all__ = ["Root", "eigenvalues", "largest"]


@dataclass(frozen=True, slots=True)
class Root:
    """A rectangle of the complex plane with an eigenvalue in it.

    Attributes:
        real: of the eigenvalue.
        imaginary: of the eigenvalue; exactly 0 where it is proved to be real.
    """

    real: Ball
    imaginary: Ball

    def size(self) -> Ball:
        """Return the absolute value."""
        from flint import acb

        return abs(acb(self.real, self.imaginary))


def eigenvalues(matrix: Any) -> list[Root] | None:
    """Enclose the eigenvalues of a real square matrix, each as often as it counts.

    By Gershgorin's theorem for ``R^-1 A R`` with R near the eigenvectors: discs that overlap hold
    as many eigenvalues together as they are discs, so that each gets the hull of all of them.

    Arguments:
        matrix: flint's ``arb_mat`` [d, d].

    Returns:
        d roots, or None where balls are too wide to say anything.
    """
    from flint import acb_mat, arb

    d = matrix.nrows()
    if d == 1:
        return [Root(matrix[0, 0], arb(0))] if matrix[0, 0].is_finite() else None
    given = acb_mat(matrix)
    # The identity serves a matrix that is nearly diagonal with equal entries, whose
    # eigenvectors are ill-conditioned.
    tries = [_discs(given, bases) for bases in (_vectors(given), None)]
    found = [discs for discs in tries if discs is not None]
    if not found:
        return None
    return _roots(min(found, key=lambda discs: max(float(radius) for _, radius in discs)))


def largest(roots: list[Root]) -> Ball:
    """Return the largest eigenvalue of a matrix that is symmetric, from all of them."""
    low, high = roots[0].real.lower(), roots[0].real.upper()
    for root in roots[1:]:
        low, high = low.max(root.real.lower()), high.max(root.real.upper())
    return low.union(high)


def _vectors(given: Any) -> Any:
    _, right = given.mid().eig(right=True, algorithm="approx")
    return right.mid()


def _discs(given: Any, basis: Any) -> list[tuple[Any, Ball]] | None:
    """Return centres and radii of Gershgorin's discs in a basis; None where it is singular."""
    if basis is not None:
        try:
            given = basis.inv() * given * basis
        except ZeroDivisionError:
            return None
    d = given.nrows()
    found = []
    for i in range(d):
        off = sum((abs(given[i, j]) for j in range(d) if j != i), 0 * abs(given[i, i]))
        if not (off.is_finite() and given[i, i].is_finite()):
            return None
        found.append((given[i, i], off.upper()))
    return found


def _roots(discs: list[tuple[Any, Ball]]) -> list[Root]:
    from flint import arb

    boxes = [
        Root(centre.real + arb(0, radius), centre.imag + arb(0, radius)) for centre, radius in discs
    ]
    groups: list[set[int]] = []
    for i, box in enumerate(boxes):
        joined = {i}
        for group in [g for g in groups if any(_overlap(box, boxes[j]) for j in g)]:
            joined |= group
            groups.remove(group)
        groups.append(joined)
    found: list[Root] = []
    for group in groups:
        members = [boxes[i] for i in sorted(group)]
        hull = members[0]
        for other in members[1:]:
            hull = Root(hull.real.union(other.real), hull.imaginary.union(other.imaginary))
        others = [box for i, box in enumerate(boxes) if i not in group]
        mirror = Root(hull.real, -hull.imaginary)
        # The conjugate is an eigenvalue too. It has no other place to be, so it is the same.
        if len(members) == 1 and not any(_overlap(mirror, box) for box in others):
            hull = Root(hull.real, arb(0))
        found.extend([hull] * len(members))
    return sorted(found, key=lambda root: -float(root.size().mid()))


def _overlap(a: Root, b: Root) -> bool:
    return bool(a.real.overlaps(b.real) and a.imaginary.overlaps(b.imaginary))
