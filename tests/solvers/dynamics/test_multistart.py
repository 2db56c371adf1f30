"""Cycles found from random starts."""

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.dynamics import Logistic, SmoothMap, find_cycles
from quincunx.solvers.dynamics.cycles import cycle_from, newton_cycles, proper_period
from quincunx.solvers.dynamics.known import CONTROLS, KNOWN


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_cycle_is_found_from_ten_thousand_starts(name):
    known = KNOWN[name]
    problem = known.problem()
    found = find_cycles(
        problem, known.step_of(problem), max_period=known.period, starts=10_000, seed=1
    )
    wanted = known.cycle()
    gaps = [
        np.abs(cycle.points - wanted.points).max()
        for cycle in found
        if cycle.stable and cycle.period == known.period and cycle.share > 0
    ]
    # Both are Newton's results for the same equations; the largest point is about 100.
    assert gaps and min(gaps) < 1e-9


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_have_the_minimiser_only(name):
    known = CONTROLS[name]
    problem = known.problem()
    found = find_cycles(problem, known.step_of(problem), max_period=4, starts=2000)
    assert [c.period for c in found] == [1]
    assert found[0].stable and found[0].share == 1
    assert found[0].points[0] == pytest.approx(problem.minimizer(), abs=1e-14)


def logistic_map(r: float) -> SmoothMap:
    return SmoothMap(
        lambda x, step: np.reshape(step, (-1, 1)) * x * (1 - x),
        lambda x, step: np.reshape(step, (-1, 1, 1)) * (1 - 2 * x[:, :, None]),
        [0.01],
        [0.99],
    )


def test_all_cycles_of_a_chaotic_map_are_counted():
    # At r = 4 the logistic map is conjugate to the tent map: 2^p points return after p steps, so
    # there are 2, 1, 2, 3, 6 cycles of period 1 to 5, all unstable.
    found = find_cycles(logistic_map(4.0), 4.0, max_period=5, starts=600, iterations=300)
    counts = [sum(c.period == p for c in found) for p in range(1, 6)]
    assert counts == [2, 1, 2, 3, 6]
    assert not any(c.stable for c in found)
    # Multipliers are 2^p up to the sign, at zero 4.
    for cycle in found:
        expected = 4 if cycle.period == 1 and cycle.points[0, 0] < 0.1 else 2**cycle.period
        assert abs(cycle.multipliers[0]) == pytest.approx(expected, rel=1e-8)


def test_points_in_a_plane_of_space_are_studied_within_it():
    flat = Logistic([[1, 2, 0], [-1, -2, 0], [1300, 2600, 0]], [5100, 4900, 1])
    line = Logistic([1, -1, 1300], [5100, 4900, 1])
    # Points are longer by the root of 5, and gamma counts.
    found = find_cycles(flat, 6 / 5, max_period=2, starts=300)
    other = find_cycles(line, 6, max_period=2, starts=300)
    assert [(c.period, c.stable) for c in found] == [(c.period, c.stable) for c in other]
    for a, b in zip(found, other, strict=True):
        assert a.points.shape == (b.period, 3)
        assert np.sort(a.points @ [1, 2, 0]) == pytest.approx(np.sort(b.points[:, 0]), abs=1e-9)
        assert a.points[:, 1] == pytest.approx(2 * a.points[:, 0])


def test_the_same_seed_finds_the_same():
    problem = KNOWN["seven points in the plane, gamma 0.899"].problem()
    first, second = (find_cycles(problem, 5.08, max_period=3, starts=200, seed=4) for _ in "ab")
    assert [c.points.tolist() for c in first] == [c.points.tolist() for c in second]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0}, "step is 0"),
        ({"step": -1.0}, "step is -1.0"),
        ({"step": float("nan")}, "step is nan"),
        ({"max_period": 0}, "max_period"),
        ({"starts": 0}, "starts"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    given = {"step": 1.0} | arguments
    with pytest.raises(ModelError, match=message):
        find_cycles(Logistic([1, -1]), **given)


def test_separable_points_are_refused():
    with pytest.raises(ModelError, match="separable"):
        find_cycles(Logistic([1, 2]), 1.0)


def test_a_fixed_point_repeated_is_a_fixed_point():
    problem = Logistic([1, -1], [4, 1])
    cycle = cycle_from(problem, 10.0, [[1.38], [1.39], [1.386]])
    assert cycle.period == 1
    assert cycle.multipliers[0] == pytest.approx(1 - 10 * 0.16, rel=1e-12)


def test_a_drift_is_no_cycle():
    # Far out an outlier's pull is constant: points move by equal steps, and repeat nothing.
    problem = Logistic([1, -1, 300], [5, 5, 1])
    with pytest.raises(ModelError, match="no cycle of period 3"):
        cycle_from(problem, 0.5, [[-2000.0], [-1986.0], [-1972.0]])
    for bad in ([[1.0, 2.0]], [[float("nan")]]):
        with pytest.raises(ModelError, match="points have shape"):
            cycle_from(problem, 0.5, bad)


def test_newton_solves_many_guesses_at_once():
    problem = Logistic([1, -1], [4, 1])
    guesses = np.array([[[2.4], [0.8]], [[1.39], [1.38]], [[np.nan], [1.0]]])
    points, solved = newton_cycles(problem, [14.0, 12.0, 12.0], guesses)
    assert solved.tolist() == [True, True, False]
    images = problem.map(points[0], 14.0)
    assert images[::-1] == pytest.approx(points[0], abs=1e-12)
    assert proper_period(points[0]) == 2 and proper_period(points[1]) == 1
