"""Certificates of cycles: known ones, what is refused, and no false one against 60 digits."""

import pickle
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from quincunx._errors import MissingExtraError, ModelError
from quincunx.solvers.dynamics.certify.cycle import certify
from quincunx.solvers.dynamics.certify.enclosure import Enclosure
from quincunx.solvers.dynamics.certify.verify import verify
from quincunx.solvers.dynamics.cycles import newton_cycles, proper_period
from quincunx.solvers.dynamics.logistic import Logistic

HINGE = Logistic([1, -1, 1300], [5100, 4900, 1])
ONE_SCALE = Logistic([1, -1], [4, 1])  # minimiser ln 4, lambda 0.16


def plane(side: int, up: int, down: int, m: str, h: str) -> Logistic:
    """The two-dimensional family of the systems' page: D(A, B+, B-, m, h)."""
    rows = [("1", "0", side), ("-1", "0", side), ("0", "1", up), ("0", "-1", down)]
    rows += [(m, h, 1), (f"-{m}", h, 1)]
    rows = [row for row in rows if row[2]]
    return Logistic([row[:2] for row in rows], [row[2] for row in rows])


def orbit(problem: Logistic, step: float, start: list[float], count: int) -> np.ndarray:
    """Points [count, d] that gradient descent visits."""
    w, found = np.array([start]), []
    for _ in range(count):
        found.append(w[0])
        w = problem.map(w, step)
    return np.array(found)


def agrees(value: Enclosure, digits: str) -> bool:
    """Whether printed digits are those of the number enclosed, within a unit of the last place."""
    unit = Fraction(1, 10 ** len(digits.partition(".")[2]))
    return value.width < unit and abs((value.low + value.high) / 2 - Fraction(digits)) <= unit


# The systems' page. Steps are decimals, as proofs need them.
LINE = [
    (HINGE, "6", ["0.998564119240450682", "-0.325960470454230981"], "1.499250074992500749951",
     "0.083081782543003035878"),
    (HINGE, "4.80240096", ["0.68398175", "-0.058523904"], "1.2000000", "0.0140292"),
    (HINGE, "6.00300120048", ["0.99962031127", "-0.32681378684"], "1.5000000000", "0.083183901"),
    (HINGE, "7.603801521", ["1.7395093", "-0.85027454"], "1.90000000", "-0.0201854"),
    (Logistic(["1", "-0.892", "300"]), "8.0458", ["0.9242", "0.0231"], "1.200001999410905",
     "-0.547849061874"),
    (Logistic(["1", "-0.892", "300"]), "8.0457865943055", ["0.92397439", "0.02310955"],
     "1.2000000000000", "-0.52677094"),
    (Logistic(["1", "-0.7179", "100"]), "12.2317", ["1.499", "0.0605"], "1.499998825422",
     "0.644287680900"),
    (Logistic(["1", "-0.7179", "100"]), "12.231709578064", ["1.49967499", "0.06051650"],
     "1.5000000000000", "0.62932166"),
    (Logistic(["1", "-0.5223", "30"]), "20.3026", ["2.109", "0.188"], "1.900003597339",
     "-0.0233001133511"),
    (Logistic(["1", "-0.5223", "30"]), "20.30256156042", ["2.10866075", "0.18847575"],
     "1.900000000000", "-0.022225287"),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "step", "points", "gamma", "multiplier"), LINE)
def test_cycles_on_the_line(problem, step, points, gamma, multiplier):
    proof = certify(problem, step, [[float(v)] for v in points], start=[points[0][:8]])
    assert proof.valid and proof.stable and proof.period == 2 and proof.reason == ""
    assert agrees(proof.gamma, gamma)
    # Measured 4e-8: the page prints fewer digits of some steps than it used.
    ((real, imaginary),) = proof.multipliers
    assert abs(real.midpoint - float(multiplier)) < 1e-7
    assert imaginary == Enclosure(Fraction(0), Fraction(0))
    for digits, (enclosure,) in zip(points, proof.points, strict=True):
        assert agrees(enclosure, digits)
    assert proof.attraction.kappa < 1 and proof.arrival.steps <= 40
    assert proof.seconds < 1


