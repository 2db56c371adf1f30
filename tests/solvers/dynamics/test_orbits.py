"""Orbits, exponents and where orbits end, against formulas written out and known cycles."""

import mpmath
import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.kernels import threads
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.orbits import lyapunov, orbit, period_of, settle, spectrum, tails
from quincunx.solvers.dynamics.smooth_map import SmoothMap


def cascade():
    return Logistic([1, -1], [4, 1])  # lambda = 0.16


def hinge():
    return Logistic([1, -1, 1300], [5100, 4900, 1])


def family(a, up, down, m, h):
    points = [(1, 0), (-1, 0), (0, 1), (0, -1), (m, h), (-m, h)]
    return Logistic(points, [a, a, up, down, 1, 1])


def few(up, down, m, h):
    return Logistic([(0, 1), (0, -1), (m, h), ("-" + m, h)], [up, down, 1, 1])


def plain(problem):
    """The same map without compiled loops."""
    d = problem.dimension
    return SmoothMap(problem.map, problem.jacobian, -np.ones(d), np.ones(d))


def test_an_orbit_is_that_of_forty_digits():
    problem, step = few(3, 2, "64", "25.6"), 5.08
    found = orbit(problem, step, [0.4, 3.0], 40)
    with mpmath.workdps(40):
        z = [(0, 1, 3), (0, -1, 2), (64, mpmath.mpf("25.6"), 1), (-64, mpmath.mpf("25.6"), 1)]
        w, exact = [mpmath.mpf(0.4), mpmath.mpf(3)], []
        for _ in range(41):
            exact.append([float(v) for v in w])
            push = [c / (1 + mpmath.exp(a * w[0] + b * w[1])) for a, b, c in z]
            for j in range(2):
                w[j] += mpmath.mpf(step) * sum(p * v[j] for p, v in zip(push, z, strict=True)) / 7
    assert found.shape == (41, 2)
    # measured 3e-14, of points up to 50
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3, 20])
def test_compiled_and_plain_orbits_agree(d):
    rng = np.random.default_rng(d)
    points = rng.normal(size=(4 * d, d)).round(3)
    problem = Logistic(np.concatenate([points, -points[:d]]), l2=0.01)
    steps, starts = rng.uniform(0.5, 2, 50), rng.normal(size=(50, d))
    found = tails(problem, steps, starts, 30, keep=4)
    w = starts
    for i in range(30):
        w = problem.map(w, steps)
        if i >= 26:
            # measured 9e-16
            np.testing.assert_allclose(found[i - 26], w, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        tails(plain(problem), steps, starts, 30, keep=4), found, rtol=0, atol=1e-12
    )


def test_one_start_at_all_steps_and_progress():
    steps = np.linspace(1, 20, 40_000)
    seen = []
    found = tails(
        cascade(), steps, [0.5], 3000, report=lambda done, all_: seen.append((done, all_))
    )
    assert found.shape == (1, 40_000, 1)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == (40_000, 40_000)
    some = slice(None, None, 9999)
    np.testing.assert_array_equal(found[:, some], tails(cascade(), steps[some], [0.5], 3000))


