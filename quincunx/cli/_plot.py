"""The pictures that ``quincunx infer`` saves: the graph with its answers, the tree, the path."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from quincunx.cli._report import Report
from quincunx.cli._request import Request
from quincunx.cli._waiting import wait_for

if TYPE_CHECKING:
    from quincunx.graphs import PDG, ClusterTree, Table

PARTS = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 1e-3, 1e-4)  # of the largest gamma
LEGEND = 60  # letters of evidence that are written out in a legend


@dataclass(frozen=True, slots=True)
class Plots:
    """The files that were asked for; None: no such picture.

    Attributes:
        graph: the graph coloured by blame, beside the probabilities.
        tree: the cluster tree.
        gamma: the inconsistency and the queries along gamma.
    """

    graph: str | None
    tree: str | None
    gamma: str | None


def check_plots(plots: Plots, describe: bool) -> None:
    """Refuse before any work what could not be saved after it.

    Raises:
        ModelError: a name does not end as a picture's, a folder does not exist, two pictures have
            one name, or a picture of an answer is wanted and none is computed.
        MissingExtraError: matplotlib is not installed.
    """
    from quincunx._errors import ModelError

    named = {"--plot": plots.graph, "--plot-tree": plots.tree, "--plot-gamma": plots.gamma}
    files = {option: file for option, file in named.items() if file is not None}
    if not files:
        return
    from quincunx.graphs.draw import picture_kind

    for option, file in files.items():
        picture_kind(file)
        folder = os.path.dirname(file) or "."
        if not os.path.isdir(folder):
            raise ModelError(f"{option} {file}: there is no folder {folder}; make it first")
        if describe and option != "--plot-tree":
            raise ModelError(
                f"--describe solves nothing, so there is no answer for {option} to show; of the "
                "pictures it goes with --plot-tree only"
            )
    if len({os.path.realpath(file) for file in files.values()}) < len(files):
        raise ModelError(f"{' and '.join(files)} need files of different names")


def save_tree(tree: "ClusterTree", file: str) -> None:
    """Save the picture of a cluster tree.

    Raises:
        ModelError: there are too many clusters for a picture.
    """
    from quincunx.graphs.draw import draw_cluster_tree

    draw_cluster_tree(tree).save(file)


def save_answer(report: Report, request: Request, plots: Plots) -> list[str]:
    """Save the pictures of an answer.

    Returns:
        Sentences about what they leave out.
    """
    notes = save_graph(report, plots.graph) if plots.graph else []
    return notes + (save_path(report, request, plots.gamma) if plots.gamma else [])


def save_graph(report: Report, file: str) -> list[str]:
    """Save the graph coloured by blame, beside the probabilities that were asked for.

    Returns:
        Sentences about what is left out.
    """
    from quincunx.graphs.draw import beside, draw_pdg, draw_posteriors, neighbourhood, titled
    from quincunx.graphs.draw.graph import MOST_VARIABLES
    from quincunx.graphs.draw.posteriors import MOST_TABLES

    whole = report.answer.pdg
    assert whole is not None and report.answer.beliefs is not None
    nats, notes = _blame(report), []
    part = whole
    if len(whole.variables) > MOST_VARIABLES:
        part = neighbourhood(whole, _middle(report, whole, nats))
        shown, total = len(part.variables), len(whole.variables)
        notes.append(
            f"{file} shows {shown} of {total:,} variables, those nearest to the query and the "
            "evidence, or without these to the arc with the most blame."
        )
    names = {v.name for v in part.variables}
    tables = report.tables
    if not report.asked:
        tables = tuple(table for table in tables if table.names[0] in names)
    if len(tables) > MOST_TABLES:
        notes.append(f"{file} shows the first {MOST_TABLES} of {len(tables):,} queries.")
        tables = tables[:MOST_TABLES]
    inside = {arc.name: nats[arc.name] for arc in part.arcs}
    picture = draw_pdg(part, inside)
    if tables:
        picture = beside(picture, draw_posteriors(_compared(report, tables)))
    titled(picture, _title(report)).save(file)
    return notes


def save_path(report: Report, request: Request, file: str) -> list[str]:
    """Save the inconsistency and the queries along gamma; solves the model at each.

    Returns:
        Sentences about what is left out.

    Raises:
        SolveError: there is no answer at one of the gammas.
    """
    from quincunx.graphs.draw import draw_path, titled
    from quincunx.graphs.draw.path import MOST_LINES
    from quincunx.solvers import ConvexConcave, path

    pdg = report.answer.pdg
    assert pdg is not None
    gammas = _gammas(pdg)
    engine = request.solver()
    solver = None if engine is None else ConvexConcave(convex=engine)
    followed = wait_for(
        lambda progress: path(
            pdg, gammas, solver=solver, tolerance=request.tolerance, progress=progress
        ),
        "Following gamma",
    )
    found = followed.answers
    queries = [table.names for table in report.tables] if report.asked else []
    lines: dict[str, list[float]] = {}
    for answer in found:
        assert answer.beliefs is not None
        beliefs = answer.beliefs.condition(report.given)
        for table in map(beliefs.marginal, queries):
            entries = list(zip(_entries(table), table.values.ravel().tolist(), strict=True))
            # Of two probabilities that add up to one, the second says it all.
            for name, p in entries[1:] if len(entries) == 2 else entries:
                lines.setdefault(name, []).append(p)
    notes = []
    if len(lines) > MOST_LINES:
        notes.append(f"{file} shows the first {MOST_LINES} of {len(lines):,} probabilities.")
        lines = dict(list(lines.items())[:MOST_LINES])
    values, gaps = [a.inconsistency for a in found], [a.gap for a in found]
    titled(draw_path(gammas, values, gaps, lines), _heading(report)).save(file)
    return notes


def _gammas(pdg: "PDG") -> list[float | None]:
    """Return the end of the convex regime, but at most 1, parts of it, and the limit."""
    from quincunx.cli._describe import bound_gamma

    end = min(1.0, bound_gamma(pdg))
    return [*(end * part for part in PARTS if end > 0), None]


def _blame(report: Report) -> dict[str, float]:
    """Return the arcs' nats: their shares at the gamma that was asked for.

    A gamma that the model chose has no part in it: the structure's shares of a network, which add
    up to its entropy, are nobody's blame.
    """
    nats: dict[str, float] = {}
    for share in report.answer.blame().shares:
        own = share.incompatibility if report.own else share.nats
        nats[share.arc.name] = nats.get(share.arc.name, 0.0) + own
    return nats


def _middle(report: Report, pdg: "PDG", nats: Mapping[str, float]) -> list[str]:
    """Return the variables that the picture of a large graph is about."""
    asked = [name for table in report.tables for name in table.names] if report.asked else []
    middle = list(dict.fromkeys([*asked, *report.given, *report.assume]))
    if middle or not pdg.arcs:
        return middle or [pdg.variables[0].name]
    worst = max(pdg.arcs, key=lambda arc: nats[arc.name])
    return [v.name for v in worst.scope]


def _compared(
    report: Report, tables: Sequence["Table"]
) -> Sequence["Table"] | Mapping[str, Sequence["Table"]]:
    """Return the answers, with those before the evidence where there is some."""
    if not report.given:
        return tables
    assert report.answer.beliefs is not None
    before = [report.answer.beliefs.marginal(table.names) for table in tables]
    given = "given " + _states(report.given)
    return {"before": before, given if len(given) <= LEGEND else "given the evidence": tables}


def _states(states: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {state}" for name, state in states.items())


def _entries(table: "Table") -> list[str]:
    """Name the entries of a table by their states."""
    keys = product(*(v.states for v in table.variables))
    return [_states(dict(zip(table.names, map(str, key), strict=True))) for key in keys]


def _heading(report: Report) -> str:
    """Name the file, and what was assumed."""
    assumed = f", assuming {_states(report.assume)}" if report.assume else ""
    return f"{os.path.basename(report.file)}{assumed}"


def _title(report: Report) -> str:
    """Name the file, gamma and the inconsistency."""
    value = round(report.answer.inconsistency, 9) + 0.0
    return f"{_heading(report)}\ngamma: {report.gamma}; inconsistency: {value:.4g} nats"
