"""Products with rows of codes, each row one stream: grids and E8P."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx.kernels.code_vectors import LANES, SPARE, copy, span
from quincunx.kernels.compiled import compiled
from quincunx.kernels.few_rows import Operands, least_rows
from quincunx.kernels.threads import in_rows

COLUMNS = 1024  # at a time: inputs and codes stay in the fastest cache


@cache
def products(kind: int, bits: int, vectors: int) -> Callable[..., None]:
    """Return the loop for one kind and width, and so many vectors.

    Its arguments are:
        packed: uint8 [m, bytes], contiguous.
        x: float32 [vectors, n], contiguous, n a multiple of 8.
        table: float32, contiguous, what the kind looks up.
        y: float32 [vectors, m], written.
        first, last: groups of :func:`rows_of` rows to work on.

    Arguments:
        kind: ``GRID`` or ``E8P`` of :mod:`quincunx.kernels.code_vectors`.
        bits: a weight.
        vectors: 1, 2, 4 or 8; 0 adds up weights instead, into y [1, m].
    """
    # The cache on disk knows a function by the numbers around it: no other function may be there.
    wide, rows, most, twice = max(vectors, 1), rows_of(vectors), COLUMNS // LANES, 2 * bits
    full = most * bits
    row = full + SPARE

    @compiled
    def run(packed: Any, x: Any, table: Any, y: Any, first: int, last: int) -> None:
        steps, m, size = x.shape[1] // LANES, y.shape[1], packed.shape[1]
        staged = np.zeros((rows, row), np.uint8)
        sums = np.zeros((rows, wide, LANES), np.float32)
        to, total = np.uintp(staged.ctypes.data), np.uintp(sums.ctypes.data)
        come, inputs = np.uintp(packed.ctypes.data), np.uintp(x.ctypes.data)
        numbers, apart = np.uintp(table.ctypes.data), 4 * x.shape[1]
        for group in range(first, last):
            sums[:] = np.float32(0)
            for start in range(0, steps, most):
                begin = start * bits
                for r in range(min(rows, m - group * rows)):
                    line = group * rows + r
                    if begin + full <= size:
                        source = np.uintp(come + line * size + begin)
                        copy(np.uintp(to + r * row), source, full)  # type: ignore[call-arg]
                    else:
                        for j in range(size - begin):
                            staged[r, j] = packed[line, begin + j]
                span(  # type: ignore[call-arg]
                    to, np.uintp(inputs + 4 * LANES * start), apart, total, numbers,
                    min(most, steps - start), (kind, bits, twice, bits),
                    (rows, vectors, 1, row),
                )  # fmt: skip
            for r in range(min(rows, m - group * rows)):
                for v in range(wide):
                    s = sums[r, v]
                    low = (s[0] + s[4]) + (s[2] + s[6])
                    high = (s[1] + s[5]) + (s[3] + s[7])
                    y[v, group * rows + r] = low + high

    return run


def rows_of(vectors: int) -> int:
    """How many rows are worked on at once."""
    return LANES // max(vectors, 1)


def multiplied(
    given: Operands, kind: int, bits: int, table: NDArray[np.float32], *, sums: bool = False
) -> NDArray[np.float32]:
    """Return products [vectors, m], or sums of weights [1, m], on threads.

    Arguments:
        given: inputs and codes, as :func:`quincunx.kernels.few_rows.operands` makes them.
        kind: as in :func:`products`.
        bits: a weight.
        table: what the kind looks up.
        sums: whether only weights are added up, to see what decoding alone costs.
    """
    x, packed = given
    vectors = 0 if sums else len(x)
    run, rows = products(kind, bits, vectors), rows_of(vectors)
    y = np.empty((max(vectors, 1), len(packed)), dtype=np.float32)
    in_rows(
        lambda first, last: run(packed, x, table, y, first, last),
        -(-len(packed) // rows),
        least=least_rows(rows * x.shape[1]),
    )
    return y
