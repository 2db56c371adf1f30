"""Make the pictures of docs/kernels.md anew, from the packing functions and the counted costs.

Run from the repository: python -m tools.make_layouts
"""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from quincunx.kernels import packing

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
COSTS = ROOT / "benchmarks" / "results" / "matmul-cost.json"
UNITS = ("#9ecae1", "#fdd0a2", "#a1d99b", "#dadaeb")
STEP_BITS, STATE_BITS = 2, 16


def main() -> None:
    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "quincunx", "font.size": 9})
    for name, figure in (
        ("trellis-layout", trellis_layout()),
        ("row-layout", row_layout()),
        ("kernel-limits", limits()),
    ):
        figure.savefig(PICTURES / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
        print(f"docs/pictures/{name}.svg: {(PICTURES / f'{name}.svg').stat().st_size:,} bytes")


def trellis_layout() -> Any:
    """W in tiles, a tile in steps, and the bytes of its path with one state's window."""
    figure, (whole, tile, path) = plt.subplots(
        1, 3, figsize=(10, 5), gridspec_kw={"width_ratios": [2, 2, 3]}
    )
    for row in range(2):
        for column in range(5):
            colour = UNITS[0] if (row, column) == (0, 1) else "white"
            whole.add_patch(Rectangle((8 * column, 32 * row), 8, 32, fc=colour, ec="black"))
            whole.text(8 * column + 4, 32 * row + 16, f"{row},{column}", ha="center")
    finish(whole, (0, 40), (0, 64), "W in tiles of 32 x 8;\neach row of tiles: a row of qweight")
    for unit, colour in enumerate(UNITS):
        tile.add_patch(Rectangle((0, 8 * unit), 8, 8, fc=colour, ec="none"))
        path.add_patch(Rectangle((0, 2 * unit), 8, 2, fc=colour, ec="none"))
    for step in (*range(16), 64, 128, 192, 248, 255):
        tile.text(step % 8 + 0.5, step // 8 + 0.75, step, ha="center", fontsize=6)
    ruled(tile, 8, 32)
    finish(tile, (0, 8), (0, 32), "a tile's 256 steps;\none thread's: a colour")
    states = np.zeros((1, 256), dtype=np.int64)
    count = packing.pack(states, STEP_BITS).shape[1]
    for byte in (*range(8), *range(8, count, 8), count - 1):
        path.text(byte % 8 + 0.5, byte // 8 + 0.65, byte, ha="center", fontsize=7)
    ruled(path, 8, count // 8)
    last = 20  # the window that ends with this step's bits
    for bit in range((last + 1) * STEP_BITS - STATE_BITS, (last + 1) * STEP_BITS):
        byte = bit // 8
        left = byte % 8 + bit % 8 / 8
        path.add_patch(Rectangle((left, byte // 8 + 0.75), 1 / 8, 0.25, fc="#cb181d", ec="none"))
    title = f"its {count} bytes at k = 2, highest bit first;\nred: the state of step {last}"
    finish(path, (0, 8), (0, count // 8), title)
    return figure


def row_layout() -> Any:
    """Rows of codes: one row's first bits for a grid and for E8P."""
    figure, axes = plt.subplots(3, 1, figsize=(9, 3.6))
    rows = {
        "grid, 3 bits: a weight each": [(3, i) for i in range(16)],
        "E8P, 2 bits: 16 for 8 weights, absolute values and signs": [(8, 0), (8, 0), (8, 1),
                                                                    (8, 1), (8, 2), (8, 2)],
        "E8P, 3 bits: 16 of E8P, then 8 of E81B": [(8, 0), (8, 0), (8, 1), (8, 2), (8, 2), (8, 3)],
    }  # fmt: skip
    for axis, (title, fields) in zip(axes, rows.items(), strict=True):
        start = 0
        for width, colour in fields:
            axis.add_patch(Rectangle((start, 0), width, 1, fc=UNITS[colour % 4], ec="white"))
            start += width
        axis.vlines(np.arange(49), 0, 1, colors="black", lw=0.2)
        axis.vlines(8 * np.arange(7), 0, 1, colors="black", lw=1.5)
        finish(axis, (0, 48), (1, 0), title)
    figure.tight_layout()
    return figure


def limits() -> Any:
    """Weights a second on an H200, by what binds, from the counted costs."""
    known = json.loads(COSTS.read_text())["costs"]
    figure, axis = plt.subplots(figsize=(6, 3.4))
    bits = np.array([1, 2, 3, 4, 8])
    axis.loglog(bits, 4.3e12 / (bits / 8), "k-", label="memory, 4.3 TB/s")
    for code, colour in (("mul1", "#08519c"), ("hyb", "#a63603"), ("3inst", "#54278f")):
        counts = np.array([known[f"{code}, k={k}, rows=1"]["instructions"] for k in bits])
        axis.loglog(bits, 3.1e13 / counts, "o-", color=colour, label=f"issue slots, {code}")
    axis.set(xlabel="bits a weight", ylabel="weights a second")
    axis.set_xticks(bits, [str(k) for k in bits])
    axis.minorticks_off()
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    return figure


def ruled(axis: Any, columns: int, rows: int) -> None:
    """Draw the lines between cells."""
    axis.vlines(np.arange(columns + 1), 0, rows, colors="white", lw=0.4)
    axis.hlines(np.arange(rows + 1), 0, columns, colors="white", lw=0.4)


def finish(axis: Any, across: tuple[float, float], down: tuple[float, float], title: str) -> None:
    """Set the limits, and leave only the title."""
    axis.set(xlim=across, ylim=down[::-1] if down[0] < down[1] else down, xticks=[], yticks=[])
    axis.set_title(title, fontsize=9)
    axis.set_frame_on(False)


if __name__ == "__main__":
    main()
