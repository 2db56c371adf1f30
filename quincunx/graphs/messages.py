"""The arithmetic of messages between clusters, in logarithms so that nothing underflows."""

import numpy as np

from quincunx.graphs.table import Floats

NARROW = 16  # columns up to which NumPy is faster column by column than row by row


def normalize_energies(rows: Floats) -> Floats:
    """Turn each row of energies into its softmax, in place, and return the logarithms of the sums.

    Arguments:
        rows: float64 [rows, columns], energies in nats, +inf excludes an entry; overwritten with
            ``exp(-energy)``, scaled so that each row sums to one. A row that is excluded
            throughout becomes zeros.

    Returns:
        float64 [rows], ``log sum exp(-energy)``; -inf for a row that is excluded throughout.
    """
    least = least_by_row(rows)
    shift = np.where(np.isfinite(least), least, 0.0)
    np.subtract(shift[:, None], rows, out=rows)
    np.exp(rows, out=rows)
    sums = rows @ np.ones(rows.shape[1])
    possible = sums > 0
    rows /= np.where(possible, sums, 1.0)[:, None]
    message = np.full(len(sums), -np.inf)
    np.log(sums, out=message, where=possible)
    return message - shift


def least_by_row(rows: Floats) -> Floats:
    """Return float64 [rows]: the least entry of each row."""
    if rows.shape[1] > NARROW:
        return np.asarray(rows.min(axis=1))
    least = rows[:, 0].copy()
    for column in range(1, rows.shape[1]):
        np.minimum(least, rows[:, column], out=least)
    return least
