"""The inconsistency and a query's probabilities along gamma, with the certified interval."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from quincunx._errors import ModelError, need_extra
from quincunx.graphs.draw._canvas import DIM, FAINT, INK, RULE, Axes, Canvas
from quincunx.graphs.draw._packing import spread
from quincunx.graphs.draw._text import short, text_size
from quincunx.graphs.draw.drawing import Drawing
from quincunx.graphs.table import Floats

MOST_LINES = 8
WIDTH, PANEL, BETWEEN = 4.6, 2.0, 0.45  # inches, of a panel, its height and what is between two
LEFT, RIGHT, TOP, FOOT = 0.85, 0.3, 0.3, 0.6  # inches around the panels
LABEL, TICK, LINE = 9.0, 8.0, 0.17  # sizes of letters in points; inches between names of lines
VALUE, INTERVAL = "#0072b2", "#a9cbe6"
# Dark and light by turns, and with marks of their own: told apart without colour too.
LINES = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#22303c", "#8a6d00")
MARKS, MARK = "osD^vPX*", 4.0  # and their size in points
STEADY = 1e-7  # nats: values within that are drawn as equal


def draw_path(
    gammas: Sequence[float | None],
    inconsistency: ArrayLike,
    gap: ArrayLike,
    query: Mapping[str, ArrayLike] | None = None,
) -> Drawing:
    """Draw the inconsistency, and what a query's answer is, along gamma on a logarithmic axis.

    The band below the inconsistency is where the optimum certainly lies, at the points: between
    them, lines and band only join what is known. A gap of 1e-9 cannot be seen, and a point without
    a certificate (an infinite gap) is hollow. The limit 0+ stands at the left, beyond a break in
    the axis.

    Arguments:
        gammas: n trade-offs > 0, each once, in any order; None: the limit 0+.
        inconsistency: [n], float64, in nats.
        gap: [n], float64, in nats, >= 0: the optimum is in [inconsistency - gap, inconsistency].
        query: [n] probabilities by the name of the line, such as ``{"rain = yes": [...]}``, at
            most eight lines; None: the inconsistency alone.

    Returns:
        The drawing.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ModelError: lengths differ, a gamma is not positive or comes twice, a number is not one, a
            gap is negative, or there are too many lines.

    Example:
        >>> from quincunx.graphs.draw import draw_path
        >>> values = [0.051, 0.047, 0.0466, 0.0465]
        >>> picture = draw_path([1.0, 0.1, 0.01, None], values, [1e-9] * 4)
        >>> figure = picture.figure()  # or picture.save("path.svg")
    """
    need_extra("matplotlib", "plots", "a drawing")
    order, x = _axis(gammas)
    value = _column(inconsistency, len(x), "inconsistency")[order]
    below = _column(gap, len(x), "gap", infinite=True)[order]
    if (below < 0).any():
        raise ModelError(f"a gap is the length of an interval, so >= 0; got {below.min():g}")
    lines = {
        name: _column(p, len(x), f"query {name!r}")[order] for name, p in (query or {}).items()
    }
    if len(lines) > MOST_LINES:
        raise ModelError(f"{len(lines)} lines cannot be told apart; {MOST_LINES} is the most")
    limit = None in gammas
    names = max((text_size(short(name), TICK)[0] for name in lines), default=0.0)
    right = RIGHT + (names + 0.15 if lines else 0.0)
    height = FOOT + TOP + PANEL * (2 if lines else 1) + (BETWEEN if lines else 0.0)

    def paint(canvas: Canvas) -> None:
        ax = _panel(canvas, height - TOP - PANEL, x, limit, "inconsistency (nats)", not lines)
        _paint_value(canvas, ax, x, value, below)
        if lines:
            ax = _panel(canvas, FOOT, x, limit, "probability", True)
            _paint_lines(canvas, ax, x, lines)

    return Drawing(LEFT + WIDTH + right, height, paint)


def _axis(gammas: Sequence[float | None]) -> tuple[list[int], Floats]:
    """Return the order from small to large, and the places in powers of ten."""
    for gamma in gammas:
        if gamma is not None and not 0 < gamma < math.inf:
            raise ModelError(
                f"gamma must be a number in (0, inf), or None for the limit 0+; got {gamma!r}"
            )
    if len(set(gammas)) < len(gammas) or not gammas:
        raise ModelError("a path needs one or more gammas, and each once")
    order = sorted(range(len(gammas)), key=lambda i: gammas[i] or 0.0)
    powers = [math.log10(g) for g in gammas if g is not None]
    low, high = min(powers, default=0.0), max(powers, default=0.0)
    left = low - max(0.7, 0.12 * (high - low))
    return order, np.array([left if (g := gammas[i]) is None else math.log10(g) for i in order])


def _column(values: ArrayLike, n: int, what: str, *, infinite: bool = False) -> Floats:
    column = np.asarray(values, dtype=np.float64)
    if column.shape != (n,):
        raise ModelError(f"{what}: one number for each of the {n} gammas; got shape {column.shape}")
    if np.isnan(column).any() or (np.isinf(column).any() and not infinite):
        raise ModelError(f"{what}: {column[~np.isfinite(column)][0]} is not a number to draw")
    return column


def _panel(canvas: Canvas, low: float, x: Floats, limit: bool, label: str, last: bool) -> Axes:
    """Return axes with gamma's ticks, named where they are the last."""
    ax = canvas.plot(LEFT, low, (WIDTH, PANEL))
    scale = canvas.scale
    powers = x[1:] if limit else x
    room = 0.04 * max(float(x[-1] - x[0]), 1.0)
    ax.set_xlim(x[0] - room, x[-1] + room)
    step = max(1, math.ceil((x[-1] - x[0]) / 7))
    first = math.ceil(powers[0] - 1e-9) if len(powers) else 0
    ticks = list(range(first, math.floor(x[-1] + 1e-9) + 1, step)) if len(powers) else []
    names = [f"{10.0**t:g}" if -3 <= t <= 3 else f"1e{t}" for t in ticks]
    if limit:
        ticks, names = [x[0], *ticks], ["0+", *names]
    ax.set_xticks(ticks, names if last else [""] * len(ticks))
    ax.tick_params(labelsize=TICK * scale, colors=DIM, width=0.8 * scale, length=3 * scale)
    ax.grid(axis="y", color=RULE, lw=0.6 * scale)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=FAINT, linewidth=0.8 * scale)
    ax.set_ylabel(label, fontsize=LABEL * scale, color=INK, labelpad=5 * scale)
    if last:
        ax.set_xlabel("gamma", fontsize=LABEL * scale, color=INK, labelpad=4 * scale)
    if limit and len(powers):
        _break(ax, (x[0] + x[1]) / 2, scale)
    return ax


