"""The compiled orbits of gradient descent against the formulas; their sigmoid against mpmath."""

import platform
import re

import mpmath
import numba
import numpy as np
import pytest

from quincunx.kernels.gradient_descent import _numba as fast
from quincunx.kernels.gradient_descent import reference
from quincunx.kernels.gradient_descent._numba import LANES


def sigmoid(t):
    rows = -(-len(t) // LANES)
    values = np.resize(t, rows * LANES).reshape(rows, LANES).copy()
    fast.sigmoid_rows(values, 0, rows)
    return values.ravel()[: len(t)]


def units(t):
    """Errors in units of the last place."""
    found = sigmoid(t)
    with mpmath.workdps(40):
        exact = [1 / (1 + mpmath.exp(-mpmath.mpf(float(v)))) for v in t]
        gaps = [abs(mpmath.mpf(float(a)) - b) for a, b in zip(found, exact, strict=True)]
        return np.array([float(g / np.spacing(float(e))) for g, e in zip(gaps, exact, strict=True)])


@pytest.mark.parametrize(
    ("low", "high"),
    [(-1, 1), (-1e-3, 1e-3), (-40, 0), (0, 40), (-707, -40), (-707, -700), (40, 1000)],
)
def test_the_sigmoid_is_right_to_three_units_in_the_last_place(low, high):
    t = np.random.default_rng(0).uniform(low, high, 1000)
    # measured 2.53 over 3 million numbers in each range
    assert units(t).max() < 3


def test_the_sigmoid_of_special_numbers():
    exact = np.array([0.0, -0.0, 1e-300, -1e-300, 5e-324, 40, -40, 707, -707])
    assert units(exact).max() < 3
    np.testing.assert_array_equal(sigmoid(np.array([745.0, 1e6, 1e308, np.inf])), 1.0)
    # Below -707 about that of -707: nothing that it is added to is changed.
    ends = sigmoid(np.array([-708.0, -745.0, -1e6, -1e308, -np.inf]))
    assert np.all(ends == ends[0])
    assert 0 < ends[0] < 1e-307
    assert np.isnan(sigmoid(np.array([np.nan]))[0])


@pytest.mark.parametrize("t", [-700.0, -40.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 20.0, 700.0])
def test_orbits_have_the_sigmoid_of_nearly_the_same_argument(t):
    # A step of size 1 with weight 1 takes s(z w) off w, which is small itself.
    z = np.array([[2.0**30]])
    w, out = np.full((1, 1), t / 2**30), np.empty((1, 1, 1))
    fast.descent(1)(w, np.ones(1), z, np.ones((1, 1)), np.zeros(1), 0.0, 1, out, 0, 1)
    with mpmath.workdps(40):
        exact = float(1 / (1 + mpmath.exp(-mpmath.mpf(t))))
    found = w[0, 0] - out[0, 0, 0]
    # measured 2e-16; t is changed by up to 3 units, which changes s(t) by less than that of 1
    assert abs(found - exact) < 1e-15


@pytest.mark.parametrize("t", [1.0, 30.0, 300.0])
def test_the_sigmoid_and_that_of_the_negative_add_up_to_one(t):
    one = sigmoid(np.array([t])) + sigmoid(np.array([-t]))
    assert abs(one[0] - 1) < 4e-16


def problem(d, terms, count, seed=0):
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(terms, d)) * 2
    weighted = directions * rng.uniform(0.1, 1, (terms, 1))
    w, steps = rng.normal(size=(count, d)), rng.uniform(0.1, 0.6, count)
    return w, steps, directions, weighted, 0.4 * weighted.sum(0)


