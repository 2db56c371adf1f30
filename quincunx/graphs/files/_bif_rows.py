"""The rows of a probability block in a BIF file, turned into arrays many at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx.graphs.files._text import Source
from quincunx.graphs.memory import require_memory
from quincunx.graphs.table import Floats
from quincunx.graphs.variable import Variable


@dataclass(frozen=True, slots=True)
class Known:
    """A variable, and the place of each of its states as the file writes it."""

    variable: Variable
    place: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Block:
    """A probability block: where its body begins, its header and its body."""

    start: int
    header: str
    body: str


def split(text: str) -> list[str]:
    """Split a list of names at its commas."""
    return [part for part in map(str.strip, text.split(",")) if part]


@dataclass(frozen=True, slots=True)
class Rows:
    """The statements of a probability block, read into a table of shape [rows, child's states]."""

    source: Source
    block: Block
    child: Known
    parents: Sequence[Known]

    def read(self) -> Floats:
        """Read the statements, all rows or a table of all numbers."""
        width = len(self.child.variable)
        height = math.prod(len(p.variable) for p in self.parents)
        require_memory(8 * width * height, f"the table of {self.child.variable.name!r}")
        keys: list[str] = []
        numbers: list[str] = []
        where: list[int] = []  # the statement of each row, for messages
        rest: Floats | None = None
        statements = [s.strip() for s in self.block.body.split(";")]
        for index, words in enumerate(statements):
            if words.startswith("("):
                key, _, entries = words[1:].partition(")")
                keys.append(key)
                numbers.append(entries)
                where.append(index)
            elif words.startswith("table"):
                if any(statements[:index] + statements[index + 1 :]):
                    self.fail(index, "a table gives all numbers, so nothing may stand beside it")
                values = self.numbers([words[5:]], width * height, [index])
                # The child's state changes slowest.
                return values.reshape(width, height).T.copy()
            elif words.startswith("default"):
                rest = self.numbers([words[7:]], width, [index])
            elif words:
                self.fail(index, f"expected a row, table or default; found {words[:40]!r}")
        values = self.numbers(numbers, width, where)
        return self.filled(keys, values, where, rest, height)

    def filled(
        self, keys: list[str], values: Floats, where: list[int], rest: Floats | None, height: int
    ) -> Floats:
        """Put the rows in their places."""
        rows = self.places(keys, where)
        table = np.full((height, values.shape[1]), np.nan)
        if rest is not None:
            table[:] = rest
        table[rows] = values
        given = np.bincount(rows, minlength=height)
        if given.max(initial=0) > 1:
            twice = int(np.nonzero(given[rows] > 1)[0][-1])
            self.fail(where[twice], f"the row ({keys[twice]}) comes twice")
        if rest is None and not given.all():
            row = np.unravel_index(int(given.argmin()), [len(p.variable) for p in self.parents])
            states = (p.variable.states[i] for p, i in zip(self.parents, row, strict=True))
            missing = ", ".join(map(str, states))
            raise ModelError(
                f"the table of {self.child.variable.name!r} lacks {int((given == 0).sum())} of its "
                f"{height} rows, the first at ({missing}); give them, or a default"
            )
        return table

    def places(self, keys: list[str], where: list[int]) -> NDArray[np.intp]:
        """Return the row number of each key, the states of the parents."""
        count = len(self.parents)
        if any(key.count(",") != count - 1 for key in keys):
            keys = [",".join(key.replace(",", " ").split()) for key in keys]
            for index, key in zip(where, keys, strict=True):
                if len(split(key)) != count:
                    self.fail(index, f"expected the states of {count} parents; found ({key})")
        states = list(map(str.strip, ",".join(keys).split(",")))
        rows = np.zeros(len(keys), np.intp)
        for first, parent in enumerate(self.parents):
            own = states[first::count]
            try:
                codes = [parent.place[s] for s in own]
            except KeyError:
                wrong = next(i for i, s in enumerate(own) if s not in parent.place)
                name = parent.variable.name
                self.fail(where[wrong], f"{own[wrong]!r} is not a state of {name!r}")
            rows = rows * len(parent.variable) + np.array(codes, np.intp)
        return rows

    def numbers(self, entries: list[str], width: int, where: list[int]) -> Floats:
        """Return all entries as numbers, of shape [entries, width]."""
        try:
            return _floats(entries, width)
        except ValueError:
            # Commas may be missing, or one too many; look again, entry by entry.
            entries = [",".join(e.replace(",", " ").split()) for e in entries]
        for index, entry in zip(where, entries, strict=True):
            try:
                _floats([entry], width)
            except ValueError as error:
                self.fail(index, f"expected {width} numbers; {error}")
        return _floats(entries, width)

    def fail(self, index: int, message: str) -> NoReturn:
        """Raise the error that names the line of a statement."""
        statements = self.block.body.split(";")
        before = sum(len(s) + 1 for s in statements[:index])
        blank = len(statements[index]) - len(statements[index].lstrip())
        raise self.source.fault(self.block.start + before + blank, message)


def _floats(entries: list[str], width: int) -> Floats:
    if not entries:
        return np.empty((0, width))
    for entry in entries:
        if entry.count(",") != width - 1:
            raise ValueError(f"found {entry.count(',') + 1}")
    return np.array(",".join(entries).split(","), np.float64).reshape(-1, width)
