"""Problems of the line, and their derivatives in 50 digits."""

from fractions import Fraction

import numpy as np
from mpmath import mp, mpf
from scipy.special import expit

from quincunx.solvers.dynamics.certify.line import Span
from quincunx.solvers.dynamics.logistic import Logistic

HINGE = Logistic([1, -1, 1300], [5100, 4900, 1])
CASCADE = Logistic([1, -1], [4, 1])


# Points, multiplicities, step, the stable cycle of period 2 and its multiplier: found with
# 40-digit arithmetic from orbits, apart from this library.
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
