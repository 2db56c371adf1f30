"""Beliefs as a spreadsheet: one row an entry of a table, in comma-separated values.

For example, with spaces added here so that the columns align::

    arc,    given,               event,                          probability, alpha, beta
    ,       ,                    variable: cancer=no|yes|unsure, ,            ,
    clinic, smoker=yes; age=old, cancer=yes,                     0.2,         1,     10
    clinic, smoker=yes; age=old, cancer=no,                      0.7,         ,
    ,       smoker,              age,                            ,            ,

* ``given`` and ``event`` hold ``name=state``, several parted by ``;``. Names and states are text
  without spaces around them; a name has neither ``=`` nor ``;``, a state neither ``;`` nor ``|``.
* Rows with the same ``arc``, the same variables in ``given`` and the same in ``event`` belong to
  one arc. ``arc`` becomes its label; it may be empty.
* ``alpha`` and ``beta`` are 1 where no row of the arc says more; rows that do must agree. A beta
  of ``inf`` makes the arc hard. A column ``note`` is free for remarks.
* Where one combination of event states is missing it gets the rest to one, so that a binary
  belief needs one line; where several are missing they are 0, and the others must sum to one.
* Rows of a table never mentioned, or mentioned without a probability, are undefined. An arc
  without any probability is structure only; its cells may hold bare names.
* ``variable: name=state|state|...`` declares a variable and the order of its states. Other
  variables have the states that appear, in order of appearance.

Columns may stand in any order; all but ``event`` and ``probability`` may be left out. Semicolons
or tabs may part the columns, as some spreadsheet programs write them.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

from quincunx._errors import FileFormatError, ModelError
from quincunx.graphs.files._entries import COLUMNS, Entry, entries_of, number_of, pdg_of
from quincunx.graphs.pdg import PDG


def loads(text: str, path: str = "<text>") -> PDG:
    """Read a PDG from the text of a spreadsheet.

    Arguments:
        text: the file's content.
        path: its name, for messages.

    Raises:
        FileFormatError: a column is unknown or missing, a cell is malformed, rows of an arc
            contradict each other or a row of a table stays open; the message gives the line.
    """
    first = text.split("\n", 1)[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True
    )
    try:
        return pdg_of(_entries(reader))
    except csv.Error as error:
        raise FileFormatError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
    except ModelError as error:
        raise FileFormatError(f"{path}, {error}") from None


def dumps(model: PDG) -> str:
    """Write a PDG as the text of a spreadsheet; numbers read back the same.

    Raises:
        ModelError: it is no PDG, or a spreadsheet cannot hold one of its names, states or arcs.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries_of(model):
        numbers = (entry.probability, entry.alpha, entry.beta)
        cells = ("" if n is None else repr(n) for n in numbers)
        writer.writerow([entry.arc, entry.given, entry.event, *cells])
    return out.getvalue()


# Any: the type of csv.reader's result has no public name.
def _entries(reader: Any) -> Iterator[Entry]:
    header: list[str] | None = None
    for cells in reader:
        cells = [cell.strip() for cell in cells]
        where = f"line {reader.line_num}"
        if not any(cells):
            continue
        if header is None:
            header = _header(cells, where)
            continue
        if any(cells[len(header) :]):
            raise ModelError(
                f"{where}: {len(cells)} cells under {len(header)} columns; write numbers with a "
                "decimal point, and quote a cell that holds the separator"
            )
        row = dict(zip(header, cells, strict=False))
        arc, given, event = (row.get(name, "") for name in COLUMNS[:3])
        probability, alpha, beta = (number_of(row.get(n, ""), n, where) for n in COLUMNS[3:])
        yield Entry(where, arc, given, event, probability, alpha, beta)
    if header is None:
        raise ModelError(f"line 1: expected a header: {','.join(COLUMNS)}")


def _header(cells: list[str], where: str) -> list[str]:
    header = [cell.lower() for cell in cells]
    for name in header:
        if name not in (*COLUMNS, "note"):
            raise ModelError(
                f"{where}: unknown column {name!r}; known are {', '.join(COLUMNS)} and note"
            )
        if header.count(name) > 1:
            raise ModelError(f"{where}: the column {name!r} comes twice")
    for name in ("event", "probability"):
        if name not in header:
            raise ModelError(f"{where}: the header lacks the column {name!r}")
    return header
