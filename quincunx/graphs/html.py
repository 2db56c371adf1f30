"""Tables for notebooks, as HTML."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

ROWS = 100  # a notebook cell is no place for more


def html_table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], total: int
) -> str:
    """Write rows as an HTML table, every cell escaped, at most a hundred of them.

    Arguments:
        caption: a line above the table, or empty.
        head: the columns' names.
        rows: the cells, written by ``str``.
        total: how many rows there are, named below the table where not all are shown.
    """
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in islice(rows, ROWS)
    )
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    more = f"<p>... {total} rows</p>" if total > ROWS else ""
    above = f"<p>{escape(caption)}</p>" if caption else ""
    return f"{above}<table><tr>{names}</tr>{body}</table>{more}"
