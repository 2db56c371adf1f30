"""Problems: loss, derivatives, minimisers, sharpness, the trapping ball, and what is refused."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.logistic import Logistic

HINGE = ([1, -1, 1300], [5100, 4900, 1])
PLANE = (
    [[1, 0], [-1, 0], [0, 1], [0, -1], [300, 30], [-300, 30]],
    [500, 500, 600, 400, 1, 1],
)


def overlapping(seed: int, n: int, d: int) -> Logistic:
    """Random points with a point on the other side of each."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, d)) * np.exp(rng.normal(size=(n, 1)))
    return Logistic(
        np.concatenate([z, -rng.uniform(0.2, 2, (n, 1)) * z]), rng.integers(1, 9, 2 * n)
    )


# The systems' page of known cycles, found there with 40 digits.
@pytest.mark.parametrize(
    ("data", "minimizer", "sharpness"),
    [
        (HINGE, 0.04000533461370, 0.24987501249875),
        (([1, -0.892, 300], None), 0.12042193647, 0.14914638686158),
        (([1, -0.7179, 100], None), 0.375968142181, 0.12263208102079),
        (([1, -0.5223, 30], None), 0.782485729946, 0.093584250162013),
        (([1, -1], [4, 1]), math.log(4), 0.16),
        (([1, -1], [9, 1]), math.log(9), 0.09),
        (([1, -3], None), -0.45409213, 0.84915455),
    ],
)
def test_known_minimisers_in_one_dimension(data, minimizer, sharpness):
    problem = Logistic(*data)
    # As many digits as the sources print.
    assert problem.minimizer()[0] == pytest.approx(minimizer, rel=2e-8)
    assert problem.sharpness == pytest.approx(sharpness, rel=1e-8)
    assert problem.critical_step == 2 / problem.sharpness


def test_the_minimiser_of_one_pair_is_a_logarithm_to_the_last_bit():
    assert Logistic([1, -1], [4, 1]).minimizer()[0] == math.log(4)


