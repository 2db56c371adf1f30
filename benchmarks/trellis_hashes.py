"""Whether other multipliers than mul1's make a better trellis code.

    python -m benchmarks.trellis_hashes [--quick] [--note TEXT]

Writes ``benchmarks/results/trellis-hashes.md`` and ``.json``.
"""

import sys
from pathlib import Path

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks._harness import environment, options, publish, table
from quincunx.solvers.trellis import Bitshift, viterbi

MUL1 = 0x83DCD12D
TRIES, QUICK = 300, 10
FINALISTS = 5
SIZE = 1.017  # of a code's deviation over that of the numbers, mul1's best

TEXT = """
mul1's value of a state is the sum of the four bytes of the state times {mul1:#x}. {tries} random
odd multipliers take its place: 2 bits, states of 16 bits, tail-biting by two passes, {first:,}
normal numbers. The best {finalists} are then measured on {second:,} others, as the first figures
are the best of many. Ratios are of errors to mul1's on the same numbers (standard error about
0.1 % of the latter).

| | ratio |
| --- | ---: |
| best of all | {best:.4f} |
| median | {median:.4f} |
| worst | {worst:.4f} |

The best, again:

{again}
"""


def error(multiplier: int, x: np.ndarray) -> float:
    words = np.arange(1 << 16, dtype=np.uint64) * np.uint64(multiplier)
    parts = [(words >> np.uint64(8 * byte)) & np.uint64(255) for byte in range(4)]
    values = (np.sum(parts, axis=0).astype(np.float32) - 510) / np.float32(147.7)
    units = x * (values.std() / SIZE)
    paths = viterbi(units, Bitshift(values[:, None], 2))
    return float(np.sum(paths.distortion) / np.sum(units**2))


def main() -> None:
    given = options(__doc__.split("\n")[0], "ten multipliers").parse_args()
    where = environment(("quincunx", "numpy", "numba"))
    first, second = (
        np.random.default_rng(seed).standard_normal((count, 256))
        for seed, count in ((5, 192), (6, 1024))
    )
    rng = np.random.default_rng(0)
    base = error(MUL1, first)
    tries = QUICK if given.quick else TRIES
    multipliers = [int(m) * 2 + 1 for m in rng.integers(1 << 31, size=tries)]
    ratios = {m: error(m, first) / base for m in multipliers}
    best = sorted(ratios, key=ratios.__getitem__)[:FINALISTS]
    base = error(MUL1, second)
    again = {m: error(m, second) / base for m in best}
    text = TEXT.format(
        mul1=MUL1,
        tries=tries,
        first=first.size,
        second=second.size,
        finalists=FINALISTS,
        best=min(ratios.values()),
        median=float(np.median(list(ratios.values()))),
        worst=max(ratios.values()),
        again=table(
            ("multiplier", "before", "again"),
            [(f"{m:#x}", f"{ratios[m]:.4f}", f"{again[m]:.4f}") for m in best],
        ),
    )
    data = {"ratios": ratios, "again": again}
    publish("trellis_hashes", "Other hashes for mul1", given, where, [text], data)


if __name__ == "__main__":
    main()