def test_threads_do_not_change_bits(monkeypatch):
    steps, starts = np.linspace(9, 20, 1000), np.linspace(-2, 3, 1000)[:, None]
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "_threads", lambda count=count: count)
        found.append((tails(cascade(), steps, starts, 2000, keep=3),
                      lyapunov(cascade(), steps, starts, 500, 10)))  # fmt: skip
    for points, exponents in found[1:]:
        np.testing.assert_array_equal(points, found[0][0])
        np.testing.assert_array_equal(exponents, found[0][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, [[0.0]], 5), "steps"),
        (([1.0, 2.0], [[0.0]], 5), "2 steps and 1 starts"),
        ((1.0, [[np.nan]], 5), "starts"),
        ((1.0, [[0.0, 1.0]], 5), r"\[N, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        tails(cascade(), *arguments)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ModelError, match="keep is 7"):
        tails(cascade(), 1.0, [[0.0]], 5, keep=7)
    with pytest.raises(ModelError, match="max_period is 0"):
        settle(cascade(), 1.0, [[0.0]], max_period=0)
    with pytest.raises(ModelError, match="burn_in"):
        lyapunov(cascade(), 1.0, [[0.0]], 5, -1)


@pytest.mark.parametrize("through", [lambda p: p, plain])
def test_exponents_at_a_fixed_point_and_a_cycle_are_logarithms_of_multipliers(through):
    problem = hinge()
    steps = np.array([0.3, 1.5]) / problem.sharpness
    # The second start converges to the known 2-cycle, whose multiplier is in the systems' table.
    found = lyapunov(through(problem), steps, [[0.05], [0.9996]], 300, 300)
    # measured 3e-9, from the nine digits of the multiplier
    np.testing.assert_allclose(found, [np.log(0.7), np.log(0.083183901) / 2], rtol=0, atol=1e-8)


@pytest.mark.parametrize("through", [lambda p: p, plain])
def test_all_exponents_at_a_minimiser(through):
    problem = Logistic([(1, 2), (-1, 1), (0, -3), (2, -1), (-2, 0.5)])
    step = 0.7 / problem.sharpness
    found = spectrum(through(problem), step, problem.minimizer()[None] + 0.01, 2000, 2000)
    expected = np.log(1 - step * np.linalg.eigvalsh(problem.hessian(problem.minimizer())))
    # The error is of order 1 / iterations, as vectors turn into their directions; measured 3.5e-4.
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=2e-3)


def test_exponents_of_known_chaotic_maps():
    def square(w, step):
        return np.reshape(step, (-1, 1)) * w * (1 - w)

    def slope(w, step):
        return (np.reshape(step, (-1, 1)) * (1 - 2 * w))[:, :, None]

    parabola = SmoothMap(square, slope, [0.0], [1.0])
    # log 2 = 0.6931 at 4; measured 0.6930 over 20 orbits
    starts = parabola.starts(20, 4.0, 0)
    assert abs(lyapunov(parabola, 4.0, starts, 3000, 100).mean() - np.log(2)) < 2e-3

    def henon(w, step):
        return np.stack([1 - np.reshape(step, -1) * w[:, 0] ** 2 + w[:, 1], 0.3 * w[:, 0]], 1)

    def derivative(w, step):
        found = np.zeros((len(w), 2, 2))
        found[:, 0, 0], found[:, 0, 1], found[:, 1, 0] = -2 * step * w[:, 0], 1, 0.3
        return found

    found = spectrum(SmoothMap(henon, derivative, [0, 0], [0.1, 0.1]), 1.4, np.zeros((10, 2))
                     + np.linspace(0, 0.1, 10)[:, None], 3000, 100)  # fmt: skip
    # The determinant is -0.3 everywhere; the first exponent is 0.419 (measured 0.418 over these).
    np.testing.assert_allclose(found.sum(1), np.log(0.3), rtol=0, atol=1e-9)
    assert abs(found[:, 0].mean() - 0.419) < 0.01


def test_the_exponent_changes_sign_where_the_cascade_ends():
    gammas = np.array([1.9, 2.5, 2.7, 2.75, 2.85, 2.9])
    found = lyapunov(cascade(), gammas / 0.16, [1.0], 20_000, 5000)
    assert np.all(found[:4] < 0)
    assert np.all(found[4:] > 0.05)


def test_periods_of_tails():
    t = np.arange(200)
    angles = np.stack([np.cos(2 * np.pi * t * 5 / 27), np.sin(2 * np.pi * t * 5 / 27)], 1)
    assert period_of(angles, 64) == 27
    assert period_of(angles, 26) == 0
    assert period_of(angles[:53], 64) == 0  # too short to see it
    assert period_of(np.ones((10, 2)), 4) == 1
    assert period_of(t[:, None] * 1e-3, 64) == 0  # a drift
    assert period_of((-0.995) ** t[:, None], 64) == 0  # a slow transient
    with pytest.raises(ModelError, match="tail"):
        period_of(t, 4)