PLANE = [
    ((500, 600, 400, "300", "30"), "7.18", "0.89996985761467793580", "0.12534399131123648131"),
    ((500, 600, 400, "600", "60"), "4", "0.49950053862536620040", "0.12487513465634155002"),
    ((5000, 6000, 4000, "200000", "200"), "0.08", "0.00999900009999000", "0.12498750124987501"),
]


@pytest.mark.parametrize(("data", "step", "gamma", "sharpness"), PLANE)
def test_cycles_in_the_plane(data, step, gamma, sharpness):
    """Points and multipliers against the page's closed form, which holds to 1e-100 here."""
    side, up, down, m, h = (mpmath.mpf(v) for v in data)
    with mpmath.workdps(60):
        n, eta = 2 * side + up + down + 2, mpmath.mpf(step)
        y = mpmath.log((up + h) / (down - h))
        x = mpmath.findroot(lambda x: 2 * x - eta / n * (m + side * mpmath.tanh(x / 2)), 0.8)
        s = 1 / (1 + mpmath.exp(-y))
        across = (1 - eta * side / (2 * n) * mpmath.sech(x / 2) ** 2) ** 2
        along = (1 - eta * (up + down) * s * (1 - s) / n) ** 2
        start = [f"{float(x) + 0.05:.3f}", "0.45"]
        proof = certify(
            plane(*data),
            step,
            [[float(x), float(y)], [-float(x), float(y)]],
            start=start,
        )
        assert proof.valid and proof.period == 2 and proof.reason == ""
        assert holds(proof.points[0][0], x) and holds(proof.points[1][0], -x)
        assert holds(proof.points[0][1], y) and holds(proof.points[1][1], y)
        roots = sorted((across, along), reverse=True)
        for (real, imaginary), root in zip(proof.multipliers, roots, strict=True):
            assert holds(real, root) and 0 in imaginary
    # The second row's lambda is 8e-20 less on the page than a quarter of its gamma.
    assert agrees(proof.gamma, gamma) and agrees(proof.sharpness, sharpness[:20])
    assert proof.gamma.width < 1e-30
    assert proof.arrival.start == tuple(map(Fraction, start))


@pytest.mark.parametrize(
    ("data", "step", "start", "period", "gamma"),
    [
        ((0, 3, 2, "64", "25.6"), "5.08", [0.47205885699260364, 2.8530972346527017], 27,
         "0.899213258830"),
        ((0, 5, 4, "128", "51.2"), "1.44868", [-1.14525553, 14.61086448], 26, "0.3000"),
        ((0, 8, 7, "256", "102.4"), "0.452449", [1.17855759, 6.28780927], 30, "0.10000"),
        ((0, 4, 2, "128", "25.6"), "4.19992", [-0.58029763, 12.76290847], 26, "0.70000"),
    ],
)  # fmt: skip
def test_long_cycles_of_few_points(data, step, start, period, gamma):
    problem = plane(*data)
    points = orbit(problem, float(step), start, period)
    proof = certify(problem, step, points)
    assert proof.valid and proof.period == period and agrees(proof.gamma, gamma)
    assert proof.gamma.high < 1
    assert len(set(proof.points)) == period
    if period == 27:
        (a, i), (b, j) = proof.multipliers
        assert 0 in i and 0 in j
        # The page prints eight digits of trace and determinant.
        assert abs(a.midpoint + b.midpoint - 0.94982190) < 1e-8
        assert abs(a.midpoint * b.midpoint - 0.064245574) < 1e-9
    # Measured 0.15 to 0.25 s on a slow core; the aim is a second.
    assert proof.seconds < 2


