"""Random Hadamard transforms against products with the dense matrix, in NumPy and torch.

    python -m benchmarks.hadamard [--quick] [--note TEXT]

Writes ``benchmarks/results/hadamard.md`` and ``.json``; with ``--quick`` small sizes and no files.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import scipy.linalg
import torch

from benchmarks._harness import describe, environment, interleave, median, table, write_results
from quincunx.solvers.linalg import RandomHadamard
from quincunx.solvers.linalg.flat import factors

SIZES = (1024, 4096, 4099, 4304, 5632, 11008, 13696, 16384)
QUICK = (256, 1024, 1100)
ROWS, ROUNDS, SECONDS = 512, 7, 8.0

TEXT = """
# Random Hadamard transforms

Made by `python -m benchmarks.hadamard`.

{where}

{rows} rows of float32 are multiplied by the transform of each size. *NumPy* and *torch* are
products with the dense orthogonal matrix: `scipy.linalg.hadamard` with signs where the size is a
power of two, ours written out where it is not, as SciPy has no such sizes. Times are medians of up
to {rounds} rounds in which all take turns; ratios are theirs over ours.

{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument("--note", default="", help="a line about the machine for the results")
    given = parser.parse_args()
    where = environment(("quincunx", "numpy", "scipy", "numba", "torch"))
    rows, data = [], {}
    for n in QUICK if given.quick else SIZES:
        times = {name: median(t) for name, t in interleave(works(n), ROUNDS, SECONDS).items()}
        data[n] = times
        way = factors(n)
        parts = [way.power] * (way.power > 1) + [way.odd] * (way.odd > 1) + [*way.cores]
        ours = times["ours"]
        rows.append(
            (
                n,
                " x ".join(map(str, parts)),
                f"{way.flatness:.3f}",
                *(f"{1e3 * t:.1f}" for t in times.values()),
                f"**{times['numpy'] / ours:.1f}x**",
                f"**{times['torch'] / times['ours, torch']:.1f}x**",
            )
        )
        print(*rows[-1], flush=True)
    head = ("n", "factors", "flatness", "ours (ms)", "ours, torch (ms)", "NumPy (ms)")
    head = (*head, "torch (ms)", "NumPy / ours", "torch / ours")
    text = TEXT.format(
        where=describe(where, given.note), rows=ROWS, rounds=ROUNDS, table=table(head, rows)
    )
    if not given.quick:
        write_results("hadamard", text, {"where": where, "seconds": data})


def works(n: int) -> dict[str, Callable[[], Any]]:
    """What is timed, after a check that all compute the same."""
    transform = RandomHadamard(n, seed=1)
    x = np.random.default_rng(n).normal(size=(ROWS, n)).astype(np.float32)
    x_torch = torch.asarray(x)
    matrix = dense(transform)
    matrix_torch = torch.asarray(matrix)
    out = {
        "ours": lambda: transform.apply(x),
        "ours, torch": lambda: transform.apply(x_torch),
        "numpy": lambda: x @ matrix,
        "torch": lambda: x_torch @ matrix_torch,
    }
    first, *others = (np.asarray(work()) for work in out.values())
    for other in others:
        np.testing.assert_allclose(first, other, rtol=0, atol=2e-5)
    return out


def dense(transform: RandomHadamard) -> np.ndarray:
    """The transposed matrix V', float32 [n, n]."""
    n = transform.n
    if n & (n - 1):
        return transform.apply(np.eye(n, dtype=np.float32))
    signs = np.sign(transform.undo(np.eye(1, n, dtype=np.float32))[0])
    return (scipy.linalg.hadamard(n) * signs[:, None] / np.sqrt(n)).astype(np.float32)


if __name__ == "__main__":
    main()
