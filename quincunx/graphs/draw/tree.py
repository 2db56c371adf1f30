"""A cluster tree as a picture: boxes of variables, joined through what neighbours share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quincunx._errors import ModelError, need_extra
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.draw._canvas import DIM, FAINT, Canvas, Stroke
from quincunx.graphs.draw._packing import Point, Size, shelves
from quincunx.graphs.draw._shades import blend
from quincunx.graphs.draw._text import padded, wrapped
from quincunx.graphs.draw.drawing import Drawing

MOST_CLUSTERS = 120
NAMES, SHARED, CELLS = 10.0, 8.0, 8.0  # sizes of letters, in points
EDGE, GAP, RISE, STEM = 0.3, 0.22, 0.3, 0.16  # inches: border, between boxes, lines, under a sepset
COUNT = 0.17  # inches for the line that counts cells
SMALL, LARGE = (240, 245, 250), (150, 190, 222)
SEPSET, SEPSET_EDGE, BOX_EDGE = "#fff6df", "#b8932f", "#2f6f9f"
LINE = Stroke(FAINT, 1.2)


def draw_cluster_tree(tree: ClusterTree) -> Drawing:
    """Draw a cluster tree: parents above children, on each line the variables that both share.

    A box gives a cluster's variables and the cells of its table; it is darker with more cells, on
    a logarithmic scale. Most of the time and memory of inference goes into the darkest.

    Arguments:
        tree: the tree or forest, of at most 120 clusters.

    Returns:
        The drawing.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ModelError: there are more than 120 clusters.

    Example:
        >>> a, b, c = (Variable(name, [0, 1]) for name in "ABC")
        >>> from quincunx.graphs.draw import draw_cluster_tree
        >>> picture = draw_cluster_tree(cluster_tree([a, b, c], [[a, b], [b, c]]))
        >>> figure = picture.figure()  # or picture.save("tree.svg")
    """
    need_extra("matplotlib", "plots", "a drawing")
    if len(tree.clusters) > MOST_CLUSTERS:
        raise ModelError(
            f"a picture of {len(tree.clusters)} clusters cannot be read; {MOST_CLUSTERS} is the "
            "most. Draw the tree of a part of the graph, such as neighbourhood(pdg, names)"
        )
    texts = [wrapped(tree.names(c)) for c in range(len(tree.clusters))]
    shared = [
        wrapped(tree.names(c)[: len(axes)]) or "nothing" for c, axes in enumerate(tree.parent_axes)
    ]
    counts = [f"{n:,} cell{'' if n == 1 else 's'}" for n in tree.sizes]
    boxes = [_box(text, count) for text, count in zip(texts, counts, strict=True)]
    labels = [padded(text, SHARED, 0.14, 0.06) for text in shared]
    layout = _layout(tree, boxes, labels)
    largest = math.log(max(tree.sizes, default=1)) or 1.0

    def paint(canvas: Canvas) -> None:
        inner = canvas.part(EDGE, EDGE)
        _paint_lines(inner, tree, layout, boxes, labels)
        for c, (x, y) in layout.places.items():
            fill = blend(SMALL, LARGE, math.log(tree.sizes[c]) / largest)
            inner.box((x, y), boxes[c], fill, BOX_EDGE)
            inner.write((x, y + COUNT / 2), texts[c], NAMES)
            inner.write((x, y - boxes[c][1] / 2 + 0.13), counts[c], CELLS, color=DIM)
            if c in layout.labels:
                inner.box(layout.labels[c], labels[c], SEPSET, SEPSET_EDGE, 0.9)
                inner.write(layout.labels[c], shared[c], SHARED)

    return Drawing(layout.size[0] + 2 * EDGE, layout.size[1] + 2 * EDGE, paint)


@dataclass(frozen=True, slots=True)
class _TreeLayout:
    """The middles of clusters and of sepsets, in inches, and the size of the whole."""

    places: Mapping[int, Point]
    labels: Mapping[int, Point]
    size: Size


def _box(text: str, count: str) -> Size:
    width, height = padded(text, NAMES, 0.22, 0.14)
    return max(width, padded(count, CELLS, 0.14, 0.0)[0]), height + COUNT


def _layout(tree: ClusterTree, boxes: Sequence[Size], labels: Sequence[Size]) -> _TreeLayout:
    """Set each tree of the forest, and the trees in rows."""
    below = _children(tree)
    widths = [
        box if parent < 0 else max(box, label)
        for (box, _), (label, _), parent in zip(boxes, labels, tree.parents, strict=True)
    ]
    aside, contours = _columns(below, widths)
    parts = []
    for root in (c for c, parent in enumerate(tree.parents) if parent < 0):
        left = min(low for low, _ in contours[root])
        width = max(high for _, high in contours[root]) - left
        parts.append((root, left, width, _rows(below, root, boxes, labels)))
    corners, size = shelves([(width, rows[-1][1]) for _, _, width, rows in parts], 2 * GAP)
    places: dict[int, Point] = {}
    above: dict[int, Point] = {}
    for (root, left, _, rows), (x, y) in zip(parts, corners, strict=True):
        level = [(root, x - left)]
        for top, bottom in rows:
            for c, at in level:
                places[c] = (at, size[1] - y - (top + bottom) / 2)
                if c != root:
                    up = size[1] - y - top + STEM + labels[c][1] / 2
                    above[c] = (at, up)
            level = [(d, at + aside[d]) for c, at in level for d in below[c]]
    return _TreeLayout(places, above, size)


def _children(tree: ClusterTree) -> list[list[int]]:
    below: list[list[int]] = [[] for _ in tree.clusters]
    for c, parent in enumerate(tree.parents):
        if parent >= 0:
            below[parent].append(c)
    return below


def _columns(
    below: Sequence[Sequence[int]], widths: Sequence[float]
) -> tuple[list[float], list[list[Point]]]:
    """Set each subtree as near to the one on its left as their levels allow.

    Returns:
        How far each cluster is right of its parent, and for each the left and right ends of its
        subtree, level by level, measured from itself.

    Reference:
        E. Reingold, J. Tilford, "Tidier drawings of trees", IEEE Transactions on Software
        Engineering 7, 1981.
    """
    aside = [0.0] * len(widths)
    contours: list[list[Point]] = [[] for _ in widths]
    for c in reversed(range(len(widths))):
        merged: list[Point] = []
        for d in below[c]:
            pairs = zip(merged, contours[d], strict=False)
            aside[d] = max((right + GAP - left for (_, right), (left, _) in pairs), default=0.0)
            own = [(low + aside[d], high + aside[d]) for low, high in contours[d]]
            both = [(a[0], b[1]) for a, b in zip(merged, own, strict=False)]
            merged = both + merged[len(both) :] + own[len(both) :]
        middle = (aside[below[c][0]] + aside[below[c][-1]]) / 2 if below[c] else 0.0
        for d in below[c]:
            aside[d] -= middle
        contours[c] = [(-widths[c] / 2, widths[c] / 2)]
        contours[c] += [(low - middle, high - middle) for low, high in merged]
    return aside, contours


def _rows(
    below: Sequence[Sequence[int]], root: int, boxes: Sequence[Size], labels: Sequence[Size]
) -> list[Point]:
    """Return the upper and lower end of each level, measured downwards from the tree's top."""
    rows: list[Point] = []
    level, top = [root], 0.0
    while level:
        rows.append((top, top + max(boxes[c][1] for c in level)))
        level = [d for c in level for d in below[c]]
        top = rows[-1][1] + RISE + STEM + max((labels[d][1] for d in level), default=0.0)
    return rows


def _paint_lines(
    canvas: Canvas,
    tree: ClusterTree,
    layout: _TreeLayout,
    boxes: Sequence[Size],
    labels: Sequence[Size],
) -> None:
    for c, family in enumerate(_children(tree)):
        x, y = layout.places[c]
        step = min(0.25, 0.6 * boxes[c][0] / max(len(family) - 1, 1))
        for i, d in enumerate(family):
            start = (x + (i - (len(family) - 1) / 2) * step, y - boxes[c][1] / 2)
            across, up = layout.labels[d]
            canvas.line([start, (across, up + labels[d][1] / 2)], LINE)
            canvas.line([(across, up), layout.places[d]], LINE)