def test_negative_controls_stay_negative():
    """Gradient descent from 1 comes to rest at the minimiser, and that is what is certified."""
    problem = Logistic([1, -1, 20], [51, 49, 1])
    for gamma, multiplier in ((1.5, -0.5), (1.9, -0.9)):
        step = float(f"{gamma / problem.sharpness:.8g}")
        proof = certify(problem, step, [[0.114152717559409]], start=[1])
        assert proof.valid and proof.period == 1 and proof.arrival.steps > 0
        assert abs(proof.multipliers[0][0].midpoint - multiplier) < 1e-7
        with pytest.raises(ModelError, match=r"repeated|near"):
            certify(problem, step, [[0.1142], [0.1141]])


def test_a_start_that_goes_elsewhere_is_said_to():
    proof = certify(HINGE, 6, [[0.9986], [-0.326]], start=["0.05"])
    assert proof.valid and proof.arrival is None
    assert "comes to rest" in proof.reason and "0.0400053346" in proof.reason
    assert "comes to rest" in str(proof)


def test_a_long_transient_takes_more_bits():
    """Near the unstable fixed point, and through a chaotic transient, to a cycle of three."""
    points = orbit(ONE_SCALE, 20.7791, [-0.1606814440908526], 3)
    for start in ("1.3862943611198906", "0.1", "-50"):
        proof = certify(ONE_SCALE, "20.7791", points, start=[start], bits=64)
        assert proof.valid and proof.period == 3
        with mpmath.workdps(200):
            w, inside = mpmath.mpf(start), proof.attraction.radius
            for _ in range(proof.arrival.steps):
                w = w - mpmath.mpf("20.7791") * (1 / (1 + mpmath.exp(-w)) - mpmath.mpf("0.8"))
            assert abs(w - mpmath.mpf(str(proof.points[0][0].midpoint))) <= float(inside)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0.04], [0.04]], "fixed point, repeated"),
        ([[0.0400053], [0.0400054], [0.0400053]], "fixed point, repeated"),
        ([[0.9986], [-0.326]] * 2, "cycle of 2 points, repeated"),
        ([[0.5], [0.4]], "near"),
        ([[0.30], [0.29], [0.28]], "near"),
        ([[np.nan]], "not finite"),
        ([[1.0, 2.0]], "shape"),
        ([], "shape"),
    ],
)
def test_what_is_no_cycle_is_refused(points, message):
    with pytest.raises(ModelError, match=message):
        certify(HINGE, 6, points)


def test_bad_input_is_refused():
    with pytest.raises(ModelError, match="give a number > 0"):
        certify(HINGE, -1, [[0.04]])
    with pytest.raises(ModelError, match="separable"):
        certify(Logistic([[1, 0], [0, 1]]), 1, [[0.0, 0.0]])
    with pytest.raises(ModelError, match="start has 2"):
        certify(HINGE, 6, [[0.9986], [-0.326]], start=[1, 2])
    with pytest.raises(ModelError, match="bits"):
        certify(HINGE, 6, [[0.9986], [-0.326]], bits=8)


def test_instability_is_proved():
    proof = certify(ONE_SCALE, 14, [[1.386]])
    # 1 - gamma with gamma = 14 * 0.16
    assert Fraction("-1.24") in proof.multipliers[0][0]
    assert proof.stable is False and not proof.valid and "unstable" in proof.reason
    assert proof.points and proof.attraction is None
    assert "gamma = step lambda = 2.24" in str(proof) and "> 2" in str(proof)
    assert verify(proof) == proof


def test_at_the_flip_nothing_is_claimed_about_stability():
    """Gamma is exactly 2 and the multiplier exactly -1, which no precision tells apart from it."""
    proof = certify(ONE_SCALE, "12.5", [[1.386]], start=["1"])
    assert proof.stable is None and not proof.valid and proof.arrival is None
    assert Fraction(2) in proof.gamma and Fraction(-1) in proof.multipliers[0][0]
    assert "unit circle" in proof.reason and str(proof).startswith("No theorem")
    nearly = certify(ONE_SCALE, "12.49999999999", [[1.386]])
    assert nearly.valid and nearly.gamma.high < 2


