"""What roundings lose: methods, bases and codebooks on synthetic layers, and four old weaknesses.

    python -m benchmarks.rounding_quality [--quick] [--note TEXT]

Writes ``benchmarks/results/rounding-quality.md`` and ``.json``.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks._harness import environment, options, publish, table
from benchmarks._rounding_problems import CASES, Floats, layer, spectrum
from quincunx.solvers.linalg import RandomHadamard
from quincunx.solvers.rounding import (
    E8P,
    Grid,
    greedy,
    ldlq,
    nearest,
    proxy_loss,
    spanning,
    two_sided,
    two_sided_loss,
)
from quincunx.solvers.rounding.incoherence import incoherent

SEEDS, QUICK_SEEDS = 5, 1
BITS = (2, 3, 4)
FIXED_RANGE = 2.4  # QuIP's half range, in root mean squares of the weights, at any number of bits

CODEBOOKS: dict[str, Any] = {
    "grid, 2 bits": Grid(2),
    "E8P, 2 bits": E8P(2),
    "grid, 4 bits": Grid(4),
}

Layer = tuple[Floats, Floats]

TEXT = """
Losses are `tr(E H E') / tr(W H W')`, geometric means over {seeds} seeds, of layers of 64 outputs
and n inputs; `benchmarks/_rounding_problems.py` makes them. *RHT*: after random Hadamard transforms
of both sides. Grids are of half-integers with one scale for the matrix, chosen by the rounding
itself; *rows*: uniform grids that span each row, as GPTQ has them.

## Methods

{methods}

## Four weaknesses of the originals

*Clipping*: QuIP clips weights to the grid's range before it rounds, so that no feedback sees that
error. Ours clips what comes out. *Range*: QuIP's half range is 2.4 root mean squares at any number
of bits; ours is searched for by the loss itself. All after RHT, LDLQ on half-integer grids.

{clipping}

*Metric*: QuIP# rounds blocks of eight weights to E8P in Euclidean distance, and then goes over them
again, likewise, ten times. Ours rounds in the block's own metric, D_k and then H_kk, and moves only
what lowers the loss. At 2 bits, scale 0.9 of the root mean square for both, as QuIP# has it, and
with a scale that is searched for. In brackets the fall against plain BlockLDLQ.

{metric}

*Residual scales*: the fourth, in `codebooks.md` beside this file.

## Outputs that count together

The loss is `tr(H_O E H E') / tr(H_O W H W')`, H_O [64, 64] made as H is, without the uneven sizes.
*LDLQ* does not see H_O; *two-sided* has feedback from it, too. After RHT of both.

