"""Branches and their events, against closed forms and mpmath."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.bifurcations import flip_criticality, switch
from quincunx.solvers.dynamics.continuation import follow
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.parameters import (
    Family,
    by_coordinate,
    by_l2,
    by_multiplicity,
    by_step,
)
from quincunx.solvers.dynamics.smooth_map import SmoothMap

# Measured: all closed forms below are met to 5e-15 relative; 1e-12 is what is promised.
EXACT = 1e-12

# The logistic map r x (1 - x), whose step is r.
HUMP = SmoothMap(
    lambda x, r: np.reshape(r, (-1, 1)) * x * (1 - x),
    lambda x, r: np.reshape(r, (-1, 1, 1)) * (1 - 2 * x[:, :, None]),
    [0],
    [1],
)


def henon(w, a):
    return np.stack([1 - np.reshape(a, -1) * w[:, 0] ** 2 + w[:, 1], 0.3 * w[:, 0]], 1)


def henon_derivative(w, a):
    top = np.stack([-2 * np.reshape(a, -1) * w[:, 0], np.ones(len(w))], 1)
    return np.stack([top, np.tile([0.3, 0.0], (len(w), 1))], 1)


HENON = SmoothMap(henon, henon_derivative, [-2, -2], [2, 2])


def delayed(w, r):
    return np.stack([np.reshape(r, -1) * w[:, 0] * (1 - w[:, 1]), w[:, 0]], 1)


def delayed_derivative(w, r):
    r = np.reshape(r, -1)
    top = np.stack([r * (1 - w[:, 1]), -r * w[:, 0]], 1)
    return np.stack([top, np.tile([1.0, 0.0], (len(w), 1))], 1)


DELAYED = SmoothMap(delayed, delayed_derivative, [0, 0], [1, 1])

KICK = Logistic([1, -1, 1300], [5100, 4900, 1])
KICKED = [[0.998564119240450682], [-0.325960470454230981]]


def kinds(branch):
    return [event.kind for event in branch.events]


def test_the_flip_of_the_logistic_map_and_of_its_double():
    fixed = follow(HUMP, [[0.6]], 2.5, until=(1.5, 4))
    assert kinds(fixed) == ["flip"]
    assert abs(fixed.events[0].parameter - 3) < EXACT
    assert [end.kind for end in fixed.ends] == ["bound", "bound"]
    assert (fixed.parameter[0], fixed.parameter[-1]) == (1.5, 4)
    assert fixed.parameter[fixed.start] == pytest.approx(2.5, abs=1e-12)
    # The closed form along the branch; measured 2e-16.
    assert np.abs(fixed.points[:, 0, 0] - (1 - 1 / fixed.parameter)).max() < 1e-13
    assert np.abs(fixed.multipliers[:, 0] - (2 - fixed.parameter)).max() < 1e-13
    assert np.array_equal(fixed.stable, np.abs(2 - fixed.parameter) < 1)
    assert np.isnan(fixed.gammas).all()

    double = follow(HUMP, *switch(HUMP, fixed.events[0]), until=(2.5, 4))
    assert double.period == 2
    assert kinds(double) == ["flip", "flip"]
    assert [event.cycle.period for event in double.events] == [1, 2]
    assert abs(double.events[0].parameter - 3) < EXACT
    assert abs(double.events[1].parameter - (1 + math.sqrt(6))) < EXACT
    assert [end.kind for end in double.ends] == ["merged", "bound"]
    assert "became one of period 1 at step = 3" in double.ends[0].message
    # The multiplier of the 2-cycle is 4 + 2 r - r^2.
    r = double.parameter
    assert np.abs(double.multipliers[:, 0] - (4 + 2 * r - r**2)).max() < 1e-12


def test_three_is_born_in_a_fold_and_followed_through_it():
    x, orbit = 0.5, []
    for _ in range(3000):
        x = 3.835 * x * (1 - x)
        orbit.append([x])
    branch = follow(HUMP, orbit[-3:], 3.835, until=(3.7, 4))
    assert kinds(branch) == ["fold", "flip"]
    fold = branch.events[0].parameter
    assert abs(fold - (1 + math.sqrt(8))) < EXACT
    # Both ways lead to r = 4, one stable near the fold and one not; all stays above the fold.
    assert [end.message for end in branch.ends] == ["step reached 4"] * 2
    assert branch.parameter.min() >= fold - 1e-12
    assert 0 < branch.stable.sum() < len(branch.stable)
    # At r = 4 the map is conjugate to doubling, and cycles of period 3 have multiplier +-8.
    ends = sorted([branch.multipliers[0, 0].real, branch.multipliers[-1, 0].real])
    assert ends == pytest.approx([-8, 8], abs=1e-9)


def test_henon_fold_and_flips():
    branch = follow(HENON, [[0.8, 0.24]], 0.3, until=(-1, 2))
    assert kinds(branch) == ["fold", "flip"]
    # For b = 0.3: fold at -(1 - b)^2 / 4 and flip at 3 (1 - b)^2 / 4.
    assert abs(branch.events[0].parameter + 0.7**2 / 4) < EXACT
    assert abs(branch.events[1].parameter - 3 * 0.7**2 / 4) < EXACT
    # Beyond the fold the other fixed point goes to infinity as a comes back to 0.
    assert [end.kind for end in branch.ends] == ["unbounded", "bound"]
    double = follow(HENON, *switch(HENON, branch.events[1]), until=(-1, 2))
    # The 2-cycle flips at (1 - b)^2 + (1 + b)^2 / 4.
    assert abs(double.events[-1].parameter - (0.7**2 + 1.3**2 / 4)) < EXACT
    assert double.ends[0].kind == "merged"


def test_neimark_sacker_of_the_delayed_logistic_map():
    branch = follow(DELAYED, [[0.4, 0.4]], 1.7, until=(1.1, 2.5))
    assert kinds(branch) == ["neimark-sacker"]
    event = branch.events[0]
    assert abs(event.parameter - 2) < EXACT
    # A sixth of a turn.
    assert np.abs(event.cycle.multipliers.imag) == pytest.approx([math.sqrt(3) / 2] * 2, abs=1e-12)


def test_two_multipliers_that_leave_together_are_not_missed():
    pair = SmoothMap(
        lambda w, r: np.reshape(r, (-1, 1)) * w * (1 - w),
        lambda w, r: np.reshape(r, (-1, 1, 1)) * np.eye(2) * (1 - 2 * w)[:, :, None],
        [0, 0],
        [1, 1],
    )
    branch = follow(pair, [[0.6, 0.6]], 2.5, until=(1.5, 3.5))
    assert kinds(branch) == ["flip"]
    assert abs(branch.events[0].parameter - 3) < EXACT


def test_a_branch_that_crosses_another():
    # x -> x + r x - x^3: 0 loses its stability at r = 0 to the pair +-sqrt(r).
    pitchfork = SmoothMap(
        lambda x, r: x + np.reshape(r, (-1, 1)) * x - x**3,
        lambda x, r: 1 + np.reshape(r, (-1, 1, 1)) - 3 * x[:, :, None] ** 2,
        [-1],
        [1],
    )
    branch = follow(Family(lambda v: (pitchfork, v), "r"), [[0.0]], -0.3, until=(-0.5, 0.7))
    assert kinds(branch) == ["branch point"]
    assert abs(branch.events[0].parameter) < 1e-9  # measured 0; the text promises 1e-8
    side = follow(Family(lambda v: (pitchfork, v), "r"), [[0.5]], 0.25, until=(-0.5, 0.7))
    assert kinds(side) == ["branch point"]
    assert side.points.min() < -0.7 < 0.7 < side.points.max()


def test_the_odd_map_flips_at_eight_and_never_again():
    problem = Logistic([1, -1])
    fixed = follow(problem, [[0.0]], 7, until=(1, 100))
    assert abs(fixed.events[0].parameter - 8) < EXACT
    double = follow(problem, *switch(problem, fixed.events[0]), until=(1, 30))
    assert kinds(double) == ["flip"]
    assert double.ends[0].kind == "merged"
    # +-w with 2 w = step (s(w) - 1/2), and multiplier (1 - step s'(w))^2.
    w = np.abs(double.points[:, 0, 0])
    assert np.abs(double.points.sum(1)).max() < 1e-8  # measured 1e-10: the end is badly conditioned
    s = 1 / (1 + np.exp(-w))
    assert np.abs(2 * w - double.steps * (s - 0.5)).max() < 1e-9
    slope = 1 - double.steps * s * (1 - s)
    assert np.abs(double.multipliers[:, 0] - slope**2).max() < 1e-9
    assert double.stable[5:].all()


def test_where_the_kicked_cycle_lives():
    branch = follow(KICK, KICKED, 6, until=(1, 20))
    # It is the double of the minimiser after all, by way of two folds.
    assert kinds(branch) == ["flip", "fold", "fold", "flip"]
    assert [end.kind for end in branch.ends] == ["merged", "bound"]
    gammas = [event.gamma for event in branch.events]
    assert gammas[0] == pytest.approx(2, abs=EXACT)
    assert gammas[2] < 1.11 < 2 < gammas[1] < 3.9 < gammas[3]
    stable = branch.parameter[branch.stable]
    between = (branch.parameter > branch.events[2].parameter) & (
        branch.parameter < branch.events[3].parameter
    )
    assert 6 in np.round(stable, 9)
    assert between[branch.start] and branch.stable[branch.start]
    for event, target in zip(branch.events[1:], (1, 1, -1), strict=True):
        step, first, second = _double_event(event, target)
        assert abs(event.parameter / float(step) - 1) < EXACT
        assert np.abs(event.cycle.points[:, 0] - [float(first), float(second)]).max() < 1e-7


def _double_event(event, target):
    """Solve for a 2-cycle with a given multiplier, with 40 digits and nothing of ours."""
    data = [(1, 5100), (-1, 4900), (1300, 1)]
    with mpmath.workdps(40):

        def s(t):
            return 1 / (1 + mpmath.exp(-t))

        def slope(w):
            return sum(-c * z * s(-z * w) for z, c in data) / 10001

        def bend(w):
            return sum(c * z * z * s(z * w) * s(-z * w) for z, c in data) / 10001

        def system(step, a, b):
            return [
                a - step * slope(a) - b,
                b - step * slope(b) - a,
                (1 - step * bend(a)) * (1 - step * bend(b)) - target,
            ]

        guess = (event.parameter, *event.cycle.points[:, 0])
        return mpmath.findroot(system, guess)


def test_a_family_in_the_plane():
    data = [[1, 0], [-1, 0], [0, 1], [0, -1], [300, 30], [-300, 30]]
    problem = Logistic(data, [500, 500, 600, 400, 1, 1])
    branch = follow(problem, [[0.92563, 0.53222], [-0.92563, 0.53222]], 7.18, until=(4, 15))
    assert branch.stable.all() and kinds(branch) == []
    assert branch.gammas[branch.start] == pytest.approx(0.8999698576146779, abs=1e-12)
    # Measured 0.50 to 1.88: far below 1.
    assert branch.gammas.min() < 0.51
    # The closed form where outliers are saturated, 2 x = step / n (m + A tanh(x / 2)).
    x = branch.points[:, 0, 0]
    n = 2002
    wanted = branch.steps / n * (300 + 500 * np.tanh(np.abs(x) / 2))
    far = 300 * np.abs(x) - 30 * branch.points[:, 0, 1] > 40
    assert far.sum() > 10
    assert np.abs(2 * np.abs(x) - wanted)[far].max() < 1e-12


def test_three_points_followed_in_a_coordinate():
    problem = Logistic([1, -0.892, 300])
    cycle = [[0.92397438545984], [0.023109552035933]]
    family = by_coordinate(problem, 1, step=8.0457865943055)
    branch = follow(family, cycle, -0.892, until=(-2, -0.5))
    assert kinds(branch) == ["flip", "fold", "fold", "flip"]
    assert branch.name == "z[1, 0]"
    assert branch.gammas[branch.start] == pytest.approx(1.2, abs=1e-9)
    # The last event is the flip of the minimiser: sharpness = 2 / step there.
    last = branch.events[-1]
    assert branch.ends[1].kind == "merged" and last.cycle.period == 1
    with mpmath.workdps(40):

        def system(w, b):
            s = [(z, 1 / (1 + mpmath.exp(-z * w))) for z in (mpmath.mpf(1), b, mpmath.mpf(300))]
            bend = sum(p * (1 - p) * z * z for z, p in s) / 3
            return [sum(z * (p - 1) for z, p in s), mpmath.mpf(8.0457865943055) * bend - 2]

        w, b = mpmath.findroot(system, (last.cycle.points[0, 0], last.parameter))
    assert abs(last.parameter - float(b)) < EXACT  # measured 3e-14
    assert abs(last.cycle.points[0, 0] - float(w)) < EXACT


@pytest.mark.full
def test_a_closed_branch_at_fixed_gamma():
    problem = Logistic([1, -0.892, 300])
    family = by_coordinate(problem, 1, gamma=1.2)
    cycle = [[0.92397438545984], [0.023109552035933]]
    branch = follow(family, cycle, -0.892, until=(-2, -0.01))
    # Not to be reached from the minimiser: an island with two folds and two flips.
    assert [end.kind for end in branch.ends] == ["closed", "closed"]
    assert sorted(kinds(branch)) == ["flip", "flip", "fold", "fold"]
    assert branch.parameter[0] == pytest.approx(branch.parameter[-1], abs=1e-12)
    steps = 1.2 / np.array([family.at(v)[0].sharpness for v in branch.parameter[::40].tolist()])
    assert np.abs(branch.steps[::40] / steps - 1).max() < 1e-12
    assert (branch.gammas == 1.2).all()


def test_multiplicity_and_l2_as_parameters():
    problem = Logistic([1, -1], [4, 1])
    # sharpness c / (1 + c)^2 is 0.16 at c = 4 and at c = 1/4.
    branch = follow(by_multiplicity(problem, 0, step=12.5), [[math.log(5)]], 5.0, until=(0.15, 8))
    assert [event.parameter for event in branch.events] == pytest.approx([0.25, 4], abs=EXACT)
    # A ridge moves the minimiser of balanced data nowhere: 1 - step (1/4 + l2) = -1.
    ridge = follow(by_l2(Logistic([1, -1]), step=5), [[0.0]], 0.01, until=(0.001, 0.5))
    assert ridge.events[0].parameter == pytest.approx(0.15, abs=EXACT)
    assert ridge.events[0].gamma == pytest.approx(2, abs=EXACT)


def test_scaling_the_data_changes_no_gamma():
    small = follow(KICK, KICKED, 6, until=(4.8, 20))
    scaled = Logistic([8, -8, 10400], [5100, 4900, 1])
    large = follow(scaled, np.array(KICKED) / 8, 6 / 64, until=(4.8 / 64, 20 / 64))
    assert kinds(small) == kinds(large)
    for a, b in zip(small.events, large.events, strict=True):
        assert a.gamma == pytest.approx(b.gamma, rel=1e-13)


def test_criticality_agrees_with_the_side_of_the_double():
    rng = np.random.default_rng(5)
    signs = []
    problems = [Logistic([1, -1], [4, 1]), KICK, Logistic([1, -1, 20], [5200, 4800, 2])]
    for _ in range(12):
        points = np.round(np.exp(rng.normal(size=3)), 3) * [1, -1, rng.choice([-1, 1])]
        problems.append(Logistic(points))
    for problem in problems:
        coefficient = flip_criticality(problem)
        critical = problem.critical_step
        fixed = follow(
            problem, [problem.minimizer()], 0.9 * critical, until=(0.8 * critical, 1.1 * critical)
        )
        assert fixed.events[0].parameter == pytest.approx(critical, rel=1e-12)
        cycle, step = switch(problem, fixed.events[0])
        assert (step > critical) == (coefficient > 0) == cycle.stable
        signs.append(coefficient > 0)
    assert len(set(signs)) == 2
    # T'' and T''' of {1 x 4, -1} at ln 4 and step 12.5, by hand: s' = 0.16, s'' = -0.096.
    s2, s3 = 0.16 * (1 - 1.6), 0.16 * (1 - 6 * 0.16)
    expected = (12.5 * s2) ** 2 / 2 - 12.5 * s3 / 3
    assert flip_criticality(problems[0]) == pytest.approx(expected, abs=1e-12)


def test_ends_are_told():
    few = follow(HUMP, [[0.6]], 2.5, until=(1.5, 4), max_points=5)
    assert [end.kind for end in few.ends] == ["max points", "max points"]
    assert len(few.parameter) == 11

    def at(value):
        if value > 2.7:
            raise ModelError("beyond 2.7 there is no map")
        return HUMP, value

    lost = follow(Family(at, "r"), [[0.6]], 2.5, until=(2, 3))
    assert lost.ends[1].kind == "lost"
    assert lost.ends[1].message.endswith("beyond 2.7 there is no map")
    assert lost.parameter[-1] == pytest.approx(2.7, rel=1e-3)
    zero = follow(Logistic([1, -1], [4, 1]), [[math.log(4)]], 12, until=(0, 13))
    assert "step reached 0, where" in zero.ends[0].message
    # Far outliers make the plane's cycle so wide that its slow points' sigmoids are all 0 or 1.
    data = [[1, 0], [-1, 0], [0, 1], [0, -1], [200000, 200], [-200000, 200]]
    wide = Logistic(data, [5000, 5000, 6000, 4000, 1, 1])
    free = follow(wide, [[0.4019, 0.48955], [-0.4019, 0.48955]], 0.08, until=(0.07, 30))
    assert free.ends[1].kind == "lost" and "free to move" in free.ends[1].message
    assert free.gammas[free.start] == pytest.approx(0.00999900009999, abs=1e-13)
    lines = []
    follow(HUMP, [[0.6]], 2.5, until=(1.5, 4), progress=lines.append)
    assert lines and "step" in lines[0]


def test_a_fixed_point_repeated_is_followed_as_what_it_is():
    branch = follow(HUMP, [[0.6], [0.6]], 2.5, until=(2.4, 2.6))
    assert branch.period == 1


@pytest.mark.parametrize(
    ("points", "start", "until", "message"),
    [
        ([[0.6]], 5, (1, 4), "not within until"),
        ([[0.6]], 2.5, (4, 1), "low < high"),
        ([[0.6]], 2.5, (1, math.nan), "low < high"),
        ([[0.6, 0.6]], 2.5, (1, 4), r"\[period, 1\]"),
        ([[math.nan]], 2.5, (1, 4), "finite"),
    ],
)
def test_bad_input_is_refused(points, start, until, message):
    with pytest.raises(ModelError, match=message):
        follow(HUMP, points, start, until=until)


def test_what_is_no_cycle_is_refused():
    # Next to the fold of period 3 orbits drift slowly through the gap; there is no cycle yet.
    fold = 1 + math.sqrt(8)
    x, nearest = 0.5, (1.0, [])
    orbit = []
    for _ in range(4000):
        orbit.append(x)
        x = (fold - 1e-7) * x * (1 - x)
    for k in range(1000, 3990):
        nearest = min(nearest, (abs(orbit[k + 3] - orbit[k]), orbit[k : k + 3]))
    with pytest.raises(ModelError, match="no cycle"):
        follow(HUMP, np.array(nearest[1])[:, None], fold - 1e-7, until=(3, 4))
    problem = Logistic([[1, 1], [-2, -2], [3, 3]])
    with pytest.raises(ModelError, match="within_span"):
        follow(problem, [[0.1, 0.1]], 1.0, until=(0.5, 2))
    with pytest.raises(ModelError, match="step is -1"):
        follow(KICK, [[0.04]], -1.0, until=(-2, 2))
    with pytest.raises(ModelError, match="max_points"):
        follow(HUMP, [[0.6]], 2.5, until=(1, 4), max_points=0)


def test_families_refuse_what_they_cannot_change():
    with pytest.raises(ModelError, match="no coordinate 0 of point 5"):
        by_coordinate(KICK, 5, step=1)
    with pytest.raises(ModelError, match="no point 3"):
        by_multiplicity(KICK, 3, step=1)
    for extra in ({}, {"step": 1, "gamma": 1}):
        with pytest.raises(ModelError, match="one of step= and gamma="):
            by_l2(KICK, **extra)
    with pytest.raises(ModelError, match="gamma is -1"):
        by_l2(KICK, gamma=-1)
    with pytest.raises(ModelError, match="no minimiser"):
        by_coordinate(KICK, 1, gamma=1.5).at(2.0)
    assert math.isnan(by_step(Logistic([1, 2])).gamma(1.0))


def test_switching_needs_a_flip():
    branch = follow(DELAYED, [[0.4, 0.4]], 1.7, until=(1.1, 2.5))
    with pytest.raises(ModelError, match="neimark-sacker"):
        switch(DELAYED, branch.events[0])
