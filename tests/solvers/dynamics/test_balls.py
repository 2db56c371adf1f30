"""What proofs are made of: balls, enclosures, eigenvalues, Krawczyk's test."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.certify.attraction import advance
from quincunx.solvers.dynamics.certify.balls import (
    Balls,
    ball,
    bend,
    krawczyk,
    newton,
    one_zero,
    sigmoid,
    slope,
    working,
)
from quincunx.solvers.dynamics.certify.eigenvalues import eigenvalues, largest
from quincunx.solvers.dynamics.certify.enclosure import Enclosure, enclose
from quincunx.solvers.dynamics.logistic import Logistic


@pytest.mark.parametrize("value", ["0.16", "-3.5", "0"])
def test_enclosures_print_what_they_hold(value):
    exact = Fraction(value)
    ends = Enclosure(exact - Fraction(1, 10**25), exact + Fraction(1, 10**25))
    assert exact in ends and value in ends and float(value) in ends
    assert str(ends).startswith(value) and "+/-" in str(ends)
    assert Enclosure(exact, exact) in ends and ends not in Enclosure(exact, exact)
    with pytest.raises(ModelError, match="low <= high"):
        Enclosure(Fraction(2), Fraction(1))


@pytest.mark.parametrize(
    "rows",
    [
        [[2, 0], [0, 2]],
        [[2, "1e-50"], [0, 2]],
        [[2, 1], [1, 2]],
        [[1, -2], [3, 1]],
        [[2, 1], [0, 2]],
        [[1, 2, 3], [4, 5, 6], [7, 8, 10]],
        [[2, 1, 0], [0, 2, 1], [0, 0, 2]],
    ],
)
def test_eigenvalues_are_enclosed(rows):
    """Repeated and defective ones too, against 60 digits."""
    from flint import arb_mat

    # Without a basis of eigenvectors discs are wide; the frame of the attraction serves there.
    defective = rows in ([[2, 1], [0, 2]], [[2, 1, 0], [0, 2, 1], [0, 0, 2]])
    with working(160):
        roots = eigenvalues(arb_mat([[ball(v) for v in row] for row in rows]))
        top = float(largest(roots).mid())
    with mpmath.workdps(60):
        kept = list(mpmath.eig(mpmath.matrix(rows), left=False, right=False))
        exact = list(kept)
        for root in roots:
            centre = mpmath.mpc(float(root.real.mid()), float(root.imaginary.mid()))
            width = float(root.real.rad()) + float(root.imaginary.rad())
            away = [abs(e - centre) for e in exact]
            # 1e-14: of the floats above; a triple root moves by 1e-20 with the 60th digit.
            assert min(away) <= width + 1e-14
            exact.pop(away.index(min(away)))
            assert width < 1e-8 or defective
    assert defective or abs(top - max(float(mpmath.re(r)) for r in kept)) < 1e-12


def test_balls_enclose_what_doubles_compute():
    """Gradient, second derivative and step on wide boxes hold those at points of the boxes."""
    rng = np.random.default_rng(1)
    problem = Logistic(rng.normal(size=(5, 3)).round(3))
    with working(64):
        balls = Balls.of(problem.exact, Fraction(2))
        for radius in ("0.5", "1e-3", "1e-9"):
            centre = rng.normal(size=3) * 3
            box = [ball(0) + float(v) + ball(0, Fraction(radius)) for v in centre]
            gradient, hessian = balls.gradient(box), balls.hessian(box)
            image = advance(balls, box)
            for w in centre + float(radius) * rng.uniform(-1, 1, (20, 3)):
                for x, value in zip(image, problem.map(w[None], 2.0)[0], strict=True):
                    assert abs(float(x.mid()) - value) <= float(x.rad()) + 1e-14
                for g, value in zip(gradient, problem.gradient(w), strict=True):
                    assert abs(float(g.mid()) - value) <= float(g.rad()) + 1e-14
                for row, values in zip(hessian, problem.hessian(w), strict=True):
                    for h, value in zip(row, values, strict=True):
                        assert abs(float(h.mid()) - value) <= float(h.rad()) + 1e-14


@pytest.mark.parametrize("radius", ["0", "1e-8", "0.3", "5", "1e6"])
@pytest.mark.parametrize("centre", ["0", "0.2", "-40", "700", "-3e5"])
def test_functions_hold_their_values_on_balls(centre, radius):
    """The sigmoid and its derivatives at points of balls, with 60 digits."""
    with working(120), mpmath.workdps(60):
        box = ball(centre, Fraction(radius)) if radius != "0" else ball(centre)
        for share in (-1, -0.7, 0, 0.3, 1):
            t = mpmath.mpf(centre) + mpmath.mpf(radius) * share
            s, r = 1 / (1 + mpmath.exp(-t)), 1 / (1 + mpmath.exp(t))
            for function, value in ((sigmoid, s), (slope, s * r), (bend, s * r * (r - s))):
                found = function(box)
                assert found.overlaps(ball(mpmath.nstr(value, 50)))
        assert sigmoid(box) <= 1 + ball("1e-6") and slope(box) <= ball("0.25") + ball("1e-6")


def test_enclosures_are_wider_than_balls():
    with working(100):
        for value, radius in (("0.1", "1e-20"), ("-7e5", "3"), ("0", "1e-30"), ("2e-20", "1e-30")):
            box = ball(value, Fraction(radius))
            ends = enclose(box)
            assert ball(ends.low) < box.lower() and box.upper() < ball(ends.high)
            # Two digits of the width, and a unit of them on both sides: measured up to 1.4.
            assert ends.high - ends.low < 3 * Fraction(radius)


def test_a_zero_is_found_once_or_not_at_all():
    """x^2 - 2 on boxes with one zero, two and none."""

    def system(x):
        return [x[0] * x[0] - 2]

    def derivative(x):
        return [[2 * x[0]]]

    with working(100):
        root = newton(system, derivative, [ball("1.4")])
        found = krawczyk(system, derivative, root, Fraction(1, 10**6))
        assert found is not None and (found[0] ** 2).contains(2)
        assert one_zero(system, derivative, [ball("1.3", Fraction("0.3"))]) is not None
        assert one_zero(system, derivative, [ball(0, 2)]) is None
        assert one_zero(system, derivative, [ball("1.6", Fraction("0.1"))]) is None


def test_eigenvalues_of_all_matrices_within_balls():
    from flint import arb_mat

    rng = np.random.default_rng(3)
    for _ in range(20):
        centre, radius = rng.normal(size=(3, 3)).round(2), 0.02
        with working(80):
            rows = [[ball(str(v), Fraction(radius)) for v in row] for row in centre]
            roots = eigenvalues(arb_mat(rows))
            ends = [
                [(float(x.lower()), float(x.upper())) for x in (r.real, r.imaginary)] for r in roots
            ]
        for _ in range(20):
            inside = centre + radius * rng.choice([-1, -0.5, 1], (3, 3))
            left = list(np.linalg.eigvals(inside))
            # Each root has its eigenvalue: the narrowest box chooses first.
            for (a, b), (c, d) in sorted(ends, key=lambda box: box[0][1] - box[0][0]):
                # 1e-12: what doubles do to eigenvalues of such matrices is below 1e-13.
                near = [
                    z
                    for z in left
                    if a - 1e-12 <= z.real <= b + 1e-12 and c - 1e-12 <= z.imag <= d + 1e-12
                ]
                assert near
                left.remove(near[0])
