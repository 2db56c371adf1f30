"""A dependency graph as a picture: boxes for variables, an arrow with its sources for each arc."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from quincunx._errors import ModelError, UnknownNameError, need_extra
from quincunx.graphs.arc import Arc
from quincunx.graphs.draw._canvas import DIM, INK, Canvas, Stroke
from quincunx.graphs.draw._layers import Edge, Node
from quincunx.graphs.draw._layout import Layout, layered
from quincunx.graphs.draw._packing import Size
from quincunx.graphs.draw._shades import NOTHING, Shades, shade_bar
from quincunx.graphs.draw._text import padded, short
from quincunx.graphs.draw.drawing import Drawing
from quincunx.graphs.pdg import PDG

MOST_VARIABLES = 60
NAME, LABEL = 11.0, 8.5  # sizes of letters, in points
EDGE = 0.3  # inches around the whole
DOT = 0.05  # inches, the radius
BOX, LINE = "#e6eff8", "#2f6f9f"
BAR = 1.0  # inches beside the graph for the bar of shades
TRACE = 1e-6  # nats: less blame is none, as beliefs are not known more closely


def draw_pdg(pdg: PDG, blame: Mapping[str, float] | None = None) -> Drawing:
    """Draw a dependency graph: a box a variable, and for each arc an arrow from all its sources.

    The lines of an arc's sources meet in its label, or in a dot where it has none, and arrows lead
    from there to its targets. Double lines are a hard arc, dashed ones an arc without a table;
    confidences other than 1 are written. Without ``blame``, lines are thicker with more beta.

    Arguments:
        pdg: the graph, of at most 60 variables; :func:`neighbourhood` cuts a part out of a larger
            one.
        blame: nats by the names of arcs; darker and thicker is more, and a bar says what the
            shades mean. Arcs left out, and blame below 1e-6, are grey. Arcs of the same name
            share what is given for it.

    Returns:
        The drawing.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ModelError: there are more than 60 variables, or blame is not a finite number.
        UnknownNameError: blame names an arc that does not exist.

    Example:
        >>> rain = Variable("rain", ["no", "yes"])
        >>> radio = Arc([], rain, [0.7, 0.3], label="radio")
        >>> sky = Arc([], rain, [0.4, 0.6], label="sky")
        >>> from quincunx.graphs.draw import draw_pdg
        >>> picture = draw_pdg(PDG([radio, sky]), {"radio": 0.02, "sky": 0.03})
        >>> figure = picture.figure()  # or picture.save("beliefs.svg")
    """
    need_extra("matplotlib", "plots", "a drawing")
    if len(pdg.variables) > MOST_VARIABLES:
        raise ModelError(
            f"a picture of {len(pdg.variables)} variables cannot be read; {MOST_VARIABLES} is the "
            "most. neighbourhood(pdg, names) cuts out the part around some of them"
        )
    looks, shades = _looks(pdg, blame)
    sizes: dict[Node, Size] = {
        v.name: padded(short(v.name), NAME, 0.2, 0.14) for v in pdg.variables
    }
    edges: list[Edge] = []
    pairs = Counter((arc.source_names, arc.target_names) for arc in pdg.arcs)
    for i, (arc, look) in enumerate(zip(pdg.arcs, looks, strict=True)):
        between = arc.source_names, arc.target_names
        if not look.text and tuple(map(len, between)) == (1, 1) and pairs[between] == 1:
            edges.append((arc.source_names[0], arc.target_names[0]))
            continue
        sizes[i] = padded(look.text, LABEL, 0.14, 0.09) if look.text else (2 * DOT, 0.0)
        edges += [(name, i) for name in arc.source_names] + [(i, n) for n in arc.target_names]
    layout = layered(sizes, edges)
    width, height = (side + 2 * EDGE for side in layout.size)
    height = max(height, 2.2) if shades else height

    def paint(canvas: Canvas) -> None:
        inner = canvas.part(EDGE, (height - layout.size[1]) / 2)
        for i, (arc, look) in enumerate(zip(pdg.arcs, looks, strict=True)):
            _paint_arc(inner, arc, i, look, layout, sizes)
        for v in pdg.variables:
            inner.box(layout.places[v.name], sizes[v.name], BOX, INK)
            inner.write(layout.places[v.name], short(v.name), NAME)
        if shades:
            shade_bar(canvas.part(width, height / 2), shades, "blame\n(nats)")

    return Drawing(width + (BAR if shades else 0.0), height, paint)


@dataclass(frozen=True, slots=True)
class _Look:
    """How an arc is drawn."""

    text: str
    stroke: Stroke


def _looks(pdg: PDG, blame: Mapping[str, float] | None) -> tuple[list[_Look], Shades | None]:
    names = {arc.name for arc in pdg.arcs}
    for name, nats in (blame or {}).items():
        if name not in names:
            raise UnknownNameError(f"blame is given for {name!r}, and no arc has that name")
        if not math.isfinite(nats):
            raise ModelError(f"the blame of arc {name!r} must be a finite number, not {nats!r}")
    most = max((blame or {}).values(), default=0.0)
    shades = Shades(most) if blame is not None and most >= TRACE else None
    looks = []
    for arc in pdg.arcs:
        lines = _words(arc)
        color, width = LINE, 1.0 + 0.5 * math.log1p(min(arc.beta, 20.0))
        if blame is not None:
            nats = blame.get(arc.name, 0.0)
            color, width = NOTHING, 1.1
            if shades and nats >= TRACE:
                color, width = shades.color(nats), 1.6 + 2.0 * nats / most
            if abs(nats) >= TRACE:
                lines.append(f"{nats:.2g} nats")
        style = "-" if arc.table is not None else "--"
        looks.append(_Look("\n".join(lines), Stroke(color, width, style, math.isinf(arc.beta))))
    return looks, shades


def _words(arc: Arc) -> list[str]:
    """Write an arc's label, and what is not as usual, a line each."""
    lines = [short(arc.label)] if arc.label else []
    if arc.table is None:
        lines.append("no table")
    elif arc.beta != 1:
        lines.append("hard" if math.isinf(arc.beta) else f"β = {arc.beta:.3g}")
    if arc.alpha != 1:
        lines.append(f"α = {arc.alpha:.3g}")
    return lines


def _paint_arc(
    canvas: Canvas, arc: Arc, i: int, look: _Look, layout: Layout, sizes: Mapping[Node, Size]
) -> None:
    lines: list[Edge] = [(name, i) for name in arc.source_names]
    arrows: list[Edge] = [(i, name) for name in arc.target_names]
    if i not in sizes:
        lines, arrows = [], [(arc.source_names[0], arc.target_names[0])]
    for edge in lines:
        canvas.line(layout.ways[edge], look.stroke)
    for edge in arrows:
        canvas.arrow(layout.ways[edge], look.stroke)
    if look.text:
        blank = look.stroke.color == NOTHING
        canvas.box(layout.places[i], sizes[i], "white", look.stroke.color, 1.0 if blank else 1.4)
        canvas.write(layout.places[i], look.text, LABEL, color=DIM if blank else INK)
    elif i in sizes:
        canvas.dot(layout.places[i], look.stroke.color, DOT)
