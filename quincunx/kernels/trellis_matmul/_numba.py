"""Products with tiles of paths, eight weights at a time and straight from their bytes."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from quincunx.kernels.code_vectors import HYB, LANES, SPARE, TRELLIS, copy, span
from quincunx.kernels.compiled import compiled

COLUMNS = 1024  # at a time: inputs and codes stay in the fastest cache
BEFORE = 2  # bytes of a tile's end that are laid before its start, where the first states begin


@cache
def products(which: int, twice: int, parts: int, vectors: int) -> Callable[..., None]:
    """Return the loop for one code, width and tile, and so many vectors.

    Its arguments are:
        packed: uint8 [rows of tiles, tiles 16 twice], contiguous.
        x: float32 [vectors, 8 parts tiles], contiguous.
        table: float32, contiguous, what the code looks up.
        factor: of the results.
        y: float32 [vectors, m], written.
        first, last: rows of tiles to work on.

    Arguments:
        which: one of :mod:`quincunx.kernels.code_vectors`' hashes, or -1 for HYB.
        twice: twice the bits a weight.
        parts: columns of a tile over 8: 1 or 2.
        vectors: 1, 2, 4 or 8; 0 adds up weights instead, into y [1, m].
    """
    # The cache on disk knows a function by the numbers around it: no other function may be there.
    kind, wide = HYB if which < 0 else TRELLIS, max(vectors, 1)
    tall, size = 32 // parts, 16 * twice
    rows = max(LANES // wide, 2 if which < 0 and parts == 1 else 1)
    row, stride, most = parts * twice // 2, size + BEFORE, COLUMNS // (LANES * parts)
    bytes_of_rows, groups = rows * parts * twice // 2, tall // rows

    @compiled
    def run(packed: Any, x: Any, table: Any, factor: float, y: Any, first: int, last: int) -> None:
        tiles, m = packed.shape[1] // size, y.shape[1]
        staged = np.zeros(most * stride + SPARE, np.uint8)
        sums = np.zeros((tall, wide, LANES), np.float32)
        to, total = np.uintp(staged.ctypes.data), np.uintp(sums.ctypes.data)
        come, inputs = np.uintp(packed.ctypes.data), np.uintp(x.ctypes.data)
        numbers, apart = np.uintp(table.ctypes.data), 4 * x.shape[1]
        for band in range(first, last):
            sums[:] = np.float32(0)
            for start in range(0, tiles, most):
                count = min(most, tiles - start)
                for tile in range(count):
                    source = np.uintp(come + (band * tiles + start + tile) * size)
                    target = np.uintp(to + tile * stride)
                    copy(target, np.uintp(source + size - BEFORE), BEFORE)  # type: ignore[call-arg]
                    copy(np.uintp(target + BEFORE), source, size)
                here = np.uintp(inputs + 4 * LANES * parts * start)
                for group in range(groups):
                    span(  # type: ignore[call-arg]
                        np.uintp(to + group * bytes_of_rows), here, apart,
                        np.uintp(total + group * rows * wide * 4 * LANES), numbers, count,
                        (kind, which, twice, stride), (rows, vectors, parts, row),
                    )  # fmt: skip
            for r in range(min(tall, m - band * tall)):
                for v in range(wide):
                    s = sums[r, v]
                    low = (s[0] + s[4]) + (s[2] + s[6])
                    high = (s[1] + s[5]) + (s[3] + s[7])
                    y[v, band * tall + r] = (low + high) * np.float32(factor)

    return run
