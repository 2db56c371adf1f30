"""The Walsh-Hadamard transform of rows in place, by butterflies of two stages at a time."""

import numpy as np
from numpy.typing import NDArray

from quincunx.kernels.compiled import compiled


@compiled
def walsh_hadamard(x: NDArray[np.floating], stride: int, first: int, last: int) -> None:
    """Transform rows ``first`` to ``last`` in place, as in :mod:`.reference`.

    A row goes through all stages before the next one, so that it stays in cache. Each stage reads
    and writes runs of ``half`` neighbours, which the compiler turns into vector instructions;
    where the runs are short, eight neighbours are kept in registers over three stages.

    Arguments:
        x: float32 or float64 [rows, 2^s stride], rows contiguous; overwritten.
        stride: how many transforms are interleaved, >= 1.
        first: the first row.
        last: one past the last.
    """
    n = x.shape[1]
    for i in range(first, last):
        row = x[i]
        half = stride
        if stride == 1 and n >= 8:
            _first_three_stages(row)
            half = 8
        while 2 * half < n:
            for base in range(0, n, 4 * half):
                a = row[base : base + half]
                b = row[base + half : base + 2 * half]
                c = row[base + 2 * half : base + 3 * half]
                d = row[base + 3 * half : base + 4 * half]
                for j in range(half):
                    p, q = a[j] + b[j], a[j] - b[j]
                    r, s = c[j] + d[j], c[j] - d[j]
                    a[j], b[j], c[j], d[j] = p + r, q + s, p - r, q - s
            half *= 4
        if half < n:
            a, b = row[:half], row[half:]
            for j in range(half):
                a[j], b[j] = a[j] + b[j], a[j] - b[j]


@compiled
def _first_three_stages(row: NDArray[np.floating]) -> None:
    """Transform each eight neighbours."""
    for k in range(0, len(row), 8):
        a, b, c, d = row[k], row[k + 1], row[k + 2], row[k + 3]
        e, f, g, h = row[k + 4], row[k + 5], row[k + 6], row[k + 7]
        a, b, c, d = a + b, a - b, c + d, c - d
        e, f, g, h = e + f, e - f, g + h, g - h
        a, b, c, d = a + c, b + d, a - c, b - d
        e, f, g, h = e + g, f + h, e - g, f - h
        row[k], row[k + 1], row[k + 2], row[k + 3] = a + e, b + f, c + g, d + h
        row[k + 4], row[k + 5], row[k + 6], row[k + 7] = a - e, b - f, c - g, d - h
