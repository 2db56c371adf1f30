"""The arithmetic of messages between clusters, in logarithms so that nothing underflows."""

import numpy as np

from quincunx.graphs.table import Floats


def normalize_energies(rows: Floats) -> tuple[Floats, Floats]:
    """Return each row's softmax of minus its energies, and the logarithm of its sum.

    Arguments:
        rows: float64 [rows, columns], energies in nats; +inf excludes an entry.

    Returns:
        Weights of the same shape, each row summing to one, and float64 [rows], the logarithms of
        ``sum exp(-energy)``. A row that is excluded throughout comes back as zeros, with -inf.
    """
    least = rows.min(axis=1)
    shift = np.where(np.isfinite(least), least, 0.0)
    weights = np.exp(shift[:, None] - rows)
    sums = weights.sum(axis=1)
    possible = sums > 0
    weights /= np.where(possible, sums, 1.0)[:, None]
    message = np.full(len(sums), -np.inf)
    np.log(sums, out=message, where=possible)
    return weights, message - shift