def test_a_fold_is_not_certified():
    """Two cycles of three are born near gamma 3.3215; between them the multiplier is 1."""
    low, high = 20.7, 20.7791
    points = orbit(ONE_SCALE, high, [-0.1606814440908526], 3)[None]
    while high - low > 1e-9:
        middle = (low + high) / 2
        found, solved = newton_cycles(ONE_SCALE, middle, points, 200)
        if solved[0] and proper_period(found[0]) == 3:
            high, points = middle, found
        else:
            low = middle
    proof = certify(ONE_SCALE, high, points[0])
    assert proof.points  # a cycle there is, or certify had raised
    size = proof.multipliers[0][0]
    assert proof.stable is (True if size.high < 1 else False)
    with pytest.raises(ModelError):
        certify(ONE_SCALE, low - 1e-6, points[0])


def test_within_the_span_of_points():
    """A plane problem laid into space: the same theorem in the plane's coordinates."""
    flat = plane(500, 600, 400, "300", "30")
    basis = np.array([[3, 0], [4, 0], [0, 5]])  # five times an orthonormal basis
    points = [[Fraction(int(v @ z), 5) for v in basis] for z in flat.points.astype(int)]
    problem = Logistic(points, flat.multiplicities)
    cycle = np.array([[0.925632, 0.532217], [-0.925632, 0.532217]])
    proof = certify(problem, "7.18", cycle @ basis.T / 5, start=["0.54", "0.72", "0.45"])
    plain = certify(flat, "7.18", cycle, start=["0.9", "0.45"])
    assert proof.valid and len(proof.basis) == 2 and len(proof.multipliers) == 2
    assert abs(proof.gamma.midpoint - plain.gamma.midpoint) < 1e-15
    lifted = np.array([[e.midpoint for e in x] for x in plain.points]) @ basis.T / 5
    assert np.allclose([[e.midpoint for e in x] for x in proof.points], lifted, rtol=0, atol=1e-15)
    assert "span 2 of 3 dimensions" in str(proof)
    assert proof.arrival.steps == plain.arrival.steps
    assert verify(proof) == proof


def test_more_dimensions_by_padding():
    """Pairs along further axes pull nothing; the step grows with the number of points."""
    flat = plane(500, 600, 400, "300", "30")
    d, count = 6, int(flat.multiplicities.sum())
    rows = [[*map(int, z), *[0] * (d - 2)] for z in flat.points]
    weights = [int(c) for c in flat.multiplicities]
    for k in range(2, d):
        for sign in (1, -1):
            rows.append([sign * int(k == i) for i in range(d)])
            weights.append(100)
    step = Fraction("7.18") * sum(weights) / count
    cycle = np.pad([[0.925632, 0.532217], [-0.925632, 0.532217]], ((0, 0), (0, d - 2)))
    proof = certify(Logistic(rows, weights), step, cycle, start=["0.6", "0.45", 0, 0, "0.5", 0])
    plain = certify(flat, "7.18", cycle[:, :2])
    assert proof.valid and len(proof.multipliers) == d
    assert abs(proof.gamma.midpoint - plain.gamma.midpoint) < 1e-15
    assert proof.arrival.steps > 0
    assert verify(proof) == proof


def test_scaling_changes_nothing():
    """Z -> a z, step -> step / a^2, w -> w / a is a conjugacy."""
    a = Fraction(7, 3)
    cycle = orbit(ONE_SCALE, 14, orbit(ONE_SCALE, 14, [1.0], 500)[-1], 2)
    first = certify(ONE_SCALE, 14, cycle)
    scaled = Logistic([a, -a], [4, 1])
    second = certify(scaled, 14 / a**2, cycle * 3 / 7)
    assert first.valid and second.valid
    assert abs(first.gamma.low - second.gamma.low) < Fraction(1, 10**40)
    for (x,), (y,) in zip(first.points, second.points, strict=True):
        assert abs(x.low - a * y.low) < Fraction(1, 10**40)