def test_a_known_minimiser_in_the_plane():
    problem = Logistic(*PLANE)
    assert problem.minimizer() == pytest.approx([0, 0.405466411824306794726], abs=1e-15)
    assert problem.sharpness == pytest.approx(0.12534399131123648131, rel=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_minimisers_agree_with_scipy_and_have_no_gradient(seed):
    problem = overlapping(seed, 6, 3)
    w = problem.minimizer()
    scale = np.linalg.norm(problem.points, axis=1).mean()
    # Measured: up to 2e-16 of the mean norm.
    assert np.abs(problem.gradient(w)).max() < 2e-15 * scale
    other = minimize(problem.loss, np.zeros(3), jac=problem.gradient, method="BFGS", tol=1e-10)
    # What scipy stops at; ours is below.
    assert problem.loss(w) <= other.fun + 1e-15
    assert w == pytest.approx(other.x, abs=1e-4)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_derivatives_are_those_of_the_loss(l2):
    problem = Logistic(overlapping(3, 4, 3).points, None, l2)
    w = np.random.default_rng(0).normal(size=(5, 3))
    h = 1e-5
    for i in range(3):
        e = h * np.eye(3)[i]
        slope = (problem.loss(w + e) - problem.loss(w - e)) / (2 * h)
        # Differences of functions of size 1: about 1e-10 from h^2 and 1e-11 from rounding.
        assert problem.gradient(w)[:, i] == pytest.approx(slope, abs=1e-8)
        bend = (problem.gradient(w + e) - problem.gradient(w - e)) / (2 * h)
        assert problem.hessian(w)[:, i] == pytest.approx(bend, abs=1e-8)
    step = np.linspace(1, 2, 5)
    assert problem.map(w, step) == pytest.approx(w - step[:, None] * problem.gradient(w))
    jacobian = np.eye(3) - step[:, None, None] * problem.hessian(w)
    assert problem.jacobian(w, step) == pytest.approx(jacobian)


def test_the_tail_of_an_outlier_is_not_lost_to_rounding():
    # Its pull M s(-M w) / 3 is 1e-12 here, and M / 3 rounded would be off by 1e-12.
    problem = Logistic([1, -1, 30_000])
    w = math.log(1e4 / 1e-12) / 30_000
    only = problem.gradient(np.array([w])) - Logistic([1, -1]).gradient(np.array([w])) * 2 / 3
    assert only[0] == pytest.approx(-1e-12, rel=1e-3)


def test_outliers_do_not_keep_newton_from_the_minimiser():
    for steep in (600, 1000, 10**7):
        problem = Logistic([1, -1, steep], [4, 1, 1])
        w = problem.minimizer()
        # The outlier's tail is all but gone: log(4) to its digits.
        assert w[0] == pytest.approx(math.log(4), abs=1e-14)


def test_derivatives_of_third_and_fourth_order():
    problem = Logistic([1, -1.5, 4], [3, 2, 1])
    w, h = np.linspace(-2, 2, 9), 1e-4
    first, second, third, fourth = problem.derivatives(w)
    assert first == pytest.approx(problem.gradient(w[:, None])[:, 0], abs=1e-15)
    assert second == pytest.approx(problem.hessian(w[:, None])[:, 0, 0], abs=1e-15)
    up, down = problem.derivatives(w + h), problem.derivatives(w - h)
    assert third == pytest.approx((up[1] - down[1]) / (2 * h), abs=1e-6)
    assert fourth == pytest.approx((up[2] - down[2]) / (2 * h), abs=1e-5)
    with pytest.raises(ModelError, match="one dimension"):
        Logistic(*PLANE).derivatives(w)


def test_derivatives_do_not_overflow():
    problem = Logistic(*HINGE)
    w = np.array([[-1e6], [1e6], [-1e-300], [1e300]])
    with np.errstate(all="raise", under="ignore"):
        for value in (problem.gradient(w), problem.hessian(w), problem.loss(w[:3])):
            assert np.isfinite(value).all()
    # p (1 - p) would be 0 here.
    assert problem.hessian(np.array([40.0]))[0, 0] > 0


def test_smoothness_is_the_sharpness_at_zero_and_the_largest():
    problem = overlapping(1, 5, 2)
    points = np.random.default_rng(1).normal(size=(200, 2))
    largest = np.linalg.eigvalsh(problem.hessian(points))[:, -1].max()
    assert largest <= problem.smoothness
    z, c = problem.points, problem.multiplicities
    second = np.einsum("i,ij,ik", c, z, z) / (4 * c.sum())
    assert problem.smoothness == pytest.approx(np.linalg.eigvalsh(second)[-1], rel=1e-12)


def test_points_are_merged_and_a_point_with_its_negative():
    problem = Logistic([[1, 2], [1, 2], [-1, -2], [0, 1], [0, -1]], [1, 2, 3, 4, 5])
    assert problem.exact.weights == (3, 3, 4, 5)
    assert problem.merged.directions.tolist() == [[-1, -2], [0, 1]]
    assert problem.merged.weights == pytest.approx([6 / 15, 9 / 15])
    assert problem.merged.pull == pytest.approx([-3 / 15, (-6 + 4) / 15])
    w = np.array([0.3, -0.7])
    t = problem.points @ w
    plain = -(problem.multiplicities / (1 + np.exp(t))) @ problem.points / 15
    assert problem.gradient(w) == pytest.approx(plain, abs=1e-15)


@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_scaling_is_a_conjugacy(seed, a):
    problem = overlapping(seed, 3, 2)
    scaled = Logistic(problem.points * a, problem.multiplicities)
    w = np.random.default_rng(seed).normal(size=(4, 2))
    # z -> a z, step -> step / a^2, w -> w / a; gamma stays. Rounding only.
    assert scaled.map(w / a, 1 / a**2) * a == pytest.approx(problem.map(w, 1.0), rel=1e-9, abs=1e-9)
    assert scaled.sharpness / a**2 == pytest.approx(problem.sharpness, rel=1e-9)


def test_decimals_agree_with_a_logarithm_and_with_rounding():
    with localcontext() as context:
        context.prec = 60
        expected = Decimal(4).ln()
    found = Logistic([1, -1], [4, 1]).minimizer(digits=50)[0]
    assert abs(found - expected) < Decimal("1e-49")
    for problem in (Logistic(*PLANE), overlapping(2, 5, 3), Logistic([1, 2], l2=Fraction(1, 7))):
        exact = np.array(problem.minimizer(digits=40), dtype=float)
        # Measured: up to 6e-16 of the norm.
        assert problem.minimizer() == pytest.approx(exact, abs=1e-14)
    with pytest.raises(ModelError, match="digits"):
        Logistic([1, -1]).minimizer(digits=0)


def test_decimals_solve_the_equation():
    z, c = [1, Fraction(-7179, 10000), 100], (1, 1, 1)
    w = Logistic(z, c).minimizer(digits=60)[0]
    with localcontext() as context:
        context.prec = 80
        rows = [Decimal(Fraction(v).numerator) / Decimal(Fraction(v).denominator) for v in z]
        slope = sum(v / (1 + (v * w).exp()) for v in rows)
    # A digit in the sixtieth place of w, times second derivatives of size 0.4.
    assert abs(slope) < Decimal("1e-59")


def test_points_that_span_less_are_minimised_within_their_span():
    problem = Logistic([[1, 2], [-1, -2], [2, 4]])
    with pytest.warns(UserWarning, match="1 of 2 dimensions"):
        w = problem.minimizer()
    assert w[1] == pytest.approx(2 * w[0], rel=1e-12)
    assert problem.gradient(w) == pytest.approx([0, 0], abs=1e-15)
    assert problem.rank == 1 and problem.span.shape == (2, 1)
    inner = problem.within_span()
    assert inner.dimension == 1
    assert inner.sharpness == pytest.approx(problem.sharpness, rel=1e-12)
    decimals = [float(v) for v in problem.minimizer(digits=30)]
    assert w == pytest.approx(decimals, abs=1e-15)


def test_an_l2_term_gives_separable_points_a_minimiser():
    problem = Logistic([[1, 0], [0, 1]], l2="0.001")
    w = problem.minimizer()
    assert problem.gradient(w) == pytest.approx([0, 0], abs=1e-15)
    # 0.001 w = s(-w) / 2, solved apart.
    assert w == pytest.approx([4.66512041240554297605750447681] * 2, rel=1e-13)


@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize(("seed", "d"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 4)])
def test_orbits_enter_the_trapping_ball_and_stay(seed, d, l2):
    source = overlapping(seed, 5, d)
    problem = Logistic(source.points, source.multiplicities, l2)
    step = 1.9 / problem.smoothness * 5
    if step * l2 >= 2:
        pytest.skip("this step diverges by the L2 term alone")
    radius = problem.trapping_radius(step)
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(300, d))
    w *= radius * rng.uniform(0, 1, (300, 1)) / np.linalg.norm(w, axis=1, keepdims=True)
    for _ in range(200):
        w = problem.map(w, step)
        assert np.linalg.norm(w, axis=1).max() <= radius
    outside = 1.05 * radius * np.eye(d)[:1]
    for _ in range(20_000):
        outside = problem.map(outside, step)
        if np.linalg.norm(outside) <= radius:
            return
    raise AssertionError("the orbit has not come into the ball")


