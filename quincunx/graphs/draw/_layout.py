"""Where the boxes and lines of a directed graph go, in inches; nothing here draws.

An edge over several layers has a place of its own in each layer between, so that it passes no box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from quincunx.graphs.draw._layers import SWEEPS, Edge, Node, find_orders, find_ranks
from quincunx.graphs.draw._packing import Point, Size, shelves, spread

GAP, LOW, HIGH = 0.22, 0.38, 0.8  # inches between boxes, and at least and most between layers
SHALLOW = 0.11  # inches between layers by an inch that an edge between them goes aside
LANE = 0.12  # inches that an edge has for itself in a layer that it passes
APART = 0.6  # inches between parts that nothing joins
SLANT = 0.15  # inches aside by the height of a layer: so an edge passes boxes without a bend
STRAIGHT = 8.0  # how much more two bends of an edge pull each other than two boxes do
FLAT = 6.0  # inches aside by an inch of height: such an edge begins and ends upright
CLEAR = 0.13  # inches beyond its layer to which such a piece reaches: smoothing does not cut it
PORT, SIDE = 0.16, 0.7  # inches between the ends of lines at a box, and the part of its width


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand, in inches, upwards and rightwards from the lower left corner.

    Attributes:
        places: the middle of each node.
        ways: for each edge the points that its line passes, from a side of its tail's box to a side
            of its head's.
        size: width and height of the whole.
    """

    places: Mapping[Node, Point]
    ways: Mapping[Edge, Sequence[Point]]
    size: Size


def layered(sizes: Mapping[Node, Size], edges: Sequence[Edge]) -> Layout:
    """Lay out a directed graph.

    Arguments:
        sizes: each node with the width and height of its box, in inches; lines end at the middle
            of one without height.
        edges: pairs of nodes, tail and head, no pair twice.

    Returns:
        The layout; parts that nothing joins stand side by side.
    """
    import networkx as nx

    graph = nx.Graph(edges)
    graph.add_nodes_from(sizes)
    parts = []
    for members in nx.connected_components(graph):
        # In the order given: that of a set would change from run to run.
        part = nx.DiGraph()
        part.add_nodes_from(n for n in sizes if n in members)
        part.add_edges_from(edge for edge in edges if edge[0] in members)
        parts.append(_one_part(part, sizes))
    corners, size = shelves([part.size for part in parts], APART)
    places: dict[Node, Point] = {}
    ways: dict[Edge, Sequence[Point]] = {}
    for part, (left, top) in zip(parts, corners, strict=True):
        low = size[1] - top - part.size[1]
        places |= {n: (x + left, y + low) for n, (x, y) in part.places.items()}
        ways |= {e: [(x + left, y + low) for x, y in way] for e, way in part.ways.items()}
    return Layout(places, ways, size)


def _one_part(graph: Any, sizes: Mapping[Node, Size]) -> Layout:
    import networkx as nx

    rank = find_ranks(graph, {n: sizes[n][0] + GAP for n in graph})
    chains = _bent(graph, rank)
    links = nx.Graph()
    links.add_nodes_from(rank)
    for chain in chains.values():
        nx.add_path(links, chain)
    room = {n: sizes.get(n, (LANE, 0.0)) for n in rank}
    rows: list[list[Node]] = [[] for _ in range(max(rank.values()) + 1)]
    for n in nx.dfs_preorder_nodes(links, next(iter(graph))):
        rows[rank[n]].append(n)
    rows = find_orders(links, rows)
    x = _across(links, rows, {n: w for n, (w, _) in room.items()}, set(sizes))
    left = min(x[n] - room[n][0] / 2 for n in x)
    width = max(x[n] + room[n][0] / 2 for n in x) - left
    bands: dict[Node, Point] = {}
    y = 0.0
    for row in reversed(rows):
        aside = max((abs(x[n] - x[m]) for n in row for m in links[n] if m in bands), default=0.0)
        y += min(max(LOW, SHALLOW * aside), HIGH) if bands else 0.0
        top = y + max(room[n][1] for n in row)
        bands |= dict.fromkeys(row, (y, top))
        y = top
    places = {n: (x[n] - left, sum(bands[n]) / 2) for n in x}
    routes = {edge: _route(chain, places, bands) for edge, chain in chains.items()}
    ways = _with_ends(routes, places, bands, room)
    return Layout({n: places[n] for n in graph}, ways, (width, y))


