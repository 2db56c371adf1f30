"""Data sets in CSV files, with every number kept exactly."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from quincunx._atomic import atomic_write
from quincunx._errors import FileFormatError, ModelError
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.rationals import rational, written

__all__ = ["read_points", "write_points"]

LABELS = ("y", "label")
COUNTS = ("count", "multiplicity", "weight")


def read_points(path: str | os.PathLike[str], *, l2: Any = 0.0) -> Logistic:
    """Read a data set: a row a point, numbers such as 2, -0.892 or 1/3.

    If the first row has names, a column ``y`` or ``label`` (-1 and 1, or 0 and 1) multiplies its
    row's coordinates, and a column ``count`` tells how often the point counts. Without names all
    columns are coordinates, with labels folded in.

    Arguments:
        path: a CSV file in UTF-8.
        l2: of the problem.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: a row does not fit; the message gives the line.
        ModelError: the points make no problem.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"{path} is no CSV file in UTF-8: {error}") from None
    rows = [(line, row) for line, row in rows if any(row) and not row[0].startswith("#")]
    if not rows:
        raise FileFormatError(f"{path} has no rows; write a point on each line, such as 1,-0.5")
    names = _names(rows[0][1])
    if names:
        rows = rows[1:]
    width = len(names) or len(rows[0][1])
    labels = next((i for i, name in enumerate(names) if name in LABELS), None)
    counts = next((i for i, name in enumerate(names) if name in COUNTS), None)
    points, weights = [], []
    for line, row in rows:
        if len(row) != width:
            raise FileFormatError(
                f"{path}, line {line}: {len(row)} cells, where {width} are wanted"
            )
        try:
            numbers = [rational(cell, "a cell") for cell in row]
        except ModelError as error:
            raise FileFormatError(f"{path}, line {line}: {error}") from None
        sign = _sign(numbers[labels], path, line) if labels is not None else 1
        points.append([sign * v for i, v in enumerate(numbers) if i not in (labels, counts)])
        weights.append(numbers[counts] if counts is not None else Fraction(1))
    return Logistic(points, weights, l2)


def _names(row: Sequence[str]) -> list[str]:
    """Return the names of columns, or nothing where the row has numbers, if perhaps misspelt ones.

    Raises:
        FileFormatError: a name stands twice.
    """
    if not all(cell.isidentifier() and cell.lower() not in ("nan", "inf") for cell in row):
        return []
    names = [name.lower() for name in row]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise FileFormatError(f"the first line names the column {twice[0]!r} twice")
    return names


def _sign(label: Fraction, path: Any, line: int) -> int:
    if label not in (-1, 0, 1):
        raise FileFormatError(f"{path}, line {line}: label {label}; use -1 and 1, or 0 and 1")
    return 1 if label == 1 else -1


def write_points(path: str | os.PathLike[str], problem: Logistic) -> None:
    """Write a data set as :func:`read_points` reads it, exactly; the L2 term is not written.

    Arguments:
        path: the file, replaced if it exists.
        problem: its points and multiplicities.
    """
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(f"z{i + 1}" for i in range(problem.dimension)), "count"])
        for z, count in zip(problem.exact.points, problem.exact.weights, strict=True):
            writer.writerow([*map(written, z), written(count)])