def test_starts_are_in_the_ball_seeded_and_in_the_span():
    problem = Logistic(*PLANE)
    points = problem.starts(1000, 7.18, 3)
    assert np.array_equal(points, problem.starts(1000, 7.18, 3))
    assert not np.array_equal(points, problem.starts(1000, 7.18, 4))
    assert np.linalg.norm(points, axis=1).max() <= problem.trapping_radius(7.18)
    flat = Logistic([[1, 2], [-1, -2], [2, 4]]).starts(50, 1.0, 0)
    assert flat[:, 1] == pytest.approx(2 * flat[:, 0])


def test_labels_are_folded_in():
    x = [[1, 2], [3, 4], [5, 7]]
    folded = Logistic([[1, 2], [-3, -4], [5, 7]])
    for y in ([1, -1, 1], [1, 0, 1], np.array([1.0, -1.0, 1.0]), [True, False, True]):
        assert Logistic.from_labels(x, y).exact == folded.exact
    with pytest.raises(ModelError, match="labels are"):
        Logistic.from_labels(x, [1, 2, 3])
    with pytest.raises(ModelError, match="3 points and 2 labels"):
        Logistic.from_labels(x, [1, 0])


def test_numbers_are_taken_for_what_is_written():
    problem = Logistic([0.1, "-1/3", Fraction(2, 7), np.float64(0.2), np.int64(3), Decimal("0.4")])
    expected = (Fraction(1, 10), Fraction(-1, 3), Fraction(2, 7), Fraction(1, 5), 3, Fraction(2, 5))
    assert tuple(z[0] for z in problem.exact.points) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Logistic([]), "no points"),
        (lambda: Logistic([[]]), "no points"),
        (lambda: Logistic([[1, 2], [3]]), "same number"),
        (lambda: Logistic([math.nan, 1]), "point 0 is nan"),
        (lambda: Logistic([[1.0, math.inf]]), "coordinate of point 0 is inf"),
        (lambda: Logistic([1, "x"]), "'x'"),
        (lambda: Logistic([1, "1/0"]), "'1/0'"),
        (lambda: Logistic([[1, 0], [0, 0]]), "point 1 is zero"),
        (lambda: Logistic([1, -1], [1]), "2 points and 1 multiplicities"),
        (lambda: Logistic([1, -1], [1, 0]), "multiplicity is 0"),
        (lambda: Logistic([1, -1], [1, -2]), "multiplicity is -2"),
        (lambda: Logistic([1, -1], l2=-1), "l2 is -1"),
        (lambda: Logistic([1, 2]).minimizer(), r"separable.*along \(1\)"),
        (lambda: Logistic([-3, -2]).sharpness, r"separable.*along \(-1\)"),
        (lambda: Logistic([[1, 0], [-1, 0], [0, 1]]).minimizer(), r"quasi-separable.*\(0, 1\)"),
        (lambda: Logistic([1, -1]).trapping_radius(0), "step is 0"),
        (lambda: Logistic([1, -1]).trapping_radius(math.nan), "step is nan"),
        (lambda: Logistic([1, 2]).trapping_radius(1), "nothing traps"),
        (lambda: Logistic([1, -1], l2=1).trapping_radius(2), "ever further"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(ModelError, match=message):
        make()
