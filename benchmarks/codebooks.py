"""Mean squared errors of codebooks on normal numbers, against the rate-distortion bound.

    python -m benchmarks.codebooks [--quick] [--note TEXT]

Writes ``benchmarks/results/codebooks.md`` and ``.json``, and ``docs/pictures/codebooks.svg``.
Needs the extra plots.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks._harness import ROOT, environment, options, publish, table
from quincunx.solvers.rounding import E8P, E81B, Grid, Residual
from quincunx.solvers.rounding.codebooks import D4

ROWS, QUICK_ROWS = 1 << 20, 1 << 16
# Scales and ratios of published checkpoints: RMS over scale, and first scale over second.
PUBLISHED = {
    "E8P, 2 bits, published scale 0.9": replace(E8P(), scale=1 / 0.9),
    "3 bits, published 0.98 / 2.04": Residual(E8P(), E81B(), scale=1 / 0.98, ratio=2.04),
    "4 bits, published 1.03 / 3.45": Residual(E8P(), E8P(), scale=1 / 1.03, ratio=3.45),
}

TEXT = """
Mean squared errors a weight on {rows} times eight normal numbers of variance 1, seed 0, each
codebook at the scale that it has for them. D(R) = 2^(-2R) is what no code of R bits can beat; the
figure in decibels is how far above it a code is. The standard error of a figure is at most
{error:.1%} of it. Published scales are those of QuIP#'s checkpoints, with our search for the second
stage, which alone lowers the error: one try at 1.03 / 3.45 is known to give 0.0095.

{table}
"""


def main() -> None:
    given = options(__doc__.split("\n")[0], "fewer numbers").parse_args()
    where = environment(("quincunx", "numpy"))
    x = np.random.default_rng(0).normal(size=(QUICK_ROWS if given.quick else ROWS, 8))
    codebooks: dict[str, Any] = {}
    for bits in (1, 2, 3, 4):
        codebooks[f"half-integers, {bits} bits"] = Grid(bits)
        codebooks[f"Lloyd-Max, {bits} bits"] = Grid(bits, levels="lloyd-max")
    codebooks |= {"E81B, 1 bit": E81B(), "D4, 2 bits": D4()}
    codebooks |= {f"E8P, {bits} bits": E8P(bits) for bits in (2, 3, 4)} | PUBLISHED
    rows, data, worst = [], {}, 0.0
    for name, codebook in codebooks.items():
        if codebook.scale is None:
            codebook = replace(codebook, scale=codebook.unit_scale)
        cut = x.reshape(-1, codebook.tile[1])
        squares = np.mean((codebook.quantize(cut)[0] - cut) ** 2, axis=1)
        error, bound = float(squares.mean()), 2 ** (-2 * codebook.bits)
        worst = max(worst, float(squares.std() / len(squares) ** 0.5) / error)
        data[name] = error
        rows.append((name, f"{error:.5f}", f"{bound:.5f}", f"{10 * np.log10(error / bound):.2f}"))
        print(*rows[-1], flush=True)
    head = ("codebook", "mean squared error", "D(R)", "above it (dB)")
    text = TEXT.format(rows=f"{len(x):,}", error=worst, table=table(head, rows))
    if not given.quick:
        draw(data, ROOT / "docs" / "pictures" / "codebooks.svg")
    publish("codebooks", "Codebooks on normal numbers", given, where, [text], {"errors": data})


def draw(errors: dict[str, float], path: Path) -> None:
    """Draw errors against bits, on logarithms, above the curve that no code can cross."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "codebooks"  # the same bytes every time
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    bits = np.linspace(0.9, 4.1)
    axes.semilogy(bits, 2 ** (-2 * bits), color="black", label="D(R), the least possible")
    families = ("half-integers", "Lloyd-Max", "E81B", "D4", "E8P")
    for family, marker in zip(families, "sov^D", strict=True):
        here = {n: e for n, e in errors.items() if n.startswith(family) and "published" not in n}
        at = [int(name.split(", ")[1][0]) for name in here]
        axes.semilogy(at, list(here.values()), marker, markersize=6, label=family)
    axes.set_xlabel("bits a weight")
    axes.set_ylabel("mean squared error on N(0, 1)")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
