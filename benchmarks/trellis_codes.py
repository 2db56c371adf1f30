"""Trellis codes on normal numbers: moments, best scales and errors, against the limit D(R).

    python -m benchmarks.trellis_codes [--quick] [--note TEXT]

Writes ``benchmarks/results/trellis-codes.md`` and ``.json``, and the figure of
``docs/systems/qtip.md``. Takes half an hour.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks._harness import RESULTS, environment, options, publish, table
from quincunx.solvers.rounding import Trellis
from quincunx.solvers.trellis import NAMES, Bitshift, values, viterbi

WEIGHTS, QUICK = 1 << 20, 1 << 14
SAMPLE = 1 << 16  # for the scale
BITS = (1, 2, 3, 4)
STEPS = np.arange(-6, 9) / 32  # octaves around the reciprocal of the code's deviation
FIGURE = Path(__file__).parents[1] / "docs" / "pictures" / "rate-distortion.svg"
SEARCHES = ("fast", "paper", "best")

TEXT = """
Sequences of 256 normal numbers, tail-biting, states of 16 bits. Errors are mean squares over the
mean square of the numbers, on {weights:,} of them (standard error about 0.15 %); scales are the
best of fifteen on other numbers, refined by a parabola, as multiples of the reciprocal of the
code's standard deviation. The search is "paper", two passes.

{errors}

*Scales* of these:

{scales}

What the states of 16 bits stand for:

{moments}

mul1 and 2mad with each search (passes over the sequence: 1.5, 2 and 5), on the same numbers:

{searches}

The error at 2 bits by the size of the state (mul1, {fewer:,} numbers):

{sizes}

16-bit costs against float64's, the same two passes on {few} numbers (ratios of errors; the paths
differ here and there, so that chance is in it):

{arithmetic}
"""


def sample(weights: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((weights // 256, 256))


def error(codebook: Trellis, x: np.ndarray) -> float:
    units = x / codebook.scale
    paths = viterbi(units, codebook.trellis, search=codebook.search)
    return float(codebook.scale**2 * paths.distortion.sum() / np.sum(x * x))


def fitted(codebook: Trellis, x: np.ndarray) -> Trellis:
    """The codebook with the best scale for normal numbers."""
    start = codebook.unit_scale
    losses = [error(replace(codebook, scale=start * 2**step), x) for step in STEPS]
    k = int(np.clip(np.argmin(losses), 1, len(STEPS) - 2))
    below, least, above = losses[k - 1 : k + 2]
    bend = below - 2 * least + above
    shift = np.clip((below - above) / (2 * bend), -1, 1) if bend > 0 else 0.0
    return replace(codebook, scale=float(start * 2 ** (STEPS[k] + shift / 32)))


def main() -> None:
    given = options(__doc__.split("\n")[0], "few numbers, two minutes").parse_args()
    where = environment(("quincunx", "numpy", "numba"))
    weights = QUICK if given.quick else WEIGHTS
    x, y = sample(weights, 1), sample(min(SAMPLE, weights), 2)
    errors: dict[str, dict[int, float]] = {}
    scales: dict[str, dict[int, float]] = {}
    books: dict[tuple[str, int], Trellis] = {}
    for code in NAMES:
        for bits in BITS:
            codebook = books[code, bits] = fitted(Trellis(bits, code), y)
            errors.setdefault(code, {})[bits] = error(codebook, x)
            scales.setdefault(code, {})[bits] = codebook.scale / codebook.unit_scale
        print(code, errors[code], scales[code], flush=True)
    searched = {
        f"{code}, {bits} bits": [error(replace(books[code, bits], search=s), x) for s in SEARCHES]
        for code in ("mul1", "2mad")
        for bits in BITS
    }
    sizes = {}
    for length in (8, 10, 12, 14, 16) if given.quick else (8, 10, 12, 14, 16, 18):
        sizes[length] = error(fitted(Trellis(2, state_bits=length), y), x[: weights // 1024])
    arithmetic = {bits: doubled(books["mul1", bits], x[:64]) for bits in BITS}
    text = TEXT.format(
        weights=weights,
        fewer=weights // 4,
        few=64 * 256,
        errors=by_bits(errors, "{:.5f}"),
        scales=by_bits(scales, "{:.3f}"),
        moments=moments(),
        searches=table(
            ("code", *SEARCHES), [(b, *(f"{e:.5f}" for e in row)) for b, row in searched.items()]
        ),
        sizes=table(
            ("bits of a state", *sizes), [("error", *(f"{e:.5f}" for e in sizes.values()))]
        ),
        arithmetic=table(("bits", *BITS), [("ratio", *(f"{r:.4f}" for r in arithmetic.values()))]),
    )
    draw(errors)
    data = {"errors": errors, "scales": scales, "searches": searched, "sizes": sizes}
    publish("trellis_codes", "Trellis codes on normal numbers", given, where, [text], data)


def by_bits(figures: dict[str, dict[int, float]], form: str) -> str:
    limit = [("D(R)", *(f"{4.0**-bits:.5f}" for bits in BITS))] if form == "{:.5f}" else []
    rows = [(code, *(form.format(row[bits]) for bits in BITS)) for code, row in figures.items()]
    return table(("code", *(f"{bits} bits" for bits in BITS)), [*rows, *limit])


def moments() -> str:
    rows = []
    for code in NAMES:
        v = values(code).astype(np.float64)
        spread = v.std()
        kurtosis = np.mean((v - v.mean()) ** 4) / spread**4
        ends = f"{v.min():.2f}", f"{v.max():.2f}"
        rows.append((code, f"{v.mean():.4f}", f"{spread:.4f}", *ends, f"{kurtosis:.2f}"))
    return table(("code", "mean", "deviation", "least", "largest", "kurtosis"), rows)


def doubled(codebook: Trellis, x: np.ndarray) -> float:
    """The error over that of the same search in float64."""
    from quincunx.kernels.viterbi import reference

    trellis: Bitshift = codebook.trellis
    numbers = trellis.values.astype(np.float64)
    units = x / codebook.scale

    def path(part: Any, node: int | None) -> Any:
        return reference.shortest(part, numbers, trellis.shift, node)

    plain = [
        reference.tail_biting(row[:, None], path, shift=trellis.shift, window=128, turns=())
        for row in units
    ]
    found = viterbi(units, trellis).distortion.sum()
    return float(found / np.sum((numbers[plain][:, :, 0] - units) ** 2))


def draw(errors: dict[str, dict[int, float]]) -> None:
    """Errors against bits, with E8P's and grids' from ``codebooks.json``."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "trellis"  # the same bytes every time
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.4), layout="constrained")
    rates = np.linspace(1, 4, 50)
    axes.plot(rates, 0 * rates, color="black", label="D(R), the least possible")
    curves = {"trellis, mul1": errors["mul1"], "trellis, HYB": errors["hyb"]}
    others = json.loads((RESULTS / "codebooks.json").read_text())["errors"]
    for family in ("E8P", "Lloyd-Max"):
        mine = {name: e for name, e in others.items() if name.startswith(f"{family}, ")}
        curves[family] = {int(name.split(", ")[1][0]): e for name, e in mine.items()}
    for name, points in curves.items():
        bits = np.array([float(b) for b in points])
        excess = 10 * np.log10(np.array(list(points.values())) * 4**bits)
        axes.plot(bits, excess, marker="o", label=name)
    axes.set(xlabel="bits a weight", ylabel="error over D(R), dB", xlim=(0.9, 4.1))
    axes.legend()
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