def test_the_attracted_ball_is_attracted():
    problem, rng = plane(0, 3, 2, "64", "25.6"), np.random.default_rng(0)
    points = orbit(problem, 5.08, [0.47205885699260364, 2.8530972346527017], 27)
    proof = certify(problem, "5.08", points)
    frame = np.array(proof.attraction.frame, dtype=float)
    centre = np.array([e.midpoint for e in proof.points[0]])
    way = rng.normal(size=(200, 2))
    way *= rng.uniform(0, 1, (200, 1)) ** 0.5 / np.linalg.norm(way, axis=1, keepdims=True)
    w = centre + float(proof.attraction.radius) * way @ frame.T
    before = np.linalg.norm(np.linalg.solve(frame, (w - centre).T), axis=0)
    for _ in range(27):
        w = problem.map(w, 5.08)
    after = np.linalg.norm(np.linalg.solve(frame, (w - centre).T), axis=0)
    assert (after <= float(proof.attraction.kappa) * before + 1e-12).all()
    # And it is not needlessly small: a ball a thousand times as large leaves the cycle.
    assert float(proof.attraction.radius) > 1e-3


def test_a_certificate_can_be_kept():
    proof = certify(HINGE, 6, [[0.9986], [-0.326]], start=["1"])
    assert pickle.loads(pickle.dumps(proof)) == proof
    assert "Certificate(valid=True, period 2, stable, gamma 1.49925" in repr(proof)
    assert not replace(proof, stable=None).valid
    text = str(proof)
    for words in ("step 6", "(1300)  x 1", "w* = (0.040005334613699161", "< 2", "exactly one cycle",
                  "-0.3259604704542309", "Krawczyk", "converges to it"):  # fmt: skip
        assert words in text


def test_without_flint_nothing_is_pretended(monkeypatch):
    monkeypatch.setattr("quincunx._errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"quincunx\[certify\]"):
        certify(HINGE, 6, [[0.9986], [-0.326]])


def test_importing_loads_no_flint():
    modules = ("cycle", "verify", "certificate", "attraction", "proof", "balls", "statement")
    lines = [f"import quincunx.solvers.dynamics.certify.{name}" for name in modules]
    lines.append("import sys; assert not {'flint', 'mpmath', 'matplotlib'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", "; ".join(lines)], check=True)


def exact_cycle(problem: Logistic, step: str, points: np.ndarray):
    """Minimiser, gamma, points and multipliers with 60 digits, by plain Newton on T^p(x) = x."""
    mp = mpmath.mp
    z = [[mp.mpf(v.numerator) / v.denominator for v in row] for row in problem.exact.points]
    total = sum(problem.exact.weights)
    c = [mp.mpf(w.numerator) / w.denominator / int(total) for w in problem.exact.weights]
    d, p, eta = problem.dimension, len(points), mp.mpf(step)

    def pair(w):
        g, h = mp.matrix(d, 1), mp.matrix(d, d)
        for row, share in zip(z, c, strict=True):
            t = mp.fsum(a * b for a, b in zip(row, w, strict=True))
            s = 1 / (1 + mp.exp(t))
            for i in range(d):
                g[i] -= share * s * row[i]
                for j in range(d):
                    h[i, j] += share * s * (1 - s) * row[i] * row[j]
        return g, h

    w = mp.matrix([mp.mpf(float(v)) for v in problem.minimizer()])
    for _ in range(8):
        g, h = pair(w)
        w -= mp.lu_solve(h, g)
    sharp = max(mp.eigsy(pair(w)[1], eigvals_only=True)) if d > 1 else pair(w)[1][0, 0]
    x = mp.matrix([mp.mpf(float(v)) for v in points[0]])
    for _ in range(12):
        product, y = mp.eye(d), x.copy()
        for _ in range(p):
            g, h = pair(y)
            product = (mp.eye(d) - eta * h) * product
            y -= eta * g
        x -= mp.lu_solve(product - mp.eye(d), y - x)
    path = [x]
    for _ in range(p - 1):
        path.append(path[-1] - eta * pair(path[-1])[0])
    roots = mp.eig(product, left=False, right=False) if d > 1 else [product[0, 0]]
    return w, eta * sharp, path, list(roots)


