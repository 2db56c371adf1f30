"""The Walsh-Hadamard transform by its definition, in quadratic time."""

import numpy as np
from numpy.typing import NDArray


def walsh_hadamard(x: NDArray[np.floating], stride: int) -> NDArray[np.floating]:
    """Multiply by Sylvester's matrix, ``H[i, j] = (-1)^(bits that i and j share)``.

    Arguments:
        x: [rows, 2^s stride]; each row is read as [2^s, stride], and transformed along the first.
        stride: how many transforms are interleaved, >= 1.

    Returns:
        The same shape, not divided by anything.
    """
    rows, size = x.shape[0], x.shape[1] // stride
    index = np.arange(size)
    signs = 1 - 2 * (np.bitwise_count(index[:, None] & index) % 2).astype(x.dtype)
    out = np.einsum("ij,rjk->rik", signs, x.reshape(rows, size, stride))
    return np.asarray(out.reshape(x.shape))