def _bent(graph: Any, rank: dict[Node, int]) -> dict[Edge, list[Node]]:
    """Give each edge over several layers a bend in every layer between; their ranks are added."""
    chains: dict[Edge, list[Node]] = {}
    for a, b in list(graph.edges):
        step = 1 if rank[b] > rank[a] else -1
        bends: dict[Node, int] = {(a, b, r): r for r in range(rank[a] + step, rank[b], step)}
        rank |= bends
        chains[a, b] = [a, *bends, b]
    return chains


def _across(
    links: Any, rows: Sequence[Sequence[Node]], widths: Mapping[Node, float], boxes: set[Node]
) -> dict[Node, float]:
    """Find each node's place in its layer by least squares of the edges' horizontal lengths."""

    def pull(n: Node, m: Node) -> float:
        bends = (n not in boxes) + (m not in boxes)
        return float(STRAIGHT ** (bends / 2))

    x: dict[Node, float] = {}
    distances = []
    for row in rows:
        distances.append([(widths[a] + widths[b]) / 2 + GAP for a, b in pairwise(row)])
        x |= dict(zip(row, spread([0.0] * len(row), distances[-1]), strict=True))
    for sweep in range(4 * SWEEPS):
        for row, apart in list(zip(rows, distances, strict=True))[:: 1 if sweep % 2 == 0 else -1]:
            weights = [sum(pull(n, m) for m in links[n]) or 1.0 for n in row]
            wishes = [
                sum(pull(n, m) * x[m] for m in links[n]) / weight if links[n] else x[n]
                for n, weight in zip(row, weights, strict=True)
            ]
            x |= dict(zip(row, spread(wishes, apart, weights), strict=True))
    return x


def _route(
    chain: Sequence[Node], places: Mapping[Node, Point], bands: Mapping[Node, Point]
) -> list[Point]:
    """Lead an edge through its bends: upright past boxes where it would else cut their corners."""
    route: list[Point] = []
    down = places[chain[0]][1] > places[chain[-1]][1]
    for before, n, after in zip(chain, chain[1:], chain[2:], strict=False):
        x, y = places[n]
        aside = max(abs(places[m][0] - x) for m in (before, after))
        if aside * (bands[n][1] - bands[n][0]) < SLANT:
            route.append((x, y))
        else:
            low, high = bands[n]
            ends = [low - CLEAR, low, high, high + CLEAR]
            route += [(x, end) for end in (reversed(ends) if down else ends)]
    return route


def _with_ends(
    routes: Mapping[Edge, Sequence[Point]],
    places: Mapping[Node, Point],
    bands: Mapping[Node, Point],
    room: Mapping[Node, Size],
) -> dict[Edge, list[Point]]:
    """Lead each route from box to box; ends stand apart, in order, on the sides that face it."""
    ends: dict[tuple[Node, bool], list[tuple[float, int, Edge]]] = {}
    for edge, route in routes.items():
        for node, toward in zip(edge, _facing(edge, route, places), strict=True):
            down = toward[1] < places[node][1]
            # The slope orders lines better than the place where the next bend happens to be.
            slope = (toward[0] - places[node][0]) / abs(toward[1] - places[node][1])
            side = ends.setdefault((node, down), [])
            side.append((slope, len(side), edge))
    stubs: dict[tuple[Node, Edge], list[Point]] = {}
    for (node, down), side in ends.items():
        (x, y), (width, height) = places[node], room[node]
        step = min(PORT, SIDE * width / max(len(side) - 1, 1)) if height else 0.0
        for i, (slope, _, edge) in enumerate(sorted(side)):
            at = x + (i - (len(side) - 1) / 2) * step
            out = -1 if down else 1
            # A flat line would cut boxes nearby: it leaves the layer upright.
            reach = abs(y - bands[node][0 if down else 1]) if height or abs(slope) > 1 else 0.0
            upright = reach > height / 2 + 0.02 or abs(slope) > FLAT
            beyond = [reach, reach + CLEAR] if abs(slope) > 1 else [reach + CLEAR]
            away = [height / 2, *(beyond if upright else [])]
            stubs[node, edge] = [(at, y + out * far) for far in away]
    return {
        (tail, head): [*stubs[tail, (tail, head)], *route, *reversed(stubs[head, (tail, head)])]
        for (tail, head), route in routes.items()
    }


def _facing(
    edge: Edge, route: Sequence[Point], places: Mapping[Node, Point]
) -> tuple[Point, Point]:
    """Return the points that the tail's end and the head's end of a route look at."""
    return (route[0], route[-1]) if route else (places[edge[1]], places[edge[0]])
