"""Answers for people."""

import math
from collections.abc import Mapping
from itertools import islice, product
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from quincunx.cli._console import (
    at_most,
    bar,
    bytes_of,
    figure,
    make_console,
    print_note,
    print_pairs,
    print_table,
)
from quincunx.cli._joint_states import show_joint_states
from quincunx.cli._report import Report, kind_of, size_of, write_gamma

if TYPE_CHECKING:
    from quincunx.cli._describe import Description
    from quincunx.graphs import Table
    from quincunx.solvers import Blame, Bounds, Inference

OVERVIEW = 40  # variables that are listed where none was asked for
STATES = 5  # states of a variable in that list
ENTRIES = 100  # entries of a joint distribution


def show_report(report: Report) -> None:
    """Print an answer with its certificate, and the probabilities."""
    console = make_console()
    console.print(_head(report.file, kind_of(report.model), size_of(report.model)))
    print_pairs(console, _certificate(report))
    for note in report.notes():
        print_note(console, note)
    if report.blame is not None:
        console.print()
        _print_blame(console, report.blame)
    given = f" | {_states(report.given)}" if report.given else ""
    if report.joint is not None:
        console.print()
        show_joint_states(console, report.joint, f", given {given[3:]}" if given else "")
    elif report.bounds:
        for table, bounds in zip(report.tables, report.bounds, strict=True):
            console.print()
            _print_bounds(console, table, bounds, given)
    elif report.asked:
        for table in report.tables:
            console.print()
            _print_answer(console, table, given)
    elif report.tables:
        console.print()
        _print_overview(console, report, given)


def _head(file: str, kind: str, size: str) -> Text:
    return Text.assemble((file, "bold"), f"  {kind}, {size}")