def holds(enclosure: Enclosure, value) -> bool:
    slack = mpmath.mpf(10) ** -45  # of 60 digits, Newton's method on unstable cycles leaves 48
    low = mpmath.mpf(enclosure.low.numerator) / enclosure.low.denominator
    high = mpmath.mpf(enclosure.high.numerator) / enclosure.high.denominator
    return low - slack <= value <= high + slack


def random_cycles(seed: int):
    """Small data sets, steps and cycles found by Newton's method from points of orbits."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 4))
    z = np.round(rng.normal(size=(d + int(rng.integers(1, 4)), d)) * rng.lognormal(size=d), 3)
    z = z[np.abs(z).max(1) > 0]
    back = np.round(-z * rng.uniform(0.2, 2, (len(z), 1)), 3)
    rows = np.concatenate([z, back[np.abs(back).max(1) > 0]])
    problem = Logistic(rows, rng.integers(1, 6, len(rows)))
    if problem.separability.kind != "overlap" or problem.rank < d:
        return
    step = f"{rng.uniform(1, 12) / problem.sharpness:.5g}"
    for p in range(1, 6):
        w = problem.starts(12, float(step), seed)
        for _ in range(int(rng.integers(0, 300))):
            w = problem.map(w, float(step))
        path = [w]
        for _ in range(p - 1):
            path.append(problem.map(path[-1], float(step)))
        found, solved = newton_cycles(problem, float(step), np.stack(path, 1))
        for points in found[solved][:1]:
            yield problem, step, points


def check_no_false_certificate(seed: int) -> int:
    checked = 0
    for problem, step, points in random_cycles(seed):
        p = len(points)
        try:
            proof = certify(problem, step, points)
        except ModelError as error:
            assert "repeated" in str(error) and proper_period(points) < p
            continue
        assert proof.period == p and proof.points
        with mpmath.workdps(60):
            w, gamma, path, roots = exact_cycle(problem, step, points)
            assert all(map(holds, proof.minimizer, w)) and holds(proof.gamma, gamma)
            for box, x in zip(proof.points, path, strict=True):
                assert all(map(holds, box, x))
            assert all(
                max(abs(a - b) for a, b in zip(path[0], path[q], strict=True)) > 1e-30
                for q in range(1, p)
            )
            for real, imaginary in proof.multipliers:
                near = [r for r in roots if holds(real, mpmath.re(r))]
                assert any(holds(imaginary, mpmath.im(r)) for r in near)
            size = max(abs(r) for r in roots)
            assert proof.stable is (True if size < 1 else False)
        assert proof.attraction is not None or not proof.stable
        assert verify(proof) == proof
        checked += 1
    return checked


def test_no_false_certificate():
    """Fixed points and cycles of 2 to 5 points in 1 to 3 dimensions, half of them unstable."""
    assert sum(check_no_false_certificate(seed) for seed in (2, 6, 13, 18, 23, 31)) > 12


@pytest.mark.full
def test_no_false_certificate_among_many():
    assert sum(check_no_false_certificate(seed) for seed in range(100, 260)) > 250


def test_complex_multipliers_and_spirals():
    """Cycles whose multipliers are a complex pair, found among random problems."""
    for seed, period in ((6, 2), (13, 3)):
        proofs = [certify(*found) for found in random_cycles(seed) if len(found[2]) == period]
        pairs = [m for m in proofs[0].multipliers if 0 not in m[1]]
        assert len(pairs) == 2 and pairs[0][1].midpoint == -pairs[1][1].midpoint
        assert proofs[0].valid and proofs[0].attraction is not None
