"""Where the boxes and lines of a drawing go, in inches; nothing here draws."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from quincunx.graphs.arc import Arc
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.pdg import PDG

Place: TypeAlias = tuple[float, float]
Edge: TypeAlias = tuple[Hashable, Hashable]

LETTER, LINE = 0.09, 0.17  # inches that a letter and a line of text of size 10 take
MARGIN, GAP, RISE = 0.35, 0.3, 0.62  # inches: at the border, between boxes, between layers
LONGEST = 24  # letters of a name that are shown
SHELF = 14.0  # inches after which further components go below
LARGEST = 48.0  # inches of a picture; what needs more is drawn smaller
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand, in inches from the lower left corner, and how large the whole is."""

    places: Mapping[Hashable, Place]
    width: float
    height: float
    routes: Mapping[Edge, Sequence[Place]] = field(default_factory=dict)  # bends of long edges

    def inches(self) -> Place:
        """Return the size of a figure: the whole, but no side longer than LARGEST."""
        shrink = min(1.0, LARGEST / self.width, LARGEST / self.height)
        return self.width * shrink, self.height * shrink


def arc_text(arc: Arc) -> str:
    """Write an arc's label and its confidences where they are not 1; empty for neither."""
    lines = [short(arc.label)] if arc.label else []
    if arc.beta != 1:
        lines.append("hard" if math.isinf(arc.beta) else f"β = {arc.beta:g}")
    if arc.alpha != 1:
        lines.append(f"α = {arc.alpha:g}")
    return "\n".join(lines)


