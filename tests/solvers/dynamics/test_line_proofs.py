"""Theorems in one dimension against 50-digit arithmetic, dense grids and known cycles."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.special import expit

from quincunx._errors import FileFormatError, ModelError
from quincunx.solvers.dynamics.certify.all_cycles import all_cycles
from quincunx.solvers.dynamics.certify.balls import working
from quincunx.solvers.dynamics.certify.convergence import (
    Convergence,
    converges_globally,
    gamma_at_most_one,
    no_two_cycle,
)
from quincunx.solvers.dynamics.certify.line import PEAK_ABOVE, Line, Span, follow, trap
from quincunx.solvers.dynamics.certify.schwarzian import attractors, schwarzian_negative
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.trapping import trapping_radius

HINGE = Logistic([1, -1, 1300], [5100, 4900, 1])
CASCADE = Logistic([1, -1], [4, 1])

# Points, multiplicities, step, the stable cycle of period 2 and its multiplier: found with
# 40-digit arithmetic from orbits, apart from this library.
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


def drawn(rng, n, l2=0, spread=1.0):
    """Return a problem with log-normal scales and both signs."""
    while True:
        z = np.exp(rng.normal(0, spread, n)) * rng.choice([-1, 1], n)
        if z.min() < 0 < z.max():
            break
    return Logistic([f"{v:.4g}" for v in z], rng.integers(1, 9, n), l2)


def step_for(problem, gamma):
    return f"{gamma / problem.sharpness:.8g}"


def exact_derivatives(problem, w):
    """Return f', f'', f''' and f'''' at 50 digits, from the definition."""
    exact = problem.exact
    total = sum(exact.weights)
    found = [mpf(0)] * 4
    for (z,), c in zip(exact.points, exact.weights, strict=True):
        z, c = (
            mpf(z.numerator) / z.denominator,
            mpf((c / total).numerator) / (c / total).denominator,
        )
        s = 1 / (1 + mp.exp(z * w))
        v = s * (1 - s)
        parts = (-z * s, z**2 * v, -(z**3) * v * (1 - 2 * s), z**4 * v * (1 - 6 * v))
        found = [a + c * b for a, b in zip(found, parts, strict=True)]
    l2 = number(exact.l2)
    return found[0] + l2 * w, found[1] + l2, found[2], found[3]


def descend(problem, step, w):
    return w - number(Fraction(step)) * exact_derivatives(problem, w)[0]


def number(fraction):
    return mpf(fraction.numerator) / fraction.denominator


def holds(ball, value):
    """Whether a ball holds a 50-digit number, but for what 50 digits round."""
    low, high = Span(ball.lower(), ball.upper()).fractions()
    slack = mpf(10) ** -40 * (1 + abs(value))
    return number(low) - slack <= value <= number(high) + slack


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


def grid_count(problem, step, period, radius):
    """Count zeros of T^p(w) - w by changes of sign on a grid that is dense near 0."""
    near = radius * 10.0 ** np.linspace(-6, 0, 100_001)
    w = np.concatenate([-near[::-1], near])[:, None]
    z, c = problem.points[:, 0], problem.multiplicities / problem.multiplicities.sum()
    image = w[:, 0]
    for _ in range(period):
        image = image + step * (expit(-np.multiply.outer(image, z)) @ (c * z))
    signs = np.sign(image - w[:, 0])
    return int((signs[1:] * signs[:-1] < 0).sum())


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


def check_global(problem, step):
    """Prove convergence in both ways, and follow orbits."""
    one, two = gamma_at_most_one(problem, step), no_two_cycle(problem, step)
    assert one.valid
    assert two.valid
    assert one.verify()
    assert two.verify()
    radius = float(two.radius)
    w = np.linspace(-radius, radius, 101)[:, None]
    for _ in range(500):
        w = problem.map(w, float(step))
    reached = np.abs(w - problem.minimizer()).max()
    # Slow ones, with multipliers 1 - gamma near 1, have at least come nearer.
    assert reached < max(1e-6, radius)


def random_at_most_one(rng):
    problem = drawn(rng, int(rng.integers(2, 11)))
    gamma = rng.choice([rng.uniform(0.05, 1), 1 - 10 ** rng.uniform(-9, -2)])
    # Rounded down, so that gamma stays at most 1.
    return problem, f"{gamma / problem.sharpness * (1 - 1e-12):.15g}"


def test_random_problems_at_gamma_at_most_one():
    rng = np.random.default_rng(7)
    for _ in range(30):
        check_global(*random_at_most_one(rng))


@pytest.mark.full
def test_a_thousand_problems_at_gamma_at_most_one():
    rng = np.random.default_rng(8)
    for _ in range(1000):
        check_global(*random_at_most_one(rng))


def test_scales_six_orders_apart():
    problem = Logistic(["0.001108", "-6.2168", "-1619.1"])
    step = Fraction("2e-5")
    assert gamma_at_most_one(problem, step).verify()
    assert no_two_cycle(problem, step).verify()
    larger = converges_globally(problem, step * 10**9)
    assert larger.valid or larger.two_cycle is not None
    assert attractors(problem, step).complete


def test_gamma_of_one_exactly():
    # lambda is 0.16 and w* is log 4: whether step lambda <= 1 is not to be decided in balls.
    one = gamma_at_most_one(CASCADE, "6.25")
    assert not one.valid
    assert "not decided" in one.message
    assert no_two_cycle(CASCADE, "6.25").valid
    found = converges_globally(CASCADE, "6.25")
    assert found.valid
    assert found.route == "no cycle of period two"
    assert found.verify()
    above = gamma_at_most_one(CASCADE, "6.26")
    assert not above.valid
    assert "says nothing" in above.message


@pytest.mark.parametrize("gamma", [1.5, 1.9])
def test_negative_controls_converge(gamma):
    # The outlier of size 20 is too near for a cycle.
    problem = Logistic([1, -1, 20], [51, 49, 1])
    found = converges_globally(problem, step_for(problem, gamma))
    assert found.valid
    assert found.verify()
    assert found.gamma.midpoint == pytest.approx(gamma, rel=1e-7)


@pytest.mark.parametrize("gamma", ["1.01", "1.9999", "1.99999999"])
def test_balanced_points_converge_up_to_two(gamma):
    # Corollary: w* = 0 and lambda = L, so that every step below 2 / lambda descends.
    problem = Logistic([1, -1, 3, -3], [1, 1, 2, 2])
    step = Fraction(gamma) / Fraction(19, 4 * 3)
    assert converges_globally(problem, step).verify()
    assert converges_globally(CASCADE, Fraction(gamma) / Fraction("0.16")).verify()


def test_l2_terms():
    # With step l2 >= 1, T falls everywhere.
    for step, valid in (("0.5", True), ("2.5", True), ("2.8", False), ("3.9", False)):
        found = converges_globally(Logistic([1, -1], [3, 2], "0.5"), step)
        assert found.valid == valid
        assert found.verify() == valid
    separable = Logistic([1, 2], None, "0.1")
    assert converges_globally(separable, 4).verify()
    with pytest.raises(ModelError, match="throws w ever further"):
        converges_globally(separable, 20)


def test_convergence_and_grids_never_disagree():
    rng = np.random.default_rng(9)
    outcomes = set()
    for _ in range(25):
        problem = drawn(rng, 3)
        step = step_for(problem, rng.uniform(1, 2.6))
        found = converges_globally(problem, step)
        zeros = grid_count(problem, float(step), 2, float(found.radius))
        assert found.valid == (zeros == 1)
        assert found.valid or found.two_cycle is not None
        outcomes.add(found.valid)
    assert outcomes == {True, False}


def test_certificate_as_json(tmp_path):
    found = no_two_cycle(CASCADE, "12.499999")
    assert found.valid
    assert found.boxes > 3
    found.save(tmp_path / "proof.json")
    read = Convergence.from_json(json.loads((tmp_path / "proof.json").read_text()))
    assert read == found
    assert read.verify()
    for changed in (
        {"step": Fraction("12.6")},
        {"cuts": found.cuts[:-1]},
        {"cuts": found.cuts[:1] + found.cuts[2:]},
        {"cuts": ()},
        {"near": None},
        {"radius": found.radius / 2},
        {"gamma": dataclasses.replace(found.gamma, low=found.gamma.high)},
        {"minimizer": dataclasses.replace(found.minimizer, high=found.minimizer.low)},
        {"valid": False},
        {"message": "Proof: trust me."},
        {"route": "gamma at most one"},
    ):
        assert not dataclasses.replace(found, **changed).verify(), changed
    refuted = converges_globally(HINGE, 6)
    assert Convergence.from_json(json.loads(json.dumps(refuted.to_json()))) == refuted


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "another"),
        ("version", 99),
        ("route", "hope"),
        ("bits", 10),
        ("cuts", ["x"]),
        ("gamma", ["1"]),
        ("multiplicities", ["1"]),
        ("valid", "yes"),
    ],
)
def test_damaged_certificates(key, value):
    entries = {**no_two_cycle(CASCADE, 12).to_json(), key: value}
    with pytest.raises(FileFormatError):
        Convergence.from_json(entries)


def schwarzian(problem, step, w):
    """Return S T at points in double precision."""
    _, second, third, fourth = problem.derivatives(w)
    slope = 1 - step * second
    return -step * fourth / slope - 1.5 * (step * third / slope) ** 2


def check_schwarzian(problem, step):
    found = schwarzian_negative(problem, step)
    grid = np.linspace(float(found.within.low), float(found.within.high), 20_001)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = schwarzian(problem, float(step), grid)
    if found.negative:
        # Values that are 0 but for rounding have either sign.
        assert not (values > 1e-9).any()
    elif found.positive_at is not None:
        w = number((found.positive_at.low + found.positive_at.high) / 2)
        _, second, third, fourth = exact_derivatives(problem, w)
        s = number(Fraction(step))
        assert fourth * (1 - s * second) + mpf(3) / 2 * s * third**2 < mpf(10) ** -30
    return found.negative, bool((values > 0).any())


def test_schwarzian_against_samples():
    rng = np.random.default_rng(10)
    outcomes = [
        check_schwarzian(problem, step_for(problem, rng.uniform(1.2, 4)))
        for problem in (drawn(rng, int(rng.integers(2, 5)), spread=2) for _ in range(30))
    ]
    assert {negative for negative, _ in outcomes} == {True, False}
    assert not any(negative and seen for negative, seen in outcomes)
    # Where no sample is positive, the proof succeeds but for borderline cases.
    assert sum(not negative and not seen for negative, seen in outcomes) <= 1


def test_one_scale_has_a_negative_schwarzian():
    for step in (13, 17, 30):
        assert schwarzian_negative(CASCADE, step).negative
    found = schwarzian_negative(HINGE, 6)
    assert not found.negative
    assert found.positive_at is not None
    assert "not negative at" in str(found)


def check_attractors(problem, step, rng):
    """Follow random orbits: each must end on a cycle that is listed, where all are said to be."""
    found = attractors(problem, step)
    if not found.complete:
        return found
    radius = float(trap(problem.exact, Fraction(step)).radius)
    w = rng.uniform(-radius, radius, (200, 1))
    for _ in range(3000):
        w = problem.map(w, float(step))
    points = np.concatenate([c.points[:, 0] for c in found.cycles])
    away = np.abs(w - points).min(1)
    near = np.abs(np.concatenate([c.multipliers.real for c in found.cycles])).max() < 0.98
    # Multipliers near 1 are too slow for 3000 steps.
    assert not near or away.max() < 1e-6 * (1 + np.abs(points).max())
    assert all(c.stable for c in found.cycles)
    return found


def test_attractors_of_random_problems():
    rng = np.random.default_rng(11)
    found = [
        check_attractors(problem, step_for(problem, rng.uniform(1.5, 3.2)), rng)
        for problem in (drawn(rng, int(rng.integers(2, 4))) for _ in range(15))
    ]
    assert sum(f.complete for f in found) > 7
    assert not all(f.complete for f in found)


def test_attractors_of_the_cascade():
    for gamma, period in ((1, 1), (1.99, 1), (2.5, 2), (2.7, 4), (2.77, 8), (2.79, 16)):
        found = attractors(CASCADE, step_for(CASCADE, gamma))
        assert found.complete, found.reason
        assert [c.period for c in found.cycles] == [period]
    chaos = attractors(CASCADE, step_for(CASCADE, 2.83))
    assert not chaos.complete
    assert "chaos" in chaos.reason
    assert "perhaps not all" in str(chaos)


def test_attractors_are_not_said_to_be_all_where_a_critical_point_may_miss_one():
    # There are two, w* and the cycle of period 2, and critical points need not find both.
    found = attractors(HINGE, 6)
    assert not found.complete
    assert "not negative" in found.reason


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
