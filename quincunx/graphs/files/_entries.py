"""PDGs as a list of table entries: what a spreadsheet and a data frame have in common.

The meaning of the columns is told in :mod:`quincunx.graphs.files.csv`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple, TypeAlias

import numpy as np

from quincunx._errors import ModelError
from quincunx.graphs.arc import ROW_SUM, Arc
from quincunx.graphs.memory import require_memory
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Floats
from quincunx.graphs.variable import State, Variable

COLUMNS = ("arc", "given", "event", "probability", "alpha", "beta")
_DECLARES = "variable:"

States: TypeAlias = tuple[str, ...]


class Entry(NamedTuple):
    """One row of a spreadsheet; ``where`` names it in messages, None is an empty cell."""

    where: str
    arc: str
    given: str
    event: str
    probability: float | None
    alpha: float | None
    beta: float | None


@dataclass(slots=True)
class _Group:
    """The entries of one arc: ``rows[source states][target states]`` is a probability."""

    where: str
    label: str
    sources: States
    targets: States
    rows: dict[States, dict[States, float]] = field(default_factory=dict)
    first: dict[States, str] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)


def pdg_of(entries: Iterable[Entry]) -> PDG:
    """Build the PDG that the entries describe.

    Raises:
        ModelError: an entry is malformed, contradicts another, or leaves a row open; the message
            begins with the entry's place.
    """
    states: dict[str, dict[str, None]] = {}
    beliefs = []
    for entry in entries:
        if entry.event.startswith(_DECLARES):
            _declare(entry, states)
        elif entry.event or entry.given or entry.probability is not None:
            beliefs.append(entry)
    declared = frozenset(states)
    groups: dict[object, _Group] = {}
    for entry in beliefs:
        given, event = _items(entry, entry.given), _items(entry, entry.event)
        _collect(entry, given | event, states, declared)
        key = (entry.arc, frozenset(given), frozenset(event))
        group = groups.setdefault(key, _Group(entry.where, entry.arc, tuple(given), tuple(event)))
        _add(entry, given, event, group)
    for name, found in states.items():
        if not found:
            raise ModelError(f"no row gives {name!r} a state; declare it: variable: {name}=no|yes")
    variables = {name: Variable(name, found) for name, found in states.items()}
    return PDG([_arc(g, variables) for g in groups.values()], variables.values())


def number_of(cell: object, column: str, where: str) -> float | None:
    """Read the number in a cell; an empty one is None.

    Raises:
        ModelError: it is none; the message says how to write a percentage or a decimal comma.
    """
    if cell == "":
        return None
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ModelError(
            f"{where}: {column} should be a number such as 0.25, not {cell!r}{_hint(str(cell))}"
        ) from None


def _hint(cell: str) -> str:
    """Say how a number is written that has a decimal comma or a percent sign, '' elsewhere."""
    text = cell.strip()
    faults = {"%": "a percent sign", ",": "a decimal comma"}
    found = " and ".join(name for sign, name in faults.items() if sign in text)
    try:
        number = float(text.removesuffix("%").replace(",", "."))
    except ValueError:
        return ""
    if text.endswith("%"):
        number /= 100
    return f"; it has {found}: write {number:.15g}" if found else ""


def entries_of(pdg: PDG) -> Iterator[Entry]:
    """List the entries of a PDG: declarations, then every entry stated.

    Raises:
        ModelError: a spreadsheet cannot hold a name, a state or an arc of this graph.
    """
    if not isinstance(pdg, PDG):
        raise ModelError(
            f"a spreadsheet holds a PDG, not a {type(pdg).__name__}; write model.to_pdg(), or a "
            ".json file"
        )
    for variable in pdg.variables:
        states = "|".join(_checked(variable))
        yield Entry("", "", "", f"{_DECLARES} {variable.name}={states}", None, None, None)
    seen = set()
    for arc in pdg.arcs:
        label = arc.label or ""
        if arc.label is not None and (not label or label != label.strip()):
            raise ModelError(f"a spreadsheet cannot hold the label {arc.label!r}; rename the arc")
        key = (label, frozenset(arc.source_names), frozenset(arc.target_names))
        if key in seen:
            raise ModelError(
                f"two arcs {arc.name} join the same variables, and a spreadsheet could not tell "
                "them apart; give them different labels"
            )
        seen.add(key)
        yield from _entries_of_arc(arc, label)


def _entries_of_arc(arc: Arc, label: str) -> Iterator[Entry]:
    confidence = (arc.alpha, arc.beta)
    if arc.table is None:
        names = "; ".join(arc.source_names), "; ".join(arc.target_names)
        yield Entry("", label, *names, None, *confidence)
        return
    if np.isnan(arc.table).all():
        raise ModelError(
            f"arc {arc.name} has a table of undefined rows only, which a spreadsheet could not "
            "tell from no table; give table=None"
        )
    given, event = _cells(arc.scope[: len(arc.sources)]), _cells(arc.scope[len(arc.sources) :])
    for source, row in zip(given, arc.rows.tolist(), strict=True):
        if not math.isnan(row[0]):
            for target, number in zip(event, row, strict=True):
                yield Entry("", label, source, target, number, *confidence)


def _cells(variables: tuple[Variable, ...]) -> list[str]:
    """Write all joint states of some variables, the last changing fastest."""
    parts = ([f"{v.name}={s}" for s in v.states] for v in variables)
    return ["; ".join(combination) for combination in product(*parts)]


def _checked(variable: Variable) -> Iterator[str]:
    name = variable.name
    if name != name.strip() or "=" in name or ";" in name or name.startswith(_DECLARES):
        raise ModelError(
            f"a spreadsheet cannot hold the name {name!r}: no =, no ;, no spaces around it; "
            "rename it, or write a .json file"
        )
    for state in variable.states:
        if not isinstance(state, str):
            raise ModelError(
                f"a spreadsheet holds states as text, and the state {state!r} of {name!r} is not; "
                "make the states strings, or write a .json file"
            )
        if not state or state != state.strip() or ";" in state or "|" in state:
            raise ModelError(
                f"a spreadsheet cannot hold the state {state!r} of {name!r}: no ;, no |, no spaces "
                "around it, not empty; rename it, or write a .json file"
            )
        yield state


def _declare(entry: Entry, states: dict[str, dict[str, None]]) -> None:
    name, _, listed = entry.event.removeprefix(_DECLARES).partition("=")
    name, found = name.strip(), [s.strip() for s in listed.split("|")]
    if entry.given or entry.probability is not None or not name or not all(found):
        raise ModelError(f"{entry.where}: a declaration is one cell, variable: name=state|state")
    if len(set(found)) < len(found) or name in states:
        raise ModelError(f"{entry.where}: {name!r} is declared twice, or a state of it is")
    states[name] = dict.fromkeys(found)


def _items(entry: Entry, cell: str) -> dict[str, str]:
    """Read ``name=state; name=state``; a bare name has the state ''."""
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, cell.split(";"))):
        name, equals, state = (p.strip() for p in part.partition("="))
        if not name or (equals and not state) or name in found:
            raise ModelError(f"{entry.where}: expected name=state; name=state; found {cell!r}")
        if not state and entry.probability is not None:
            raise ModelError(
                f"{entry.where}: {name!r} needs a state beside a probability: {name}=..."
            )
        found[name] = state
    return found


def _collect(
    entry: Entry,
    items: dict[str, str],
    states: dict[str, dict[str, None]],
    declared: frozenset[str],
) -> None:
    for name, state in items.items():
        known = states.setdefault(name, {})
        if name in declared and state and state not in known:
            raise ModelError(
                f"{entry.where}: {state!r} is not a declared state of {name!r}; those are "
                f"{', '.join(known)}"
            )
        if state:
            known[state] = None


def _add(entry: Entry, given: dict[str, str], event: dict[str, str], group: _Group) -> None:
    if not event:
        raise ModelError(f"{entry.where}: the event is empty; expected name=state")
    for key, value in (("alpha", entry.alpha), ("beta", entry.beta)):
        if value is not None and group.confidence.setdefault(key, value) != value:
            raise ModelError(
                f"{entry.where}: {key} is {value:g} here and {group.confidence[key]:g} in another "
                "row of the same arc; give it once, or alike"
            )
    if entry.probability is None:
        return
    if not 0 <= entry.probability <= 1 + ROW_SUM:
        percent = 1 < entry.probability <= 100
        hint = f"; if this is a percentage, write {entry.probability / 100:.15g}" if percent else ""
        raise ModelError(
            f"{entry.where}: a probability is in [0, 1], not {entry.probability!r}{hint}"
        )
    source = tuple(given[name] for name in group.sources)
    target = tuple(event[name] for name in group.targets)
    row = group.rows.setdefault(source, {})
    group.first.setdefault(source, entry.where)
    if target in row:
        raise ModelError(f"{entry.where}: this entry comes twice in the same arc")
    row[target] = entry.probability


def _arc(group: _Group, variables: dict[str, Variable]) -> Arc:
    sources = [variables[name] for name in group.sources]
    targets = [variables[name] for name in group.targets]
    table = _table(group, sources, targets) if group.rows else None
    try:
        return Arc(sources, targets, table, label=group.label or None, **group.confidence)
    except ModelError as error:
        raise ModelError(f"{group.where}: {error}") from None


def _table(group: _Group, sources: list[Variable], targets: list[Variable]) -> Floats:
    shape = [len(v) for v in (*sources, *targets)]
    require_memory(8 * math.prod(shape), f"the table over {', '.join(group.targets)}")
    table = np.full(shape, np.nan)
    for source, row in group.rows.items():
        table[_place(sources, source)] = _row(group.first[source], targets, row)
    return table


def _place(variables: Sequence[Variable], states: Sequence[State]) -> tuple[int, ...]:
    return tuple(v.index(s) for v, s in zip(variables, states, strict=True))


def _row(where: str, targets: list[Variable], row: dict[States, float]) -> Floats:
    """Complete one row of a table."""
    values = np.zeros([len(v) for v in targets])
    for target, number in row.items():
        values[_place(targets, target)] = number
    total, missing = math.fsum(row.values()), values.size - len(row)
    if missing == 1 and total <= 1 + ROW_SUM:
        absent = next(t for t in product(*(v.states for v in targets)) if t not in row)
        values[_place(targets, absent)] = max(1 - total, 0)
    elif abs(total - 1) > ROW_SUM:
        names = ", ".join(v.name for v in targets)
        hint = f"{missing} of its {values.size} entries are missing, and one at most may be"
        if len(row) == values.size:
            hint = "correct it, or leave one entry out, which then gets the rest"
        if values.size == 1:
            hint = f"declare the other states: variable: {names}=no|yes"
        raise ModelError(
            f"{where}: the row over {names} that begins here sums to {total:.9g}; {hint}"
        )
    return values
