"""All cycles of the line, against 50-digit arithmetic, dense grids and known cycles."""

import json
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.certify.all_cycles import all_cycles
from quincunx.solvers.dynamics.certify.balls import working
from quincunx.solvers.dynamics.certify.convergence import (
    converges_globally,
)
from quincunx.solvers.dynamics.certify.line import PEAK_ABOVE, Line, Span, follow, trap
from quincunx.solvers.dynamics.certify.schwarzian import attractors, schwarzian_negative
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.trapping import trapping_radius
from tests.solvers.dynamics.line_problems import (
    CASCADE,
    HINGE,
    descend,
    drawn,
    exact_derivatives,
    grid_count,
    holds,
    number,
    step_for,
)

KNOWN = [
    ([1, -1, 1300], [5100, 4900, 1], "6.00300120048", (0.9996203112792, -0.3268137868463), 0.08318),
    ([1, -1, 1300], [5100, 4900, 1], "7.603801521", (1.7395093, -0.85027454), -0.02019),
    ([1, "-0.892", 300], None, "8.0457865943055", (0.92397438545984, 0.02310955203593), -0.52677),
    ([1, "-0.7179", 100], None, "12.231709578064", (1.4996749867428, 0.06051650499014), 0.62932),
    ([1, "-0.5223", 30], None, "20.30256156042", (2.1086607481173, 0.1884757464696), -0.02223),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _digits():
    before, mp.dps = mp.dps, 50
    yield
    mp.dps = before


def test_peak_and_trap():
    assert mp.lambertw(mp.exp(-1)).real < number(PEAK_ABOVE)
    assert number(PEAK_ABOVE) - mp.lambertw(mp.exp(-1)).real < 1e-11
    rng = np.random.default_rng(1)
    for i in range(20):
        problem = drawn(rng, 5, l2=(0, "0.01")[i % 2])
        step = Fraction(step_for(problem, 1.7))
        radius = trap(problem.exact, step).radius
        other = trapping_radius(problem.points, problem.multiplicities, problem.l2, float(step))
        # Rounded up to ten binary digits.
        assert other * (1 - 1e-12) < float(radius) < other * 1.004
        ends = np.linspace(-float(radius), float(radius), 2001)[:, None]
        assert np.abs(problem.map(ends, float(step))).max() <= float(radius)


@pytest.mark.parametrize("l2", [0, "0.02"])
def test_ranges_hold_all_and_no_more(l2):
    rng = np.random.default_rng(2)
    for _ in range(12):
        problem = drawn(rng, int(rng.integers(2, 7)), l2)
        step = Fraction(step_for(problem, rng.uniform(0.3, 3)))
        with working(128):
            line = Line.of(problem, step)
            for _ in range(4):
                ends = np.sort(rng.normal(0, 2, 2) * 10 ** rng.uniform(-2, 0.5))
                x = Span.of(Fraction(ends[0]), Fraction(ends[1]))
                image, slope = line.move(x)
                third, fourth = line.higher(x)
                for part in rng.uniform(size=4):
                    w = mpf(ends[0]) + mpf(part) * (mpf(ends[1]) - mpf(ends[0]))
                    f = exact_derivatives(problem, w)
                    assert holds(image.ball, descend(problem, step, w))
                    assert holds(slope, 1 - number(step) * f[1])
                    assert holds(third, f[2])
                    assert holds(fourth, f[3])
                grid = np.linspace(*ends, 4001)
                values = problem.map(grid[:, None], float(step))[:, 0]
                bends = 1 - float(step) * problem.derivatives(grid)[1]
                # No wider than what a grid of 4000 sees, to its spacing squared times T''.
                seen = values.max() - values.min()
                assert float(image.width) <= seen + 1e-4 * (1 + seen)
                assert float(slope.rad()) * 2 <= np.ptp(bends) + 1e-4 * (1 + np.ptp(bends))


def test_derivative_of_iterates_is_enclosed():
    rng = np.random.default_rng(3)
    for _ in range(8):
        problem = drawn(rng, 3)
        step = Fraction(step_for(problem, 2.2))
        centre, reach = rng.normal(), 10 ** rng.uniform(-4, -1)
        with working(128):
            line = Line.of(problem, step)
            x = Span.of(Fraction(centre - reach), Fraction(centre + reach))
            ranges, derivative = follow(line, x, 3)
            for part in (-1, -0.3, 0, 0.8, 1):
                w, product = mpf(centre) + part * mpf(reach) * mpf("0.999"), mpf(1)
                for k in range(3):
                    assert holds(ranges[k].ball, w)
                    product *= 1 - number(step) * exact_derivatives(problem, w)[1]
                    w = descend(problem, step, w)
                assert holds(derivative, product)


def test_centred_form_where_products_are_too_wide():
    # (T^2)' is 1 at the flip but for 1e-4; only the third order shows that it is below nearby.
    with working(128):
        line = Line.of(CASCADE, Fraction("12.4999"))
        x = Span.of(Fraction("1.3763"), Fraction("1.3963"))
        ranges, derivative = follow(line, x, 2)
        product = line.slope(ranges[0]) * line.slope(ranges[1])
        assert product.contains(1)
        assert derivative < 1


@pytest.mark.parametrize(("points", "counts", "step", "cycle", "multiplier"), KNOWN)
def test_known_cycles_are_found_and_refute(points, counts, step, cycle, multiplier):
    problem = Logistic(points, counts)
    found = all_cycles(problem, step, 2)
    assert found.complete
    stable = [c for c in found.cycles if c.period == 2 and c.stable]
    assert len(stable) == 1
    assert found.counts == {1: 1, 2: 2}  # the other, unstable one was born in the same fold
    for enclosure, value in zip(stable[0].points, cycle, strict=True):
        # The table has 7 digits or more; steps in it are rounded to 10.
        assert enclosure.midpoint == pytest.approx(value, rel=2e-7)
    assert stable[0].multiplier.midpoint == pytest.approx(multiplier, abs=2e-5)
    proof = converges_globally(problem, step)
    assert not proof.valid
    assert proof.two_cycle == stable[0]
    assert not proof.verify()
    assert "Not so" in str(proof)


@pytest.mark.parametrize(
    ("gamma", "counts"),
    [
        ("1.99", {1: 1, 2: 0, 4: 0, 8: 0}),
        ("2.5", {1: 1, 2: 1, 4: 0, 8: 0}),
        ("2.7", {1: 1, 2: 1, 4: 1, 8: 0}),
        ("2.77", {1: 1, 2: 1, 4: 1, 8: 1}),
    ],
)
def test_cascade(gamma, counts):
    # Flips at 2, 2.59193, 2.75125 and 2.78577; no fold is below the end of the cascade, 2.7952.
    found = all_cycles(CASCADE, Fraction(gamma) / Fraction("0.16"), 8)
    assert found.complete
    assert found.counts == {**dict.fromkeys(range(1, 9), 0), **counts}
    longest = max(p for p, count in counts.items() if count)
    assert [c.stable for c in found.cycles] == [c.period == longest for c in found.cycles]


def test_balanced_equal_points_have_one_odd_cycle():
    # T is odd: 2 w = step (s(w) - 1/2) on a cycle of period 2, multiplier (1 - step s'(w))^2.
    cycle = all_cycles(Logistic([1, -1]), 9, 2).cycles[1]
    w = mp.findroot(lambda w: 2 * w - 9 * (1 / (1 + mp.exp(-w)) - mpf(1) / 2), 1.2)
    s = 1 / (1 + mp.exp(-w))
    assert number(cycle.points[0].low) <= w <= number(cycle.points[0].high)
    assert number(cycle.points[1].low) <= -w <= number(cycle.points[1].high)
    assert abs(cycle.multiplier.midpoint - (1 - 9 * s * (1 - s)) ** 2) < 1e-15
    assert cycle.points[0].width < 1e-30


def test_counts_agree_with_dense_grids():
    rng = np.random.default_rng(4)
    periods = 0
    for i in range(10):
        problem = drawn(rng, int(rng.integers(2, 5)))
        step = step_for(problem, (1.5, 2.6, 3.0, 4.0, 6.0)[i % 5])
        found = all_cycles(problem, step, 3)
        assert found.complete
        radius = float(trap(problem.exact, Fraction(step)).radius)
        assert grid_count(problem, float(step), 2, radius) == 1 + 2 * found.counts[2]
        assert grid_count(problem, float(step), 3, radius) == 1 + 3 * found.counts[3]
        periods += found.counts[2] + found.counts[3]
    assert periods > 6


@pytest.mark.full
def test_counts_agree_with_dense_grids_often():
    rng = np.random.default_rng(5)
    for _ in range(120):
        problem = drawn(rng, int(rng.integers(2, 8)))
        step = step_for(problem, rng.uniform(1, 6))
        found = all_cycles(problem, step, 4)
        assert found.complete
        radius = float(trap(problem.exact, Fraction(step)).radius)
        counts = found.counts
        assert grid_count(problem, float(step), 3, radius) == 1 + 3 * counts[3]
        expected = 1 + 2 * counts[2] + 4 * counts[4]
        assert grid_count(problem, float(step), 4, radius) == expected


def test_cycles_are_cycles_in_50_digits():
    rng = np.random.default_rng(6)
    for _ in range(6):
        problem = drawn(rng, 4)
        step = step_for(problem, rng.uniform(2.5, 6))
        for cycle in all_cycles(problem, step, 4).cycles:
            # Newton's method in 50 digits from the middle stays in the enclosure.
            first = cycle.points[0]
            w = number((first.low + first.high) / 2)
            for _ in range(3):
                x, product = w, mpf(1)
                for _ in range(cycle.period):
                    product *= 1 - number(Fraction(step)) * exact_derivatives(problem, x)[1]
                    x = descend(problem, step, x)
                w -= (x - w) / (product - 1)
            x = w
            for point in cycle.points:
                assert number(point.low) <= x <= number(point.high)
                assert point.width < 1e-20
                x = descend(problem, step, x)
            assert number(cycle.multiplier.low) <= product <= number(cycle.multiplier.high)
            assert cycle.stable == (abs(product) < 1)


def test_flip_is_undecided_and_says_where():
    found = all_cycles(CASCADE, "12.5", 2)
    assert not found.complete
    assert found.cycles[0].stable is None
    assert len(found.undecided) == 1
    assert found.undecided[0].width < 1e-9
    assert CASCADE.minimizer()[0] in found.undecided[0]
    assert "Undecided" in str(found)
    proof = converges_globally(CASCADE, "12.5")
    assert not proof.valid
    assert "gamma is 2 or very near" in proof.message
    # The rest of the line is settled: with odd periods there is no doubt at all.
    assert all_cycles(CASCADE, "12.5", 1).complete
    assert not all_cycles(Logistic([1, -1]), 8, 2).complete


def test_answers_as_json_are_exact():
    found = all_cycles(HINGE, 6, 2)
    read = json.loads(json.dumps(found.to_json()))
    assert read["complete"] is True
    assert read["counts"] == {"1": 1, "2": 2}
    assert Fraction(read["cycles"][1]["points"][0][0]) == found.cycles[1].points[0].low


def test_bad_input():
    for function in (converges_globally, attractors, schwarzian_negative):
        with pytest.raises(ModelError, match="one dimension"):
            function(Logistic([[1, 0], [0, 1], [-1, -1]]), 1)
        with pytest.raises(ModelError, match="separable"):
            function(Logistic([1, 2]), 1)
        with pytest.raises(ModelError, match="step is -1"):
            function(CASCADE, -1)
    with pytest.raises(ModelError, match="max_period is 0"):
        all_cycles(CASCADE, 1, 0)