{two_sided}
"""


@dataclass(frozen=True)
class Euclidean:
    """E8P with the metric left out of account, as the original has it."""

    scale: Any = None
    tile: tuple[int, int] = (1, 8)
    bits: float = 2.0
    unit_scale: float = 1.0

    def quantize(self, x: Any, /, *, metric: Any = None) -> tuple[Any, Any]:
        return E8P(scale=self.scale).quantize(x)

    def decode(self, codes: Any, /) -> Any:
        return E8P(scale=self.scale).decode(codes)


def spun(case: Layer, seed: int) -> Layer:
    """The layer after random Hadamard transforms."""
    rows, columns = case[0].shape
    left, right = RandomHadamard(rows, seed=seed), RandomHadamard(columns, seed=seed + 1)
    found = incoherent(*case, left=left, right=right)
    return found.weights, found.hessian


def polished(w: Floats, h: Floats, codebook: Any) -> float:
    start = ldlq(w, h, codebook)
    return greedy(w, h, codebook, start=start).proxy_loss


METHODS: dict[str, Callable[[Layer, Layer, int], float]] = {
    "nearest, rows": lambda p, _, b: nearest(*p, spanning(p[0], b)).proxy_loss,
    "nearest": lambda p, _, b: nearest(*p, Grid(b)).proxy_loss,
    "LDLQ, rows": lambda p, _, b: ldlq(*p, spanning(p[0], b)).proxy_loss,
    "LDLQ": lambda p, _, b: ldlq(*p, Grid(b)).proxy_loss,
    "greedy": lambda p, _, b: greedy(*p, Grid(b)).proxy_loss,
    "LDLQ, greedy": lambda p, _, b: polished(*p, Grid(b)),
    "RHT, nearest": lambda _, s, b: nearest(*s, Grid(b)).proxy_loss,
    "RHT, LDLQ": lambda _, s, b: ldlq(*s, Grid(b)).proxy_loss,
    "RHT, LDLQ, greedy": lambda _, s, b: polished(*s, Grid(b)),
    "RHT, LDLQ, Lloyd-Max": lambda _, s, b: ldlq(*s, Grid(b, levels="lloyd-max")).proxy_loss,
    "RHT, E8P nearest": lambda _, s, b: nearest(*s, E8P(b)).proxy_loss,
    "RHT, E8P LDLQ": lambda _, s, b: ldlq(*s, E8P(b)).proxy_loss,
    "RHT, E8P LDLQ, greedy": lambda _, s, b: polished(*s, E8P(b)),
}


def clipped(problem: Layer, bits: int, ratio: float) -> float:
    """LDLQ on a grid of a half range, targets clipped first: what QuIP does."""
    w, h = problem
    half = ratio * float(np.sqrt(np.mean(w * w)))
    grid = Grid(bits, scale=2 * half / (2**bits - 1))
    return proxy_loss(ldlq(np.clip(w, -half, half), h, grid).values - w, h)


def unclipped(problem: Layer, bits: int, ratio: float) -> float:
    half = ratio * float(np.sqrt(np.mean(problem[0] ** 2)))
    return ldlq(*problem, Grid(bits, scale=2 * half / (2**bits - 1))).proxy_loss


def tuned(problem: Layer, scale: float, passes: int) -> float:
    """BlockLDLQ and passes in Euclidean distance that keep whatever comes out: what QuIP# does."""
    w, h = problem
    codebook = E8P(scale=scale)
    values = ldlq(w, h, Euclidean(scale)).values.copy()
    for _ in range(passes):
        for k in reversed(range(0, w.shape[1], 8)):
            here = slice(k, k + 8)
            push = (w - values) @ h[:, here] @ np.linalg.inv(h[here, here])
            values[:, here] = codebook.quantize(values[:, here] + push)[0]
    return proxy_loss(values - w, h)


def ours(problem: Layer, scale: float | None, passes: int) -> float:
    start = ldlq(*problem, E8P(scale=scale))
    return greedy(*problem, start.codebook, start=start, passes=passes).proxy_loss


def coupled(problem: Layer, seed: int) -> list[tuple[str, float]]:
    """Losses under an output Hessian, over that of all weights at zero."""
    w, h = problem
    outputs = spectrum(np.random.default_rng([seed, 7]), len(w))
    spin = RandomHadamard(len(w), seed=seed)
    outputs = spin.apply(spin.apply(outputs).T)
    whole, out = two_sided_loss(w, h, outputs), []
    for name, codebook in CODEBOOKS.items():
        one = two_sided_loss(ldlq(w, h, codebook).values - w, h, outputs)
        both = two_sided(w, h, codebook, output_hessian=outputs).proxy_loss
        out += [(f"one side, {name}", one / whole), (f"both sides, {name}", both / whole)]
    return out