# Data, step or gamma, known points of the systems' table and the multipliers there.
KNOWN = [
    (hinge(), 1.2, 2, [0.68398175], [0.0140292], 1e-7),
    (hinge(), 1.5, 2, [0.99962031127923], [0.083183901], 1e-9),
    (hinge(), 1.9, 2, [1.7395093], [-0.0201854], 1e-6),
    (Logistic([1, "-0.892", 300]), 1.2, 2, [0.92397438545984], [-0.52677094], 1e-7),
    (Logistic([1, "-0.7179", 100]), 1.5, 2, [1.4996749867428], [0.62932166], 1e-7),
    (Logistic([1, "-0.5223", 30]), 1.9, 2, [2.1086607481173], [-0.022225287], 1e-7),
    (family(500, 600, 400, 300, 30), 0.89996985761467793580, 2,
     [0.92563250092457602185, 0.53221681374730824353], [0.0734498339839792, 0.0268983], 1e-7),
    (family(500, 600, 400, 600, 60), 0.49950053862536620040, 2,
     [0.78623640706971707734, 0.66329421741026415521], [0.325338539204925, 0.3043159], 1e-7),
    (family(5000, 6000, 4000, 200000, 200), 0.00999900009999000, 2,
     [0.40194289313934933447, 0.48954822531870578592], [0.981242678627648, 0.98088071], 1e-7),
    # Period 27: trace .94982190 and determinant .064245574.
    (few(3, 2, "64", "25.6"), 0.899213258830, 27,
     [0.47205885699260364, 2.8530972346527017], [0.8765263, 0.0732956], 1e-6),
    (few(5, 4, "128", "51.2"), 0.3, 26, None, None, None),
    (few(8, 7, "256", "102.4"), 0.1, 30, None, None, None),
    (few(4, 2, "128", "25.6"), 0.7, 26, None, None, None),
]  # fmt: skip


def check_known(problem, gamma, period, point, multipliers, tolerance, starts):
    step = gamma / problem.sharpness
    found = settle(problem, step, problem.starts(starts, step, 0))
    cycles = [c for c in found.cycles if c.period == period]
    assert cycles
    assert all(c.stable and c.residual < 1e-9 for c in found.cycles)
    assert abs(sum(c.share for c in found.cycles) + found.unresolved - 1) < 1e-12
    # measured 0 but for 0.006 in one case, from starts far out whose way back takes longer
    assert found.unresolved < 0.01
    if point is not None:
        gaps = [np.abs(np.abs(c.points) - point).max(1).min() for c in cycles]
        best = cycles[int(np.argmin(gaps))]
        # measured 2.2e-8, from eight digits in the table
        assert min(gaps) < 5e-8
        np.testing.assert_allclose(best.multipliers, multipliers, rtol=0, atol=tolerance)
    return found, step


@pytest.mark.parametrize("known", KNOWN, ids=lambda k: f"{k[0]!r} {k[1]:.4g}")
def test_known_cycles_are_found(known):
    found, step = check_known(*known, 1000)
    problem = known[0]
    # By iterating on without compiled loops: an orbit comes nearer to its cycle and no other.
    some = np.flatnonzero(found.labels >= 0)[::50]
    starts = problem.starts(1000, step, 0)[some]
    w = tails(problem, step, starts, 100_000)[0]
    for point, label in zip(w, found.labels[some], strict=True):
        gaps = [np.abs(c.points - point).max(1).min() for c in found.cycles]
        assert int(np.argmin(gaps)) == label
        # The slowest multiplier, 0.99976 over 26 steps, leaves 2e-2 after 100,000.
        assert gaps[label] < 3e-2


@pytest.mark.full
@pytest.mark.parametrize("known", KNOWN, ids=lambda k: f"{k[0]!r} {k[1]:.4g}")
def test_known_cycles_are_found_from_ten_thousand_starts(known):
    check_known(*known, 10_000)


