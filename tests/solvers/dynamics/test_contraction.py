"""Balls that a map contracts, where they are known from formulas."""

import numpy as np
import pytest

from quincunx.solvers.dynamics.contraction import contraction

TURN = 0.99 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])


@pytest.mark.parametrize(
    "matrix",
    [
        [[0.5, 100.0], [0.0, 0.4]],
        [[0.9, 1.0], [0.0, 0.9]],  # no basis of eigenvectors
        [[0.9, 1.0, 0.0], [0.0, 0.9, 1.0], [0.0, 0.0, 0.9]],
        TURN,
        [[0.0, 0.0], [0.0, 0.0]],
        [[0.0, 1.0], [0.0, 0.0]],
        [[-0.9999, 0.0], [0.0, 0.3]],
    ],
)
def test_a_linear_map_is_contracted_as_far_as_one_looks(matrix):
    matrix = np.array(matrix)
    centre = np.arange(len(matrix)) + 1.0
    ball = contraction(lambda w: centre + (w - centre) @ matrix.T, centre, matrix, 10.0)
    assert ball.rate < 1
    assert ball.radius == pytest.approx(10 * np.linalg.norm(ball.norm, 2))
    # In all directions, not only those looked at: the matrix's norm in the ball's.
    inside = ball.norm @ matrix @ np.linalg.inv(ball.norm)
    assert np.linalg.norm(inside, 2) <= ball.rate


@pytest.mark.parametrize("largest", [1.0, -1.0, 1.5, 1 - 1e-9])
def test_nothing_is_said_where_an_eigenvalue_is_not_below_one(largest):
    assert contraction(lambda w: largest * w, np.zeros(1), np.array([[largest]]), 1.0) is None


def test_the_ball_ends_before_the_next_fixed_point():
    # w -> w^2 contracts by the rate 3/4 up to 3/4; 1 is a fixed point.
    ball = contraction(lambda w: w**2, np.zeros(1), np.zeros((1, 1)), 8.0)
    assert ball.rate == 0.75
    assert ball.radius == 0.5


def test_a_kink_near_by_bounds_the_ball():
    # Beyond 1e-5 the map throws far away.
    ball = contraction(
        lambda w: np.where(w > 1e-5, 5.0, w / 2), np.zeros(1), np.array([[0.5]]), 1.0
    )
    assert 5e-6 <= ball.radius <= 1e-5


def test_a_ball_reaches_far_along_the_slow_direction():
    matrix = np.diag([0.9999, 0.1])
    ball = contraction(lambda w: w @ matrix, np.zeros(2), matrix, 1.0)
    sizes = ball.sizes(np.eye(2))
    assert sizes[0] == pytest.approx(sizes[1])
