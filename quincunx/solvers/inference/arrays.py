"""Array types, and the two small operations that every file of inference needs."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Sparse: TypeAlias = Any  # scipy.sparse.csr_array; SciPy ships no types


def safe_log(values: Floats) -> Floats:
    """Return the logarithm, with 0 in place of log 0 and of log NaN."""
    return np.asarray(np.log(values, out=np.zeros_like(values), where=values > 0))


def sum_by(index: Ints, values: Floats, size: int) -> Floats:
    """Return float64 [size]: the sums of the values that share an index."""
    return np.bincount(index, weights=values, minlength=size).astype(np.float64, copy=False)


def dot(a: Floats, b: Floats) -> float:
    """Return the sum of products; not by BLAS, whose threads cost more than they save here."""
    return float(np.einsum("i,i->", a, b))


def compact(values: Ints, size: int) -> tuple[Ints, Ints]:
    """Number the distinct values in increasing order; ``numpy.unique`` without its sort.

    Arguments:
        values: int64, in range(size).
        size: the range.

    Returns:
        The distinct values, and for each entry of ``values`` the place of its value among them.
    """
    seen = np.zeros(size, dtype=np.bool_)
    seen[values] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[values]