def _break(ax: Axes, x: float, scale: float) -> None:
    """Cut the axis between the limit and the numbers, with two strokes."""
    style = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 4}
    wide = 0.008 * (ax.get_xlim()[1] - ax.get_xlim()[0])
    ax.plot([x - wide, x + wide], [0, 0], color="white", lw=3 * scale, **style)
    for side in (-wide, wide):
        ends = [x + side - wide / 2, x + side + wide / 2]
        ax.plot(ends, [-0.025, 0.025], color=FAINT, lw=0.9 * scale, **style)


def _paint_value(canvas: Canvas, ax: Axes, x: Floats, value: Floats, gap: Floats) -> None:
    known = np.isfinite(gap)
    scale = canvas.scale
    ends = np.where(known, value - np.where(known, gap, 0.0), np.nan)
    ax.fill_between(x, ends, value, color=INTERVAL, lw=0)
    ax.vlines(x[known], ends[known], value[known], color=INTERVAL, lw=3 * scale)
    ax.plot(x, value, color=VALUE, lw=1.4 * scale)
    look = {"ls": "", "marker": "o", "ms": 4 * scale, "mec": VALUE, "mew": 1.1 * scale}
    ax.plot(x[known], value[known], mfc=VALUE, **look)
    ax.plot(x[~known], value[~known], mfc="white", **look)
    low, high = float(np.nanmin([*ends, *value])), float(value.max())
    # A range of rounding errors would look like a course.
    room = 0.08 * (high - low) if high - low > STEADY else max(0.05 * abs(high), 1e-3)
    ax.set_ylim(low - room, high + room)
    ax.yaxis.set_major_formatter(lambda tick, _: f"{round(tick, 12) + 0.0:.6g}")


def _paint_lines(canvas: Canvas, ax: Axes, x: Floats, lines: Mapping[str, Floats]) -> None:
    """Draw each line with its name at its right end, names apart from each other."""
    scale = canvas.scale
    for values, color, mark in zip(lines.values(), LINES, MARKS, strict=False):
        ax.plot(x, values, color=color, lw=1.4 * scale, marker=mark, ms=MARK * scale, clip_on=False)
    ax.set_ylim(0, 1)
    names = sorted(lines, key=lambda name: lines[name][-1])
    looks = dict(zip(lines, zip(LINES, MARKS, strict=True), strict=False))
    places = spread([float(lines[n][-1]) * PANEL for n in names], [LINE] * (len(names) - 1))
    for name, place in zip(names, places, strict=True):
        side, (color, mark) = LEFT + WIDTH + 0.1, looks[name]
        canvas.mark((side, FOOT + place), mark, color, MARK)
        canvas.write((side + 0.09, FOOT + place), short(name), TICK, across="left", color=DIM)
