"""Separability, decided with certificates that are checked in fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quincunx.solvers.dynamics.rationals import rational, rational_rank, written
from quincunx.solvers.dynamics.separability import Separability, separability


def exact(rows):
    return [[rational(v) for v in row] for row in rows]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([[1], [2]], "separable"),
        ([[1], [-2]], "overlap"),
        ([[1, 0], [0, 1]], "separable"),
        ([[1, 0], [-1, 0], [0, 1]], "quasi-separable"),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], "overlap"),
        ([[1, 0], [-1, 0]], "overlap"),
        ([[1, 2], [-1, -2], [2, 4]], "overlap"),
        ([[1, 0], [0, 1], [-1, -1]], "overlap"),
        ([[1, 0], [0, 1], [-1, 1]], "separable"),
        ([[1, 1e-6], [-1, 1e-6]], "separable"),
        ([[1e-9, 1], [-1e-9, 1], [0, -1]], "overlap"),
        ([[0.1, 0.3], [-0.1, -0.3], [0.7, 0.2]], "quasi-separable"),
        ([[1, 1, 0], [-1, -1, 0], [0, 0, 1], [0, 0, -1], [1, -1, 3]], "quasi-separable"),
    ],
)
def test_kinds(rows, kind):
    points = exact(rows)
    found = separability(points)
    assert found.kind == kind
    assert found.holds_for(points)


def test_a_certificate_of_other_points_does_not_hold():
    overlap = separability(exact([[1], [-2]]))
    assert not overlap.holds_for(exact([[1], [-3]]))
    assert not overlap.holds_for(exact([[1], [2], [-2]]))
    apart = separability(exact([[1, 0], [0, 1]]))
    assert not apart.holds_for(exact([[1, 0], [0, -1]]))
    assert not Separability("overlap", (), (Fraction(0), Fraction(0))).holds_for(exact([[1], [-1]]))
    assert not Separability("quasi-separable", (Fraction(0),), (Fraction(1),)).holds_for(
        exact([[1]])
    )


def turned(rows: list[list[int]]) -> str:
    """What holds for points of the plane, from the angles between neighbours: no programs."""
    angles = np.sort(np.unique([np.arctan2(y, x) for x, y in rows]))
    gaps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
    widest = gaps.max()
    if len(angles) == 1 or widest > np.pi + 1e-9:
        return "separable"
    if widest < np.pi - 1e-9:
        return "overlap"
    # A gap of half a turn: overlap only if all points are on one line.
    on_a_line = all(rows[0][0] * y == rows[0][1] * x for x, y in rows)
    return "overlap" if on_a_line else "quasi-separable"


coordinate = st.integers(-4, 4)
plane = st.lists(
    st.tuples(coordinate, coordinate).filter(lambda z: z != (0, 0)), min_size=1, max_size=7
)


@settings(max_examples=150)
@given(plane)
def test_points_of_the_plane_by_their_angles(rows):
    points = exact(rows)
    found = separability(points)
    assert found.holds_for(points)
    assert found.kind == turned([list(z) for z in rows])


@given(st.fractions(), st.integers(1, 9))
def test_numbers_are_read_back_as_written(value, digits):
    assert Fraction(written(value)) == value
    short = round(value, digits)
    assert Fraction(written(short)) == short


def test_rank():
    assert rational_rank(exact([[1, 2], [2, 4]])) == 1
    assert rational_rank(exact([[0.1, 0.2], [0.3, 0.6000001]])) == 2
    assert rational_rank(exact([[1, 2, 3], [4, 5, 6], [7, 8, 9]])) == 2