@pytest.mark.parametrize("gamma", [1.5, 1.9])
def test_a_negative_control_has_nothing_but_its_minimiser(gamma):
    problem = Logistic([1, -1, 20], [51, 49, 1])
    step = gamma / problem.sharpness
    found = settle(problem, step, problem.starts(1000, step, 1))
    (only,) = found.cycles
    assert only.share == 1
    assert only.period == 1
    assert abs(only.points[0, 0] - 0.114152717559409) < 1e-12
    assert abs(only.multipliers[0] - (1 - gamma)) < 1e-9


def test_a_slow_transient_is_no_cycle():
    problem = Logistic([1, -3])
    step = 1.995 / problem.sharpness
    found = settle(problem, step, problem.starts(500, step, 0))
    assert [c.period for c in found.cycles] == [1]
    assert abs(found.cycles[0].multipliers[0] + 0.995) < 1e-9
    assert found.unresolved == 0


@pytest.mark.parametrize(
    ("gamma", "period"), [(2.5, 2), (2.7, 4), (2.78, 8), (2.79, 16), (2.794, 32)]
)
def test_each_period_of_the_cascade_is_told_from_its_half(gamma, period):
    found = settle(cascade(), gamma / 0.16, cascade().starts(300, gamma / 0.16, 0))
    assert [c.period for c in found.cycles] == [period]
    assert found.unresolved == 0


@pytest.mark.parametrize("gamma", [2.0, 2.9])
def test_a_flip_point_and_chaos_stay_unresolved(gamma):
    found = settle(
        cascade(), gamma / 0.16, cascade().starts(100, gamma / 0.16, 0), iterations=20_000
    )
    assert found.unresolved == 1
    assert found.cycles == ()
    assert np.all(found.steps_taken == 20_000)


def test_a_drift_is_no_cycle():
    # Separable points: the loss falls for ever.
    found = settle(Logistic([[1.0, 0.5], [2.0, -0.3]]), 0.5, np.zeros((50, 2)), iterations=5000)
    assert found.unresolved == 1


def test_orbits_on_their_way_to_infinity_are_left():
    escaping = SmoothMap(
        lambda w, step: np.reshape(step, (-1, 1)) * w**2,
        lambda w, step: (2 * np.reshape(step, (-1, 1)) * w)[:, :, None],
        [-3.0],
        [3.0],
    )
    starts = np.linspace(-2.95, 2.95, 60)[:, None]
    found = settle(escaping, 1.0, starts)
    np.testing.assert_array_equal(found.labels, np.where(np.abs(starts[:, 0]) < 1, 0, -1))
    assert found.steps_taken.max() < 1000


def test_labels_survive_scaling():
    problem, step = hinge(), 6.0
    scaled = Logistic([3, -3, 3900], [5100, 4900, 1])
    starts = problem.starts(400, step, 3)
    before, after = settle(problem, step, starts), settle(scaled, step / 9, starts / 3)
    assert [c.period for c in before.cycles] == [c.period for c in after.cycles]
    np.testing.assert_array_equal(before.labels, after.labels)


def test_an_unstable_point_is_not_where_an_orbit_ends():
    problem = cascade()
    step = 2.5 / 0.16
    found = settle(problem, step, [problem.minimizer()], iterations=2)
    assert found.unresolved == 1


def test_points_that_span_less_than_the_space():
    problem = Logistic([(1, 1), (-1, -1)], [4, 1])
    found = settle(problem, 2.0, np.random.default_rng(0).normal(size=(20, 2)))
    assert found.unresolved == 0
    # Within the span it is one-dimensional: w1 + w2 = log 4.
    np.testing.assert_allclose(found.cycles[0].points, np.log(4) / 2, rtol=0, atol=1e-12)


def test_progress_of_settling_ends_with_all():
    seen = []
    settle(cascade(), 14.0, np.linspace(0, 1, 40)[:, None], report=lambda *p: seen.append(p))
    assert seen[-1] == (40, 40)
