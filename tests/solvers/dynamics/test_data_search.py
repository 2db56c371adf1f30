"""The search finds true cycles, says so when it finds none, and depends on its seed alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.certify.cycle import certify
from quincunx.solvers.dynamics.data_search import Search, _Kite, _Line, _minima, search
from quincunx.solvers.dynamics.logistic import Logistic


def check(result: Search, points: int) -> None:
    """What is found is exact, and proved."""
    assert result.found is not None and result.points == points
    found = result.found
    assert sum(found.problem.exact.weights) == points
    proof = certify(found.problem, found.step, found.cycle)
    assert proof.valid and proof.period == found.cycle.period > 1
    assert abs(float((proof.gamma.low + proof.gamma.high) / 2) - found.gamma) < 1e-9
    assert all(v.denominator <= 10**17 for z in found.problem.exact.points for v in z)
    assert f"of period {found.cycle.period}" in str(result)


def test_line() -> None:
    result = search(1, 4, tries=512)
    check(result, 4)
    assert 0 < result.cycling <= result.tries == 512
    assert 1 < result.found.gamma < 1.6  # type: ignore[union-attr]


def test_plane_below_one() -> None:
    result = search(2, 5, tries=32)
    check(result, 5)
    # On a line nothing cycles there at all.
    assert result.found.gamma < 1  # type: ignore[union-attr]


def test_fewest_points_are_looked_for() -> None:
    result = search(1, tries=512, seed=3)
    assert result.found is not None and result.points >= 3
    check(result, result.points)


@pytest.mark.full
def test_three_points_go_low() -> None:
    result = search(1, 3, tries=8192)
    check(result, 3)
    assert result.found.gamma < 1.3  # type: ignore[union-attr]


def test_two_points_are_not_enough_as_far_as_seen() -> None:
    """Slow convergence near gamma = 2 must not count as a cycle."""
    result = search(1, 2, tries=1024)
    assert result.found is None and result.cycling == 0
    assert "1024 data sets of 2 points" in str(result)


def test_nothing_found_is_an_answer() -> None:
    """At gamma barely over 1 nothing is found, and the result says that this is no proof."""
    result = search(1, 3, tries=64, gamma_below=1.0001)
    assert result.found is None and "proves nothing" in str(result)


def test_seed_decides() -> None:
    first, again, other = (str(search(2, 5, tries=16, seed=seed)) for seed in (4, 4, 5))
    assert first == again != other


def test_report() -> None:
    seen: list[tuple[int, int]] = []
    search(1, 2, tries=100, report=lambda done, all_: seen.append((done, all_)))
    assert seen == [(64, 100), (100, 100)]


@pytest.mark.parametrize("shape", [_Line(np.array([1.0, -1.0, 1.0, -1.0])), _Kite(3, 2)])
def test_minima_by_bisection_are_newtons(shape: Any) -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([shape.rows(0.5 * shape.draw(rng)) for _ in range(20)])
    stars, sharpness = _minima(rows, shape.weights)
    for z, star, value in zip(rows, stars, sharpness, strict=True):
        problem = Logistic(z, shape.weights)
        # measured 2.9e-15 and 5.8e-15
        assert np.abs(problem.minimizer() - star).max() < 1e-13 * max(1.0, np.abs(star).max())
        assert abs(problem.sharpness / value - 1) < 1e-12


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"dimension": 3}, "give 1 or 2"),
        ({"points": 1}, "points is 1"),
        ({"points": 2.5}, "points is 2.5"),
        ({"dimension": 2, "points": 3}, "from 4"),
        ({"gamma_below": 1.0}, "gamma_below"),
        ({"gamma_below": 2.1}, "gamma_below"),
        ({"gamma_below": Fraction(0), "dimension": 2}, "gamma_below"),
        ({"tries": 0}, "tries"),
    ],
)
def test_refusals(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        search(**arguments)
