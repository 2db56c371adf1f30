"""LDLQ with trellises, E8P and grids on synthetic layers.

    python -m benchmarks.trellis_rounding [--quick] [--note TEXT]

Writes ``benchmarks/results/trellis-rounding.md`` and ``.json``.
"""

import sys
from math import exp, log
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import environment, options, publish, table
from benchmarks._rounding_problems import CASES, layer
from benchmarks.rounding_quality import spun
from quincunx.solvers.rounding import E8P, Grid, Trellis, ldlq, proxy_loss

SEEDS, QUICK = 5, 1
BITS = (2, 3, 4)

TEXT = """
Losses are `tr(E H E') / tr(W H W')`, geometric means over {seeds} seeds, of layers of 64 outputs
and n inputs after random Hadamard transforms of both sides (`benchmarks/_rounding_problems.py`).
All by `ldlq`, with a scale that it chooses. E8P is rounded in the metric of its block; trellises do
not use one. Their tiles are 32 x 8 where nothing else is said. In brackets the change against E8P.

{losses}
"""


def books(bits: int) -> dict[str, Any]:
    return {
        "grid": Grid(bits),
        "E8P": E8P(bits),
        "trellis, 16 x 16": Trellis(bits, tile=(16, 16)),
        "trellis, 32 x 8": Trellis(bits),
        "trellis, 64 x 4": Trellis(bits, tile=(64, 4)),
        "trellis, L = 12": Trellis(bits, state_bits=12),
        "HYB": Trellis(bits, "hyb"),
    }


def main() -> None:
    given = options(__doc__.split("\n")[0], "one seed").parse_args()
    where = environment(("quincunx", "numpy", "numba"))
    seeds = range(QUICK if given.quick else SEEDS)
    found: dict[str, dict[str, list[float]]] = {}
    for case in CASES:
        for seed in seeds:
            weights, hessian = spun(layer(case, seed), seed)
            whole = proxy_loss(weights, hessian)
            for bits in BITS:
                for name, codebook in books(bits).items():
                    loss = ldlq(weights, hessian, codebook).proxy_loss / whole
                    found.setdefault(f"{name}, {bits} bits", {}).setdefault(case, []).append(loss)
        print(case, "done", flush=True)
    mean = {n: {c: exp(sum(map(log, x)) / len(x)) for c, x in f.items()} for n, f in found.items()}
    rows = []
    for bits in BITS:
        for name in books(bits):
            mine, peer = mean[f"{name}, {bits} bits"], mean[f"E8P, {bits} bits"]
            cells = [f"{mine[c]:.5f} ({100 * (mine[c] / peer[c] - 1):+.0f} %)" for c in CASES]
            rows.append((f"{name}, {bits} bits", *cells))
    text = TEXT.format(seeds=len(seeds), losses=table(("codebook", *CASES), rows))
    publish("trellis_rounding", "LDLQ with trellises", given, where, [text], {"losses": found})


if __name__ == "__main__":
    main()
