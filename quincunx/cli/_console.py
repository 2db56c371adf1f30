"""The look of what people read: tables and sentences, plain where the output is no terminal."""

import sys
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Context

from rich.box import ROUNDED
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 10_000  # no line of a file or pipe is broken
PROSE = 84  # letters of a line of prose
BAR = 24  # cells of a full bar
EIGHTHS = " ▏▎▍▌▋▊▉█"


def make_console() -> Console:
    """Return a console on stdout that prints names as they are, without markup of its own."""
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def figure(p: float) -> str:
    """Write a probability with six digits, a small one by its order of magnitude."""
    return f"{p:.6f}" if p >= 1e-4 or p == 0 else f"{p:.2e}"


def at_most(bound: float) -> str:
    """Write a bound from above with one digit, rounded up so that it stays one."""
    upwards = Context(prec=1, rounding=ROUND_CEILING)
    return f"{float(upwards.create_decimal(repr(float(bound)))):.1g}"


def bar(p: float) -> Text:
    """Draw a probability as a bar of :data:`BAR` cells."""
    eighths = round(min(max(p, 0.0), 1.0) * BAR * 8)
    drawn = EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    return Text(drawn, style="cyan")


def bytes_of(size: float) -> str:
    """Write a number of bytes in a unit that keeps it short."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"


def print_table(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    title: str = "",
    right: Sequence[int] = (),
) -> None:
    """Print a table: framed in a terminal, columns parted by spaces elsewhere.

    Arguments:
        console: where to.
        columns: headings.
        rows: the cells.
        title: printed above.
        right: positions of the columns set to the right.
    """
    cells = [[Text(c) if isinstance(c, str) else c for c in row] for row in rows]
    if title:
        console.print(Text(title, style="bold"))
    if not console.is_terminal:
        _print_plain(console, [[Text(c) for c in columns], *cells], right)
        return
    table = Table(box=ROUNDED, border_style="dim", header_style="bold")
    for i, heading in enumerate(columns):
        if i in right:
            table.add_column(Text(heading), justify="right", overflow="fold")
        else:
            table.add_column(Text(heading), overflow="fold")
    for row in cells:
        table.add_row(*row)
    console.print(table)


def _print_plain(
    console: Console, rows: Sequence[Sequence[Text]], right: Sequence[int] = ()
) -> None:
    """Print rows with their columns aligned, two spaces between them and none at the end."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        parts = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell.cell_len)
            parts.append(space + cell.plain if i in right else cell.plain + space)
        console.print("  ".join(parts).rstrip(), soft_wrap=True)


def print_pairs(console: Console, pairs: Iterable[tuple[str, str | Text]]) -> None:
    """Print names with what belongs to them, in two columns."""
    rows = [(Text(n), Text(t) if isinstance(t, str) else t) for n, t in pairs]
    if not console.is_terminal:
        _print_plain(console, rows)
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(Padding(table, (0, 0, 0, 2)))


def print_note(console: Console, text: str) -> None:
    """Print a sentence that must not be missed."""
    console.print(Text(f"Note: {text}", style="yellow"))


def print_heading(console: Console, text: str) -> None:
    """Print the title of a part; what stands above ends with an empty line."""
    console.print(Text(text, style="bold cyan"))
    console.print(Text("─" * len(text) if console.is_terminal else "-" * len(text), style="cyan"))


def print_prose(console: Console, text: str) -> None:
    """Print a paragraph in lines of a comfortable length, with an empty line after it."""
    console.print(Text(" ".join(text.split())), width=min(console.width, PROSE))
    console.print()
