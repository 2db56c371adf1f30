"""A plot of gaps against wall time: medians and quartiles, a panel for each setting and gamma."""

import io
import re
from pathlib import Path

import numpy as np

from benchmarks._harness import ROOT
from benchmarks._pdg_descent import FLOOR, GRID, OURS, SETTINGS
from quincunx._atomic import atomic_write

TOP = 10.0  # nats, the end of the axis

# Okabe and Ito's colours, told apart by most colour-blind readers, and different in lightness.
STYLES = {
    OURS: ("#0072b2", "-", 2.2),
    "L-BFGS, clusters": ("#d55e00", "-", 1.4),
    "Adam, clusters": ("#009e73", "-", 1.4),
    "L-BFGS, joint": ("#d55e00", ":", 1.4),
    "Adam, joint": ("#009e73", ":", 1.4),
}


def draw(curves: dict[tuple[str, float], dict[str, np.ndarray]], path: Path) -> None:
    """Draw the quartiles of gaps, and write them as an SVG file.

    Arguments:
        curves: for each setting and gamma, and each method, float64 [3, times] in nats.
        path: where the picture goes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    gammas = list(dict.fromkeys(gamma for _, gamma in curves))
    figure = Figure(figsize=(2.5 * len(gammas), 5.2), layout="constrained")
    grid = figure.subplots(len(SETTINGS), len(gammas), sharex=True, sharey=True, squeeze=False)
    for row, setting in zip(grid, SETTINGS, strict=True):
        for axes, gamma in zip(row, gammas, strict=True):
            _panel(axes, curves[setting, gamma])
            axes.set_title(f"{setting}, γ = {gamma:g}", fontsize=9)
        row[0].set_ylabel("score − best known, nats", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("seconds", fontsize=9)
    handles = {}
    for axes in grid.flat:
        handles |= {line.get_label(): line for line in axes.get_lines()}
    figure.legend(
        handles.values(),
        handles,
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=8,
    )
    drawn = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "quincunx", "svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(re.sub(r"(\.\d)\d{3,}", r"\1", drawn.getvalue()))  # a tenth of a point is enough
    print(f"wrote {path.relative_to(ROOT)}")


def _panel(axes, curves: dict[str, np.ndarray]) -> None:
    for name, gaps in curves.items():
        colour, dashes, width = STYLES[name]
        # Steps last until the next one; where half the graphs have no score yet, there is none.
        moves = np.isfinite(gaps[1])
        moves[1:-1] &= (gaps[:, 1:-1] != gaps[:, :-2]).any(axis=0)
        times, (low, middle, high) = np.array(GRID)[moves], gaps[:, moves]
        axes.step(times, middle, where="post", color=colour, ls=dashes, lw=width, label=name)
        if dashes == "-":
            band = {"step": "post", "color": colour, "alpha": 0.15, "lw": 0}
            axes.fill_between(times, low, np.minimum(high, TOP), **band)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(GRID[0], GRID[-1])
    axes.set_ylim(FLOOR / 2, TOP)
    axes.set_yticks([1e-12, 1e-8, 1e-4, 1])
    axes.minorticks_off()  # they would be a third of the file
    axes.grid(alpha=0.25, lw=0.5)
    axes.tick_params(labelsize=8)