def _states(states: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {state}" for name, state in states.items())


def _certificate(report: Report) -> list[tuple[str, str | Text]]:
    answer = report.answer
    # A network's zero would show as its rounding; a gap that matters is written out as an interval.
    value = 0.0 if 0 <= answer.inconsistency <= answer.gap <= 1e-9 else answer.inconsistency
    least = f"{value:.10g} nats"
    proof = f"  (proved within {at_most(answer.gap)})"
    if answer.gap > 1e-3 * (1 + abs(value)) and math.isfinite(answer.gap):
        proof = f"  (proved between {value - answer.gap:.6g} and {value:.6g})"
    rows: list[tuple[str, str | Text]] = [
        ("gamma", report.gamma),
        ("inconsistency", Text.assemble((least, "bold"), proof)),
    ]
    if answer.idef == answer.idef:  # not NaN: message passing does not compute it
        rows.append(("IDef", _deficiency(answer)))
    if answer.gamma and answer.belief_error < 1:
        error = f"at most {at_most(answer.belief_error)}, in total variation from the optimum"
        rows.append(("belief error", error))
    if answer.residual:
        rows.append(("hard arcs", f"hold within {at_most(answer.residual)}"))
    rows.append(("method", answer.method))
    if "seconds" in answer.stats:
        rows.append(("time", f"{float(answer.stats['seconds']):.2g} s"))
    if report.assume:
        rows.append(("assumed", _states(report.assume)))
    return rows


def _deficiency(answer: "Inference") -> str:
    """Write IDef with the digits that the gap supports, and in the limit how much less can be."""
    less = max(answer.idef - answer.idef_lower, 0.0) if answer.gamma is None else math.inf
    # Beliefs are known to the root of the gap, and IDef about as well; in the limit no better than
    # its bound says. Four digits are shown even where nothing is proved: they are these beliefs'.
    error = math.sqrt(max(answer.gap, 0.0) / (2 * (answer.gamma or 0.5)))
    error = max(error, less) if math.isfinite(less) else error
    digits = 10 if error <= 1e-10 else max(4, -math.floor(math.log10(min(error, 1.0))))
    bound = ""
    if math.isfinite(less):
        bound = f"  (the optimum has {f'at most {at_most(less)}' if less else 'no'} less)"
    return f"{round(answer.idef, digits) + 0.0:.10g} nats{bound}"


def _print_blame(console: Console, blame: "Blame") -> None:
    """Print the arcs' shares of the inconsistency, the entropy's last."""
    rows: list[list[str | Text]] = [
        [s.arc.name, *map(_nats, (s.nats, s.incompatibility, s.deficiency, s.price))]
        for s in blame.shares[:OVERVIEW]
    ]
    if blame.gamma:
        whole = (-blame.gamma * blame.entropy, 0.0, -blame.entropy, None)
        rows.append(["(entropy of the whole)", *map(_nats, whole)])
    columns = ["arc", "nats", "beta KL", "alpha H", "price"]
    print_table(console, columns, rows, title="Blame", right=[1, 2, 3, 4])
    left = len(blame.shares) - OVERVIEW
    if left > 0:
        console.print(f"... and {left:,} more arcs; --json gives all of them")


def _nats(value: float | None) -> str:
    """Write a number of nats, rounding as 0 and no number as nothing."""
    return "" if value is None else f"{round(value, 12) + 0.0:.6g}"


def _print_answer(console: Console, table: "Table", given: str) -> None:
    """Print a distribution, one row an entry."""
    framed = console.is_terminal
    names = table.names
    rows: list[list[str | Text]] = []
    values = table.values.ravel().tolist()
    for key, p in zip(product(*(v.states for v in table.variables)), values, strict=True):
        if len(rows) == ENTRIES:
            break
        rows.append([*map(str, key), figure(p), *([bar(p)] if framed else [])])
    print_table(
        console,
        [*names, "probability", *([""] if framed else [])],
        rows,
        title=f"p({', '.join(names)}{given})",
        right=[len(names)],
    )
    if len(values) > ENTRIES:
        console.print(f"... {len(values):,} entries; --csv or --json gives all of them")


def _print_bounds(console: Console, table: "Table", bounds: "Bounds", given: str) -> None:
    """Print a distribution with the range of each entry, and how far the range is exact."""
    keys = product(*(v.states for v in table.variables))
    parts = (table.values, bounds.lower.values, bounds.upper.values)
    entries = zip(keys, *(part.flat for part in parts), strict=True)
    rows: list[list[str | Text]] = [
        [*map(str, key), *map(figure, numbers)] for key, *numbers in islice(entries, ENTRIES)
    ]
    n = len(table.names)
    columns = [*table.names, "here", "at least", "at most"]
    title = f"p({', '.join(table.names)}{given}), over all that fit the tables best"
    print_table(console, columns, rows, title=title, right=[n, n + 1, n + 2])
    if table.values.size > ENTRIES:
        console.print(f"... {table.values.size:,} entries; --csv or --json gives all of them")
    if bounds.slack:
        rare = "" if not given else f" divided by the probability of {given[3:]}"
        console.print(
            "The tables conflict, and their compromise is known numerically only. So 'at least' "
            f"may be too low and 'at most' too high, by about {at_most(bounds.slack)}{rare}."
        )


def _print_overview(console: Console, report: Report, given: str) -> None:
    """Print the distribution of every single variable, one row each."""
    rows: list[list[Text]] = []
    for table in report.tables[:OVERVIEW]:
        # Not a dictionary by state: 1 and True are two states but one key.
        entries = list(zip(table.variables[0].states, table.values.tolist(), strict=True))
        rest = len(entries) - STATES
        if rest > 0:
            entries = sorted(entries, key=lambda item: -item[1])[:STATES]
        text = Text()
        for state, p in entries:
            text.append(f"{state} ", style="dim").append(f"{figure(p)}   ")
        if rest > 0:
            text.append(f"and {rest} less likely", style="dim")
        text.rstrip()
        rows.append([Text(table.names[0], style="bold" if console.is_terminal else ""), text])
    title = f"Every variable{f', given {given[3:]}' if given else ''}"
    print_table(console, ["variable", "probabilities"], rows, title=title)
    left = len(report.tables) - OVERVIEW
    if left > 0:
        console.print(f"... and {left:,} more; ask with --query, or take all with --csv or --json")


def show_description(description: "Description") -> None:
    """Print the size of a model, and what solving it would take."""
    console = make_console()
    plan = description.plan
    tree, pdg = plan.tree, plan.pdg
    states = [len(v) for v in pdg.variables]
    bare = sum(a.table is None for a in pdg.arcs)
    arcs = f"{len(pdg.arcs):,}"
    arcs += f", {description.hard} of them hard" if description.hard else ""
    arcs += f", {bare} without a table" if bare else ""
    cells = f"{sum(tree.sizes):,}, at most {max(tree.sizes, default=0):,} in a cluster"
    gamma = write_gamma(description.model, plan.gamma, description.own)
    memory = f"about {bytes_of(plan.memory)}; this machine has {bytes_of(description.machine)}"
    kind = kind_of(description.model)
    console.print(_head(description.file, kind, size_of(description.model)))
    print_pairs(
        console,
        [
            ("variables", f"{len(states):,}{_spread(states)}"),
            ("arcs", arcs),
            ("treewidth", f"{tree.treewidth}  (of the decomposition found)"),
            ("clusters", f"{len(tree.clusters):,}"),
            ("cells", cells),
            ("memory", memory),
            ("gamma", gamma),
            ("largest gamma", f"{description.largest_gamma:.12g}  (end of the convex regime)"),
            ("method", f"{description.method}: {plan.reason}"),
        ],
    )
    for note in description.notes():
        print_note(console, note)
    console.print("Nothing was solved.", style="dim")


def _spread(states: list[int]) -> str:
    least, most = min(states, default=0), max(states, default=0)
    if least == most:
        return f", of {most} states each" if states else ""
    return f", of {least} to {most} states"