def short(name: str) -> str:
    """Cut a name that is too long for a box."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def wrapped(names: Sequence[str]) -> str:
    """Write names in lines of a length that makes a large cluster a box and not a ribbon."""
    words = [short(n) for n in names]
    length = max(18.0, 1.8 * math.sqrt(sum(len(n) + 2 for n in words)))
    lines: list[str] = []
    for i, name in enumerate(words):
        word = name + ("," if i < len(words) - 1 else "")
        if lines and len(lines[-1]) + len(word) < length:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def box_size(text: str) -> Place:
    """Return the width and height of a box around text, in inches."""
    lines = text.split("\n")
    return max(map(len, lines)) * LETTER + 0.3, len(lines) * LINE + 0.25


def tree_layout(tree: ClusterTree) -> Layout:
    """Give each subtree a column of its own, parents in the middle above their children."""
    boxes = [box_size(wrapped(tree.names(c))) for c in range(len(tree.clusters))]
    rise = max((height for _, height in boxes), default=0.0) + RISE
    below: list[list[int]] = [[] for _ in boxes]
    depth = [0] * len(boxes)
    for c, parent in enumerate(tree.parents):
        if parent >= 0:
            below[parent].append(c)
            depth[c] = depth[parent] + 1
    spans = [width + GAP for width, _ in boxes]
    levels = [1] * len(boxes)
    for c in reversed(range(len(boxes))):
        spans[c] = max(spans[c], sum(spans[d] for d in below[c]))
        levels[c] = 1 + max((levels[d] for d in below[c]), default=0)
    left = [0.0] * len(boxes)
    top = [0.0] * len(boxes)
    x = y = shelf = width = 0.0
    for c, parent in enumerate(tree.parents):
        if parent < 0:
            if x and x + spans[c] > SHELF:
                x, y, shelf = 0.0, y + shelf, 0.0
            left[c], top[c] = x, y
            x, shelf = x + spans[c], max(shelf, levels[c] * rise)
            width = max(width, x)
        start = left[c] + (spans[c] - sum(spans[d] for d in below[c])) / 2
        for d in below[c]:
            left[d], top[d] = start, top[c]
            start += spans[d]
    height = y + shelf + 2 * MARGIN - RISE
    places: dict[Hashable, Place] = {
        c: (MARGIN + left[c] + spans[c] / 2, height - MARGIN - top[c] - (depth[c] + 0.5) * rise)
        for c in range(len(boxes))
    }
    lift = RISE / 2  # the first row needs no room above it
    places = {c: (px, py + lift) for c, (px, py) in places.items()}
    return Layout(places, width + 2 * MARGIN, height)


def graph_layout(pdg: PDG) -> Layout:
    """Set variables and arcs in layers, each thing below those that point to it."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(v.name for v in pdg.variables)
    for i, arc in enumerate(pdg.arcs):
        graph.add_edges_from((name, i) for name in arc.source_names)
        graph.add_edges_from((i, name) for name in arc.target_names)
    finished = {node: n for n, node in enumerate(nx.dfs_postorder_nodes(graph))}
    forward = nx.DiGraph(graph)  # without the edges that close a cycle
    forward.remove_edges_from([(a, b) for a, b in graph.edges if finished[a] <= finished[b]])
    rank = {
        node: r for r, layer in enumerate(nx.topological_generations(forward)) for node in layer
    }
    for i, arc in enumerate(pdg.arcs):
        if not arc.sources:
            rank[i] = max(min(rank[name] for name in arc.target_names) - 1, 0)
    widths: dict[Hashable, float] = {
        v.name: box_size(short(v.name))[0] * 1.2 + GAP for v in pdg.variables
    }
    widths |= {i: box_size(arc_text(a))[0] + GAP for i, a in enumerate(pdg.arcs)}
    chains = _bent(graph, rank)
    for chain in chains.values():
        nx.add_path(graph, chain)
        widths |= dict.fromkeys(chain[1:-1], GAP)
    graph.remove_edges_from([edge for edge, chain in chains.items() if len(chain) > 2])
    layers: list[list[Hashable]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for node, r in rank.items():
        layers[r].append(node)
    x = _across(graph.to_undirected(), layers, widths)
    low = min((x[n] - widths[n] / 2 for n in x), default=0.0)
    high = max((x[n] + widths[n] / 2 for n in x), default=0.0)
    rise = RISE * 1.35
    height = 2 * MARGIN + 0.4 + rise * (len(layers) - 1)
    places = {n: (x[n] - low + MARGIN, height - MARGIN - 0.2 - rise * rank[n]) for n in x}
    routes = {edge: [places[n] for n in chain[1:-1]] for edge, chain in chains.items()}
    return Layout(places, high - low + 2 * MARGIN, height, routes)


def _bent(graph: Any, rank: dict[Hashable, int]) -> dict[Edge, list[Hashable]]:
    """Give each edge over several layers a bend in every layer between; their ranks are added."""
    chains: dict[Edge, list[Hashable]] = {}
    for a, b in list(graph.edges):
        step = 1 if rank[b] > rank[a] else -1
        chains[a, b] = [a]
        for r in range(rank[a] + step, rank[b], step):
            chains[a, b].append((a, b, r))
            rank[a, b, r] = r
        chains[a, b].append(b)
    return chains


def _across(
    graph: Any, layers: Iterable[list[Hashable]], widths: Mapping[Any, float]
) -> dict[Hashable, float]:
    """Find each node's place in its layer: near the middle of its neighbours, apart from others."""
    rows = list(layers)
    x: dict[Hashable, float] = {}
    for row in rows:
        x |= _apart(row, {n: float(i) for i, n in enumerate(row)}, widths)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wish = {}
            for n in row:
                near = [x[m] for m in graph[n]]
                wish[n] = sum(near) / len(near) if near else x[n]
            x |= _apart(sorted(row, key=lambda n: (wish[n], x[n])), wish, widths)
    return x


def _apart(
    row: Sequence[Hashable], wish: Mapping[Hashable, float], widths: Mapping[Any, float]
) -> dict[Hashable, float]:
    """Place a row in order, as near to the wishes as the widths allow, off to both sides alike."""
    found: dict[Hashable, float] = {}
    edge = -math.inf
    for n in row:
        found[n] = max(wish[n], edge + widths[n] / 2)
        edge = found[n] + widths[n] / 2
    shift = sum(wish[n] - found[n] for n in row) / max(len(row), 1)
    return {n: place + shift for n, place in found.items()}