@pytest.mark.parametrize("count", [1, LANES, 2 * LANES + 5])
@pytest.mark.parametrize(("d", "terms"), [(1, 1), (1, 7), (2, 3), (3, 5), (6, 4)])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_orbits_are_those_of_the_formulas(d, terms, count, l2):
    given = problem(d, terms, count)
    out = np.full((8, count, d), np.nan)
    fast.descent(d)(*given, l2, 20, out, 0, -(-count // LANES))
    # measured 1.2e-14: some orbits are expanding
    np.testing.assert_allclose(out, reference.descend(*given, l2, 20, 8), rtol=0, atol=1e-12)


def test_all_points_from_the_start_on_can_be_kept():
    given = problem(2, 3, 5)
    out = np.full((4, 5, 2), np.nan)
    fast.descent(2)(*given, 0.0, 3, out, 0, 1)
    np.testing.assert_array_equal(out[0], given[0])
    np.testing.assert_allclose(out, reference.descend(*given, 0.0, 3, 4), rtol=0, atol=1e-13)


def test_arguments_of_any_size_give_finite_numbers():
    w = np.array([[1e-300], [1e3], [-1e3], [1e200], [-1e200], [0.0]])
    directions = np.array([[1e6], [1.0]])
    out = np.empty((1, 6, 1))
    given = (w, np.ones(6), directions, 0.5 * directions, np.array([0.3]))
    fast.descent(1)(*given, 0.0, 1, out, 0, 1)
    np.testing.assert_allclose(out, reference.descend(*given, 0.0, 1, 1), rtol=1e-14)


@pytest.mark.parametrize(("d", "count"), [(1, 1), (2, 1), (2, 2), (3, 3)])
def test_stretchings_are_those_of_the_formulas(d, count):
    given = problem(d, 4, LANES + 3)
    w = given[0].copy()
    identity = np.broadcast_to(np.eye(d)[:count], (len(w), count, d))
    tangents, logs = identity.copy(), np.zeros((len(w), count))
    fast.stretching(d, count)(w, *given[1:], 0.1, 21, tangents, logs, 0, 2)
    points, ways, sums = reference.stretch(*given, 0.1, 21, identity)
    # measured 4e-16, 9e-16 and 3e-14: rounding, which where vectors nearly coincide is magnified
    np.testing.assert_allclose(w, points, rtol=0, atol=1e-13)
    np.testing.assert_allclose(tangents, ways, rtol=0, atol=1e-11)
    np.testing.assert_allclose(logs, sums, rtol=0, atol=1e-10)


def test_a_derivative_of_zero_is_a_logarithm_of_minus_infinity():
    w, tangents, logs = np.zeros((1, 1)), np.ones((1, 1, 1)), np.zeros((1, 1))
    one = np.ones((1, 1))
    # f'' = 1/4 at 0, which is the minimiser.
    with np.errstate(divide="ignore"):
        fast.stretching(1, 1)(w, np.array([4.0]), one, one, np.array([0.5]), 0.0, 9, tangents,
                              logs, 0, 1)  # fmt: skip
    assert logs[0, 0] == -np.inf
    assert tangents[0, 0, 0] == 1


def test_only_the_blocks_asked_for_are_written():
    given = problem(2, 3, 4 * LANES)
    out = np.full((1, 4 * LANES, 2), np.nan)
    fast.descent(2)(*given, 0.0, 5, out, 1, 3)
    assert np.isnan(out[0, :LANES]).all()
    assert np.isnan(out[0, 3 * LANES :]).all()
    assert np.isfinite(out[0, LANES : 3 * LANES]).all()


def test_bits_depend_on_neither_place_nor_neighbours():
    w, steps, *rest = problem(2, 5, 2 * LANES + 9)
    order = np.random.default_rng(1).permutation(len(w))
    straight, mixed = np.empty((1, len(w), 2)), np.empty((1, len(w), 2))
    fast.descent(2)(w, steps, *rest, 0.0, 500, straight, 0, 3)
    fast.descent(2)(w[order], steps[order], *rest, 0.0, 500, mixed, 0, 3)
    np.testing.assert_array_equal(straight[0, order], mixed[0])


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_the_loop_is_made_of_vector_instructions():
    given = problem(1, 2, LANES)
    # Anew, as what comes from the disk cannot be looked into.
    loop = numba.njit(error_model="numpy")(fast.descent(1).py_func)
    loop(*given, 0.0, 2, np.empty((1, LANES, 1)), 0, 1)
    text = "\n".join(loop.inspect_asm().values())
    # Each sigmoid has one division.
    assert len(re.findall(r"\bv?divpd\b", text)) >= 2
    assert not re.findall(r"\bv?divsd\b", text)
