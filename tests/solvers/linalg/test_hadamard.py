"""The stored Hadamard matrices, exactly."""

import hashlib

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.linalg.hadamard import ORDERS, hadamard_matrix
from tools import make_hadamard

DIGEST = "83d6f97842005bc3be5cb45db807735bb6be3108e6052abf68603cc21935ed03"


@pytest.mark.parametrize("order", ORDERS)
def test_rows_are_orthogonal_signs(order):
    matrix = hadamard_matrix(order).astype(np.int64)
    assert set(np.unique(matrix)) == {-1, 1}
    np.testing.assert_array_equal(matrix @ matrix.T, order * np.eye(order, dtype=int))


def test_matrices_never_change():
    digest = hashlib.sha256()
    for order in ORDERS:
        digest.update(hadamard_matrix(order).tobytes())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize("order", [12, 52, 92, 428])
def test_the_script_makes_the_same(order):
    np.testing.assert_array_equal(make_hadamard.hadamard(order), hadamard_matrix(order))


@pytest.mark.full
@pytest.mark.parametrize("order", ORDERS)
def test_the_script_makes_all_the_same(order):
    np.testing.assert_array_equal(make_hadamard.hadamard(order), hadamard_matrix(order))


def test_every_odd_number_below_64_has_a_matrix():
    assert {4 * b for b in range(3, 64, 2)} <= set(ORDERS) == set(make_hadamard.ORDERS)


def test_a_matrix_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        hadamard_matrix(12)[0, 0] = 5


def test_an_order_that_is_not_stored_is_refused():
    with pytest.raises(ModelError, match="order 668"):
        hadamard_matrix(668)
