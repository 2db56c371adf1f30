"""Hadamard matrices of orders that are no powers of two, from the package's data."""

from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx._errors import ModelError

ORDERS = (*range(12, 256, 8), 284, 428)
"""The orders that are stored: 4 b for every odd b from 3 to 63, and two more that models use."""


def hadamard_matrix(order: int) -> NDArray[np.int8]:
    """A Hadamard matrix H, with entries of 1 and -1 and ``H H' = order I``.

    Powers of two are not stored, as :mod:`.flat` has a faster way for them. How the others were
    made, and whose constructions they are, is written in ``tools/make_hadamard.py``.

    Arguments:
        order: one of :data:`ORDERS`.

    Returns:
        int8 [order, order], to be read only; the same for all versions of this package.

    Raises:
        ModelError: there is no matrix of that order in the data.

    Example:
        >>> from quincunx.solvers.linalg.hadamard import hadamard_matrix
        >>> H = hadamard_matrix(12).astype(int)
        >>> bool((H @ H.T == 12 * np.eye(12)).all())
        True
    """
    if order not in ORDERS:
        raise ModelError(
            f"no Hadamard matrix of order {order} is stored; the orders are "
            f"{', '.join(map(str, ORDERS))}"
        )
    return _load(order)


@cache
def _load(order: int) -> NDArray[np.int8]:
    data = (files("quincunx.solvers.linalg") / "data" / "hadamard.npz").read_bytes()
    with np.load(BytesIO(data), allow_pickle=False) as matrices:
        bits = np.unpackbits(matrices[str(order)], axis=1, count=order)
    matrix: NDArray[Any] = 1 - 2 * bits.astype(np.int8)
    matrix.flags.writeable = False
    return matrix
