"""Drawings of cluster trees and of dependency graphs, with matplotlib (extra ``plots``)."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from quincunx._atomic import atomic_write
from quincunx._errors import ModelError, need_extra
from quincunx.graphs._layout import (
    Layout,
    Place,
    arc_text,
    box_size,
    graph_layout,
    short,
    tree_layout,
    wrapped,
)
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.pdg import PDG

Axes: TypeAlias = Any  # matplotlib.axes.Axes

INK, FAINT = "#22303c", "#8795a1"
CLUSTER, SEPSET, SEPSET_EDGE = "#e6eff8", "#fff6df", "#d9b75b"
SOFT, HARD = "#2f6f9f", "#b3372b"


def draw_cluster_tree(tree: ClusterTree, ax: Axes | None = None) -> Axes:
    """Draw a cluster tree: boxes of variables, joined through what neighbours share.

    Arguments:
        tree: the tree or forest; parents stand above their children.
        ax: axes of matplotlib; None: new ones of pyplot, in a figure of a size that fits.

    Returns:
        The axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _draw(tree, tree_layout(tree), ax)


def draw_pdg(pdg: PDG, ax: Axes | None = None) -> Axes:
    """Draw a dependency graph: a box a variable, an arrow an arc, from sources to targets.

    An arc passes through its label, or through a dot where it has none. It is thicker with more
    confidence beta, red where it is hard, dashed where it has no table; confidences other than
    1 are written.

    Arguments:
        pdg: the graph.
        ax: axes of matplotlib; None: new ones of pyplot, in a figure of a size that fits.

    Returns:
        The axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _draw(pdg, graph_layout(pdg), ax)


def save_drawing(model: ClusterTree | PDG, path: str | os.PathLike[str]) -> None:
    """Draw a cluster tree or a graph into a file, of the kind that its name ends with.

    No window is opened and no display needed. The file is whole or not there.

    Arguments:
        model: what is drawn.
        path: the file, which is replaced if it exists.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ModelError: the name does not end with .png, .svg or .pdf.
    """
    need_extra("matplotlib", "plots", "a drawing")
    from matplotlib.figure import Figure

    kind = os.path.splitext(path)[1].lower()
    if kind not in (".png", ".svg", ".pdf"):
        raise ModelError(f"{path}: the name of a drawing ends with .png, .svg or .pdf")
    layout = graph_layout(model) if isinstance(model, PDG) else tree_layout(model)
    figure = Figure(figsize=layout.inches())
    _draw(model, layout, figure.add_axes((0, 0, 1, 1)))
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=kind[1:], dpi=160, facecolor="white")


@dataclass(frozen=True, slots=True)
class _Canvas:
    """Axes and the factor by which letters and lines are smaller than planned."""

    ax: Axes
    scale: float

    def path(self, places: Sequence[Place], color: str, width: float, style: str = "-") -> None:
        xs, ys = zip(*places, strict=True)
        self.ax.plot(xs, ys, color=color, lw=width * self.scale, ls=style, zorder=1)

    def dot(self, at: Place, color: str) -> None:
        self.ax.plot(*at, color=color, marker="o", ms=6 * self.scale, zorder=2)

    def box(self, at: Place, text: str, fill: str, edge: str, size: float, pad: float) -> Any:
        """Write text in a box, and return the box for arrows to begin or end at."""
        shape = {"boxstyle": f"round,pad={pad}", "fc": fill, "ec": edge, "lw": 1.1 * self.scale}
        style = {"ha": "center", "va": "center", "fontsize": size * self.scale, "color": INK}
        written = self.ax.text(*at, text, **style, bbox=shape, parse_math=False, zorder=3)
        return written.get_bbox_patch()

    def arrow(
        self, start: Place, end: Place, boxes: tuple[Any, Any], color: str, width: float, style: str
    ) -> None:
        # Above the boxes: matplotlib knows where a box ends once it has drawn it.
        tip = {"arrowstyle": "-|>", "color": color, "lw": width * self.scale, "ls": style}
        tip |= {"patchA": boxes[0], "patchB": boxes[1], "mutation_scale": 13 * self.scale}
        tip |= {"shrinkA": 0, "shrinkB": 0}
        self.ax.annotate("", xy=end, xytext=start, arrowprops=tip, zorder=4)


def _draw(model: ClusterTree | PDG, layout: Layout, ax: Axes | None) -> Axes:
    need_extra("matplotlib", "plots", "a drawing")
    if ax is None:
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=layout.inches())
        ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, layout.width)
    ax.set_ylim(0, layout.height)
    ax.set_aspect("equal")
    ax.set_axis_off()
    room = ax.get_window_extent()
    dpi = ax.figure.dpi
    scale = min(1.0, room.width / dpi / layout.width, room.height / dpi / layout.height)
    canvas = _Canvas(ax, scale)
    if isinstance(model, PDG):
        _paint_graph(canvas, model, layout)
    else:
        _paint_tree(canvas, model, layout)
    return ax


def _paint_tree(canvas: _Canvas, tree: ClusterTree, layout: Layout) -> None:
    places = layout.places
    texts = [wrapped(tree.names(c)) for c in range(len(tree.clusters))]
    for c, parent in enumerate(tree.parents):
        canvas.box(places[c], texts[c], CLUSTER, SOFT, 10, 0.45)
        if parent < 0:
            continue
        canvas.path((places[parent], places[c]), FAINT, 1.3)
        (x0, y0), (x1, y1) = places[parent], places[c]
        middle = (y0 - box_size(texts[parent])[1] / 2 + y1 + box_size(texts[c])[1] / 2) / 2
        at = (x0 + (x1 - x0) * (middle - y0) / (y1 - y0), middle)
        shared = tree.names(c)[: len(tree.parent_axes[c])]
        canvas.box(at, wrapped(shared), SEPSET, SEPSET_EDGE, 8, 0.25)


def _paint_graph(canvas: _Canvas, pdg: PDG, layout: Layout) -> None:
    places = layout.places
    boxes = {
        v.name: canvas.box(places[v.name], short(v.name), CLUSTER, INK, 11, 0.55)
        for v in pdg.variables
    }
    for i, arc in enumerate(pdg.arcs):
        color = HARD if math.isinf(arc.beta) else SOFT
        width = 2.4 if math.isinf(arc.beta) else 1.0 + 0.5 * math.log1p(arc.beta)
        style = "-" if arc.table is not None else "--"
        label = None
        if text := arc_text(arc):
            label = canvas.box(places[i], text, "white", color, 8.5, 0.3)
        else:
            canvas.dot(places[i], color)
        for name in arc.source_names:
            bends = layout.routes.get((name, i), ())
            canvas.path((places[name], *bends, places[i]), color, width, style)
        for name in arc.target_names:
            way = (places[i], *layout.routes.get((i, name), ()))
            canvas.path(way, color, width, style)
            ends = (label if len(way) == 1 else None, boxes[name])
            canvas.arrow(way[-1], places[name], ends, color, width, style)
