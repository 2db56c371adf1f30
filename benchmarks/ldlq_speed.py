"""LDLQ against blocked GPTQ in torch, and against the machine's own matrix products.

    python -m benchmarks.ldlq_speed [--quick] [--note TEXT]

Writes ``benchmarks/results/ldlq-speed.md`` and ``.json``. Needs torch.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks._harness import environment, interleave, median, options, publish, table
from benchmarks.rounding_quality import Euclidean
from quincunx.solvers.rounding import E8P, Grid, ldlq, proxy_loss, spanning

SIZES, QUICK = (1024, 2048, 4096), (512,)
ROUNDS, SECONDS = 5, 60.0
E8P_HEAD = ("n", "4-bit grid (s)", "E8P, Euclidean (s)", "E8P, metric (s)")
BITS = 4

TEXT = """
Square float32 weights, Hessian `X'X` of twice as many samples as columns, 1 % damping, a 4-bit
grid whose ends are each row's extremes. *GPTQ* is the published algorithm in plain torch, written
for this comparison: the inverse's Cholesky factor, blocks of 128 columns, one column at a time in
a block. *Ours* is `ldlq(W, H, spanning(W, 4))` on NumPy arrays and on torch tensors, checks,
decomposition and loss included. Times are medians over rounds in which all take turns, on all
cores; *rate* counts `n^2 m` operations for all that ours does, in percent of the rate of NumPy's
own product of two such matrices (`2 n^3`), measured in the same rounds. *Loss* is ours over
GPTQ's, whose columns go in the other direction.

{grid}

E8P at 2 bits with a given scale, in Euclidean distance and in the block's metric, which is what
`ldlq` asks for, and the ratio to the grid of 4 bits:

{e8p}
"""


def gptq_in_torch(W: torch.Tensor, H: torch.Tensor, grid: Grid, block: int = 128) -> torch.Tensor:
    """GPTQ as published (Frantar and others, ICLR 2023, Algorithm 1)."""
    n = W.shape[1]
    damped = H + 0.01 * H.diagonal().mean() * torch.eye(n)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    upper = torch.linalg.cholesky(inverse, upper=True)
    scale, zero = grid.scale[:, 0], grid.zero[:, 0]
    left, out = W.clone(), torch.empty_like(W)
    for start in range(0, n, block):
        stop = min(start + block, n)
        part, spread = left[:, start:stop].clone(), torch.empty(W.shape[0], stop - start)
        corner = upper[start:stop, start:stop]
        for j in range(stop - start):
            column = part[:, j]
            code = torch.clamp(torch.round(column / scale) + zero, 0, grid.top)
            out[:, start + j] = scale * (code - zero)
            error = (column - out[:, start + j]) / corner[j, j]
            part[:, j:] -= error[:, None] * corner[j, j:]
            spread[:, j] = error
        left[:, stop:] -= spread @ upper[start:stop, stop:]
    return out


def problem(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and a Hessian whose eigenvalues fall by powers."""
    rng = np.random.default_rng(n)
    samples = rng.normal(size=(2 * n, n)).astype(np.float32)
    samples *= rng.permutation(np.arange(1, n + 1) ** -0.5).astype(np.float32)
    return rng.normal(size=(n, n)).astype(np.float32), samples.T @ samples / np.float32(n)


def main() -> None:
    given = options(__doc__.split("\n")[0], "one small size, a few seconds").parse_args()
    where = environment(("quincunx", "numpy", "numba", "torch"))
    rows, e8p_rows, data = [], [], {}
    for n in QUICK if given.quick else SIZES:
        weights, hessian = problem(n)
        tensors = torch.from_numpy(weights), torch.from_numpy(hessian)
        grid, grid_torch = spanning(weights, BITS), spanning(tensors[0], BITS)
        works: dict[str, Callable[[], Any]] = {
            "ours": lambda w=weights, h=hessian, g=grid: ldlq(w, h, g),
            "ours, torch": lambda t=tensors, g=grid_torch: ldlq(*t, g),
            "E8P": lambda w=weights, h=hessian: ldlq(w, h, E8P(scale=1.0)),
            "E8P, plain": lambda w=weights, h=hessian: ldlq(w, h, Euclidean(scale=1.0)),
            "product": lambda w=weights, h=hessian: w @ h,
            "GPTQ": lambda t=tensors, g=grid_torch: gptq_in_torch(*t, g),
        }
        for name in ("ours", "ours, torch", "E8P", "E8P, plain"):
            works[name]()  # compile
        times = {k: median(t) for k, t in interleave(works, ROUNDS, SECONDS).items()}
        data[n] = times
        peer = proxy_loss(works["GPTQ"]().numpy() - weights, hessian)
        loss = works["ours"]().proxy_loss / peer
        rate = [n**3 / times[k] / (2 * n**3 / times["product"]) for k in ("ours", "ours, torch")]
        rows.append(
            (
                n,
                *(f"{times[k]:.2f}" for k in ("ours", "ours, torch", "GPTQ")),
                *(f"**{times['GPTQ'] / times[k]:.1f}x**" for k in ("ours", "ours, torch")),
                *(f"{100 * r:.0f} %" for r in rate),
                f"{2e-9 * n**3 / times['product']:.0f}",
                f"{loss:.3f}",
            )
        )
        e8p = [f"{times[k]:.2f} ({times[k] / times['ours']:.1f}x)" for k in ("E8P, plain", "E8P")]
        e8p_rows.append((n, f"{times['ours']:.2f}", *e8p))
        print(*rows[-1], *e8p_rows[-1], flush=True)
    head = ("n", "ours (s)", "ours, torch (s)", "GPTQ (s)", "GPTQ / ours", "GPTQ / ours, torch")
    head = (*head, "rate", "rate, torch", "product (GFLOP/s)", "loss")
    text = TEXT.format(grid=table(head, rows), e8p=table(E8P_HEAD, e8p_rows))
    publish("ldlq_speed", "LDLQ at speed", given, where, [text], {"seconds": data})


if __name__ == "__main__":
    main()