def main() -> None:
    quick = "one seed, a minute"
    given = options(__doc__.split("\n")[0], quick).parse_args()
    where = environment(("quincunx", "numpy", "numba"))
    seeds = range(QUICK_SEEDS if given.quick else SEEDS)
    found: dict[str, dict[str, list[float]]] = {}
    for case in CASES:
        for seed in seeds:
            plain = layer(case, seed)
            whole = proxy_loss(*plain)
            spread = spun(plain, seed)
            for name, loss in measures(plain, spread):
                found.setdefault(name, {}).setdefault(case, []).append(loss / whole)
            for name, ratio in coupled(spread, seed):
                found.setdefault(name, {}).setdefault(case, []).append(ratio)
        print(case, "done", flush=True)
    mean = {n: {c: exp(sum(map(log, x)) / len(x)) for c, x in f.items()} for n, f in found.items()}
    text = TEXT.format(
        seeds=len(seeds),
        methods=method_table(mean),
        clipping=clipping_table(mean),
        metric=metric_table(mean),
        two_sided=two_sided_table(mean),
    )
    publish("rounding_quality", "What roundings lose", given, where, [text], {"losses": found})


def measures(plain: Layer, spread: Layer) -> list[tuple[str, float]]:
    """Every figure of the page for one layer, by name."""
    out = [(f"{n}, {b}", f(plain, spread, b)) for n, f in METHODS.items() for b in BITS]
    for b in BITS:
        out.append((f"clipped 2.4, {b}", clipped(spread, b, FIXED_RANGE)))
        out.append((f"unclipped 2.4, {b}", unclipped(spread, b, FIXED_RANGE)))
        out.append((f"unclipped best, {b}", ldlq(*spread, Grid(b)).proxy_loss))
    scale = float(np.sqrt(np.mean(spread[0] ** 2))) / 0.9
    for name, s in (("0.9", scale), ("best", None)):
        if s is None:
            s = float(ldlq(*spread, Euclidean()).codebook.scale)
        out.append((f"Euclidean, {name}", tuned(spread, s, 0)))
        out.append((f"Euclidean 10, {name}", tuned(spread, s, 10)))
        out.append((f"D_k, {name}", ours(spread, None if name == "best" else s, 0)))
        out.append((f"D_k and H_kk, {name}", ours(spread, None if name == "best" else s, 10)))
    return out


def method_table(mean: dict[str, dict[str, float]]) -> str:
    rows = [
        (f"{name}, {b} bits", *(f"{mean[f'{name}, {b}'][case]:.4f}" for case in CASES))
        for b in BITS
        for name in METHODS
    ]
    return table(("method", *CASES), rows)


def clipping_table(mean: dict[str, dict[str, float]]) -> str:
    names = {"clipped 2.4": "clipped, 2.4", "unclipped 2.4": "ours, 2.4"}
    names["unclipped best"] = "ours, searched"
    rows = [
        (f"{title}, {b} bits", *(f"{mean[f'{name}, {b}'][case]:.4f}" for case in CASES))
        for b in BITS
        for name, title in names.items()
    ]
    return table(("", *CASES), rows)


def two_sided_table(mean: dict[str, dict[str, float]]) -> str:
    rows = []
    for name in CODEBOOKS:
        one, both = mean[f"one side, {name}"], mean[f"both sides, {name}"]
        falls = [
            f"{both[case]:.4f} ({100 * (both[case] / one[case] - 1):+.0f} %)" for case in CASES
        ]
        rows.append((f"LDLQ, {name}", *(f"{one[case]:.4f}" for case in CASES)))
        rows.append((f"two-sided, {name}", *falls))
    return table(("", *CASES), rows)


def metric_table(mean: dict[str, dict[str, float]]) -> str:
    rows = []
    for scale in ("0.9", "best"):
        for name in ("Euclidean", "Euclidean 10", "D_k", "D_k and H_kk"):
            losses = [mean[f"{name}, {scale}"][case] for case in CASES]
            start = [mean[f"Euclidean, {scale}"][case] for case in CASES]
            falls = [
                f"{x:.4f} ({100 * (x / s - 1):+.0f} %)" for x, s in zip(losses, start, strict=True)
            ]
            rows.append((f"{name}, scale {scale}", *falls))
    return table(("", *CASES), rows)


if __name__ == "__main__":
    main()
