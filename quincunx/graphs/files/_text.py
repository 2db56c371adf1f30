"""What the text formats share: faults with a line number, and rows that miss one by rounding."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quincunx._errors import FileFormatError, ModelError
from quincunx.graphs.table import Floats
from quincunx.graphs.variable import Variable

ROUNDING = 1e-12  # a sum this close to one is left alone, so that written files read back the same
SILENT = 1e-6  # rows further from one are rescaled with a warning
LARGEST = 1e-2  # rows further from one are an error


@dataclass(frozen=True, slots=True)
class Source:
    """A text and the path it came from, for messages."""

    path: str
    text: str

    def fault(self, offset: int, message: object) -> FileFormatError:
        """Make the error that names the path and the line of a position in the text."""
        line = self.text.count("\n", 0, offset) + 1
        return FileFormatError(f"{self.path}, line {line}: {message}")


@dataclass(slots=True)
class RowSums:
    """Rescales the rows of conditional tables, and warns once for all tables of a file."""

    path: str
    off: dict[str, float] = field(default_factory=dict)

    def scaled(self, rows: Floats, name: str, sources: Sequence[Variable]) -> Floats:
        """Return rows that sum to one.

        Arguments:
            rows: numbers of shape [rows, states].
            name: the table's name, for messages.
            sources: the variables whose joint states are the rows, for messages.

        Raises:
            ModelError: a number is negative or not finite, or a row misses one by more than 1e-2.
        """
        sums = rows.sum(axis=1, keepdims=True)
        deviation = np.abs(sums - 1)
        # Negated, so that NaN counts as wrong.
        wrong = (~(deviation <= LARGEST) | ~(rows >= 0)).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            key = np.unravel_index(row, [len(v) for v in sources]) if sources else ()
            states = ", ".join(f"{v.name}={v.states[i]}" for v, i in zip(sources, key, strict=True))
            raise ModelError(
                f"the table of {name!r} has the row {rows[row].tolist()}"
                f"{f' at {states}' if states else ''}, which sums to {sums[row, 0]:.9g}; a row "
                f"must have numbers >= 0 and sum to 1 within {LARGEST:g}"
            )
        worst = float(deviation.max())
        if worst > SILENT:
            self.off[name] = worst
        if worst <= ROUNDING:
            return rows
        return np.where(deviation > ROUNDING, rows / sums, rows)

    def warn(self) -> None:
        """Issue the one warning, where any row was off by more than 1e-6."""
        if self.off:
            name = max(self.off, key=self.off.__getitem__)
            count = f"{len(self.off)} table{'s' if len(self.off) > 1 else ''}"
            warnings.warn(
                f"{self.path}: rows of {count} do not sum to 1 and were rescaled; the worst, of "
                f"{name!r}, misses it by {self.off[name]:.2g}",
                UserWarning,
                stacklevel=4,
            )
