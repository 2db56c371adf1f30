"""The nearest of E81B's 256 points, which are a rule each, compiled."""

from typing import Any

import numpy as np

from quincunx.kernels.compiled import compiled


@compiled
def nearest_short(x: Any, values: Any, codes: Any, first: int, last: int) -> None:
    """Find the nearest of :func:`quincunx.kernels.e8.reference.short_points`.

    With u = abs(x), the best of each kind takes the largest one or two of u, or all, where the
    least is turned over if the number of minus signs is odd. Of equals the first kind counts, and
    among coordinates the first is the larger.

    Arguments:
        x: floating [N, 8].
        values: floating [N, 8]; the rows are written.
        codes: uint8 [N, 1]; the rows are written.
        first: first row.
        last: end of the rows.
    """
    for n in range(first, last):
        total, least, largest, next_largest = 0.0, np.inf, -1.0, -1.0
        low, i, j, minus, odd = 0, 0, 0, 0, 0
        for k in range(8):
            number = np.float64(x[n, k])
            u = abs(number)
            total += u
            if number < 0.0:
                minus |= 1 << k
                odd ^= 1
            if u <= least:
                low, least = k, u
            if u > largest:
                i, j, largest, next_largest = k, i, u, largest
            elif u > next_largest:
                j, next_largest = k, u
        pair = 2.0 * (largest + next_largest) - 2.0
        half = total - 2.0 - 2.0 * odd * least
        # Of the doubles, -2 in the last coordinate is left out.
        missing = i == 7 and minus >> 7 == 1
        double = 4.0 * (next_largest if missing else largest) - 4.0
        best = max(0.0, pair, half, double)
        values[n, :] = 0.0
        if best == 0.0:
            codes[n, 0] = 0
        elif best == pair:
            a, b = min(i, j), max(i, j)
            signs = ((minus >> a) & 1) * 2 + ((minus >> b) & 1)
            values[n, a], values[n, b] = 1 - (signs & 2), 1 - 2 * (signs & 1)
            codes[n, 0] = 1 + 4 * (a * (15 - a) // 2 + b - a - 1) + signs
        elif best == half:
            minus ^= odd << low
            for k in range(8):
                values[n, k] = 0.5 - ((minus >> k) & 1)
            codes[n, 0] = 113 + (minus & 127)
        else:
            i = j if missing else i
            sign = (minus >> i) & 1
            values[n, i] = 2 - 4 * sign
            codes[n, 0] = 241 + 2 * i + sign
