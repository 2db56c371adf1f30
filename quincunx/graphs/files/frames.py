"""Beliefs from data frames: tables estimated from observations, and PDGs as frames of entries."""

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from quincunx._errors import ModelError, UnknownNameError, need_extra
from quincunx.graphs.arc import Arc
from quincunx.graphs.files._entries import COLUMNS, Entry, entries_of, number_of, pdg_of
from quincunx.graphs.memory import require_memory
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Names, names_of
from quincunx.graphs.variable import Variable

if TYPE_CHECKING:
    import pandas as pd


def pdg_from_frame(frame: "pd.DataFrame") -> PDG:
    """Build a PDG from a data frame of table entries.

    Arguments:
        frame: one row an entry, with the columns of :mod:`quincunx.graphs.files.csv`; missing
            values are empty cells.

    Raises:
        ModelError: a column is missing or a row is malformed; the message gives its index label.
        MissingExtraError: pandas is not installed.
    """
    need_extra("pandas", "pgmpy", "a data frame")
    for name in ("event", "probability"):
        if name not in frame.columns:
            raise ModelError(f"the data frame lacks the column {name!r}")
    unknown = [name for name in frame.columns if name not in (*COLUMNS, "note")]
    if unknown:
        raise ModelError(
            f"the data frame has the unknown column {unknown[0]!r}; known are "
            f"{', '.join(COLUMNS)} and note"
        )
    return pdg_of(_entries(frame))


def pdg_to_frame(pdg: PDG) -> "pd.DataFrame":
    """Write a PDG as a data frame of table entries, which :func:`pdg_from_frame` reads.

    Raises:
        ModelError: a frame of entries cannot hold one of the names, states or arcs.
        MissingExtraError: pandas is not installed.
    """
    need_extra("pandas", "pgmpy", "a data frame")
    import pandas as pd

    rows = [entry[1:] for entry in entries_of(pdg)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["probability", "alpha", "beta"]
    frame[numbers] = frame[numbers].astype(np.float64)
    return frame


def arc_from_data(
    frame: "pd.DataFrame",
    targets: Names,
    given: Names = (),
    *,
    pseudo_count: float = 1.0,
    variables: Iterable[Variable] = (),
    alpha: float = 1.0,
    beta: float = 1.0,
    label: str | None = None,
) -> Arc:
    """Estimate a conditional table from observations.

    ``p(t | s) = (n(s, t) + c) / sum_t (n(s, t) + c)`` with counts ``n`` and pseudo-count ``c``.

    Arguments:
        frame: one row an observation, one column a variable.
        targets: the columns that the arc speaks of.
        given: the columns that it is conditioned on.
        pseudo_count: ``c``, added to the count of every cell; with 0, rows of the table that were
            never observed are undefined (NaN).
        variables: the variables with their states; one that is not listed has the categories of
            its column, or else the column's sorted distinct values.
        alpha: structural confidence of the arc.
        beta: observational confidence of the arc.
        label: name of the arc.

    Returns:
        The arc, with a table of shape (states of given..., states of targets...). Observations
        with a missing value in a column used are left out, which a warning says.

    Raises:
        UnknownNameError: a column is not there, or holds a value that is not a state.
        ModelError: the pseudo-count is negative or infinite, or nothing was observed.
        TooLargeError: the table does not fit into memory.
        MissingExtraError: pandas is not installed.
    """
    need_extra("pandas", "pgmpy", "a data frame")
    if not 0 <= pseudo_count < math.inf:
        raise ModelError(f"pseudo_count must be a finite number >= 0, not {pseudo_count!r}")
    sources, names = names_of(given), [*names_of(given), *names_of(targets)]
    for name in names:
        if name not in frame.columns:
            raise UnknownNameError(
                f"the data frame has no column {name!r}; it has "
                f"{', '.join(map(str, frame.columns[:12]))}"
            )
    used = frame[names].dropna()
    dropped = len(frame) - len(used)
    if dropped:
        warnings.warn(
            f"{dropped} of {len(frame)} observations lack a value in {', '.join(names)} and were "
            "left out",
            UserWarning,
            stacklevel=2,
        )
    members = [v for names in (given, targets) for v in _variables(names)]
    known = {v.name: v for v in (*variables, *members)}
    scope = [known.get(name) or _observed(used[name]) for name in names]
    shape = [len(v) for v in scope]
    cells = math.prod(shape)
    require_memory(32 * cells, f"a table over {', '.join(names)} ({cells:.3g} entries)")
    codes = [_codes(used[v.name], v) for v in scope]
    index = np.ravel_multi_index(codes, shape)
    counts = np.bincount(index, minlength=cells) + pseudo_count
    rows = counts.reshape(math.prod(shape[: len(sources)]), -1)
    sums = rows.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        table = (rows / sums).reshape(shape)
    return Arc(scope[: len(sources)], scope[len(sources) :], table, alpha, beta, label)


def _variables(names: Names) -> Iterator[Variable]:
    members = (names,) if isinstance(names, str | Variable) else names
    return (v for v in members if isinstance(v, Variable))


def _observed(column: "pd.Series[Any]") -> Variable:
    """Make a variable of a column's categories or distinct values."""
    if hasattr(column, "cat"):
        return Variable(str(column.name), column.cat.categories)
    if column.empty:
        raise ModelError(
            f"no value of {column.name!r} was observed, so its states are unknown; list it in "
            "variables="
        )
    try:
        return Variable(str(column.name), sorted(column.unique()))
    except TypeError:
        raise ModelError(
            f"the values of {column.name!r} are of kinds that cannot be sorted; list the variable "
            "in variables="
        ) from None


def _codes(column: "pd.Series[Any]", variable: Variable) -> "np.ndarray[Any, np.dtype[np.intp]]":
    """Return the place of each value among the states."""
    place = {value: variable.index(value) for value in column.unique()}
    return np.array([place[value] for value in column], np.intp)


def _entries(frame: "pd.DataFrame") -> Iterator[Entry]:
    columns = {name: frame[name].tolist() for name in COLUMNS if name in frame.columns}
    missing = {name: frame[name].isna().tolist() for name in columns}
    for row, label in enumerate(frame.index):
        cells = {n: c[row] for n, c in columns.items() if not missing[n][row]}
        arc, given, event = (str(cells.get(name, "")).strip() for name in COLUMNS[:3])
        where = f"row {label}"
        probability, alpha, beta = (number_of(cells.get(n, ""), n, where) for n in COLUMNS[3:])
        yield Entry(where, arc, given, event, probability, alpha, beta)
