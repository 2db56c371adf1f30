"""An arc of a probabilistic dependency graph: a belief, and how strongly it is held."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from quincunx._errors import ModelError, UnknownNameError
from quincunx.graphs.table import Floats, Names, names_of
from quincunx.graphs.variable import Variable

ROW_SUM = 1e-6  # how far a row's sum may be from one: tables are often typed with six digits


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Arc:
    """A belief ``p(targets | sources)`` with two confidences.

    ``beta`` says how much data stands behind the numbers (observational confidence), ``alpha``
    how firmly the sources are held to determine the targets by a mechanism of their own
    (structural confidence).

    Arguments:
        sources: the conditioning variables, as :class:`Variable` or by name; none for a plain
            distribution. A single variable or name may be given alone.
        targets: the variables that the arc speaks of; at least one, none of them a source.
        table: array of shape (states of sources..., states of targets...), each row over the
            targets summing to one (within 1e-6, then scaled to one); a row of NaN says nothing
            for those source states. None: structure only.
        alpha: structural confidence, any finite number, usually >= 0.
        beta: observational confidence, in [0, inf]; infinity makes the table a hard constraint.
        label: a name for messages and files; None: written from the variables.

    Raises:
        ModelError: an entry is negative, a row does not sum to one or is NaN in part, the shape
            does not fit the variables, or a confidence is out of range.

    Reference:
        O. E. Richardson, J. Y. Halpern, C. De Sa, "Inference for Probabilistic Dependency
        Graphs", UAI 2023, Section 2 (a PDG's arcs, cpds and confidences).
    """

    sources: tuple[str | Variable, ...]
    targets: tuple[str | Variable, ...]
    table: Floats | None
    alpha: float
    beta: float
    label: str | None

    def __init__(
        self,
        sources: Names,
        targets: Names,
        table: ArrayLike | None,
        alpha: float = 1.0,
        beta: float = 1.0,
        label: str | None = None,
    ) -> None:
        """Check and freeze the arc."""
        object.__setattr__(self, "sources", _members(sources))
        object.__setattr__(self, "targets", _members(targets))
        if not (label is None or isinstance(label, str)):
            raise ModelError(f"an arc's label must be a string or None, not {label!r}")
        object.__setattr__(self, "label", label)
        names = self.source_names + self.target_names
        if not self.targets:
            raise ModelError("an arc needs at least one target; this one has none")
        if len(set(names)) < len(names):
            raise ModelError(
                f"arc {self.name}: each variable may stand once, as a source or as a target"
            )
        object.__setattr__(self, "alpha", _number(alpha, f"alpha of arc {self.name}"))
        object.__setattr__(self, "beta", _number(beta, f"beta of arc {self.name}"))
        if not math.isfinite(self.alpha):
            raise ModelError(f"arc {self.name}: alpha must be a finite number, not {self.alpha}")
        if not self.beta >= 0:
            raise ModelError(f"arc {self.name}: beta must be in [0, inf], not {self.beta}")
        object.__setattr__(self, "table", None if table is None else self._checked(table))

    def _checked(self, table: ArrayLike) -> Floats:
        try:
            if np.iscomplexobj(table):  # NumPy would drop imaginary parts with a warning only
                raise TypeError("its entries are complex")
            values = np.array(table, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"arc {self.name}: the table is not an array of numbers: {error}"
            ) from None
        known = [v for v in (*self.sources, *self.targets) if isinstance(v, Variable)]
        if len(known) == len(self.sources) + len(self.targets):
            self._check_shape(values.shape, tuple(known))
        elif 0 in values.shape:
            raise ModelError(f"arc {self.name}: the table is empty, of shape {values.shape}")
        elif values.ndim != len(self.sources) + len(self.targets):
            raise ModelError(
                f"arc {self.name}: the table must have one axis a variable, sources first; "
                f"got shape {values.shape}"
            )
        rows = values.reshape(math.prod(values.shape[: len(self.sources)]), -1)
        nan = np.isnan(rows)
        # NaN compares false, so an undefined row passes these two tests.
        if (rows < 0).any() or np.isinf(rows).any():
            row = int(np.nonzero(((rows < 0) | np.isinf(rows)).any(axis=1))[0][0])
            raise ModelError(
                f"arc {self.name}: probabilities must be in [0, 1]; {self._row(row, values)} "
                f"is {rows[row].tolist()}"
            )
        partly = nan.any(axis=1) & ~nan.all(axis=1)
        if partly.any():
            row = int(np.nonzero(partly)[0][0])
            raise ModelError(
                f"arc {self.name}: {self._row(row, values)} is NaN in part; give all its "
                "numbers, or NaN throughout for a row that says nothing"
            )
        sums = rows.sum(axis=1, keepdims=True)
        bad = np.abs(sums - 1) > ROW_SUM
        if bad.any():
            row = int(np.nonzero(bad[:, 0])[0][0])
            raise ModelError(
                f"arc {self.name}: {self._row(row, values)} sums to {sums[row, 0]:.9g}, not "
                "to 1; correct it, or divide by the sum"
            )
        # A sum one rounding away from 1 is left alone, so that reading back gives the same bits.
        rows = np.where(np.abs(sums - 1) > 1e-12, rows / sums, rows)
        values = rows.reshape(values.shape)
        values.setflags(write=False)
        return values

    def _check_shape(self, shape: tuple[int, ...], variables: tuple[Variable, ...]) -> None:
        wanted = tuple(len(v) for v in variables)
        if shape != wanted:
            raise ModelError(
                f"arc {self.name}: the table must have shape {wanted}, the states of the sources "
                f"and then of the targets; got {shape}"
            )

    def _row(self, row: int, values: Floats) -> str:
        """Name a row by its source states, or by their numbers where states are not known yet."""
        if not self.sources:
            return "its only row"
        where = np.unravel_index(row, values.shape[: len(self.sources)])
        parts = []
        for source, i in zip(self.sources, where, strict=True):
            state = source.states[i] if isinstance(source, Variable) else f"#{i}"
            parts.append(f"{names_of(source)[0]}={state}")
        return "row [" + ", ".join(parts) + "]"

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources."""
        return names_of(self.sources)

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets."""
        return names_of(self.targets)

    @property
    def name(self) -> str:
        """The label, or ``targets | sources`` where there is none."""
        if self.label is not None:
            return self.label
        given = f" | {', '.join(self.source_names)}" if self.sources else ""
        return f"({', '.join(self.target_names)}{given})"

    @property
    def scope(self) -> tuple[Variable, ...]:
        """Sources and targets as variables, for an arc whose variables are all known."""
        found = tuple(v for v in (*self.sources, *self.targets) if isinstance(v, Variable))
        if len(found) < len(self.sources) + len(self.targets):
            raise ModelError(f"arc {self.name} names variables that no graph has resolved yet")
        return found

    @property
    def rows(self) -> Floats:
        """The table as [source states, target states]; all NaN where there is no table."""
        n_sources = math.prod(len(v) for v in self.scope[: len(self.sources)])
        n_targets = math.prod(len(v) for v in self.scope[len(self.sources) :])
        if self.table is None:
            return np.full((n_sources, n_targets), np.nan)
        return self.table.reshape(n_sources, n_targets)

    def resolve(self, variables: Mapping[str, Variable]) -> "Arc":
        """Replace names by the variables they stand for.

        Raises:
            UnknownNameError: a name is not among the variables.
            ModelError: the table's shape does not fit their states.
        """
        if all(isinstance(v, Variable) for v in (*self.sources, *self.targets)):
            return self
        for name in self.source_names + self.target_names:
            if name not in variables:
                raise UnknownNameError(
                    f"arc {self.name} names {name!r}, which is not a variable of the graph; pass "
                    "it as a Variable, or list it in variables="
                )
        return Arc(
            tuple(variables[n] for n in self.source_names),
            tuple(variables[n] for n in self.target_names),
            self.table,
            self.alpha,
            self.beta,
            self.label,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Make copies through the constructor, so that they are frozen too."""
        parts = (self.sources, self.targets, self.table, self.alpha, self.beta, self.label)
        return Arc, parts

    def __eq__(self, other: object) -> bool:
        """Compare all parts; rows of NaN equal each other."""
        if not isinstance(other, Arc):
            return NotImplemented
        if (self.table is None) != (other.table is None):
            return False
        same = self.table is other.table or np.array_equal(
            np.asarray(self.table), np.asarray(other.table), equal_nan=True
        )
        return same and self._parts() == other._parts()

    def __hash__(self) -> int:
        """Hash all parts but the table."""
        return hash(self._parts())

    def _parts(self) -> tuple[object, ...]:
        return (self.sources, self.targets, self.alpha, self.beta, self.label)

    def __repr__(self) -> str:
        """Write the arc in one line."""
        table = "no table" if self.table is None else f"table {self.table.shape}"
        return f"Arc({self.name}, {table}, alpha={self.alpha:g}, beta={self.beta:g})"


def _members(names: Names | None) -> tuple[str | Variable, ...]:
    if names is None:
        return ()
    if not isinstance(names, str | Variable | Iterable):
        raise ModelError(f"an arc joins variables or names of variables, not {names!r}")
    members = (names,) if isinstance(names, str | Variable) else tuple(names)
    for member in members:
        if not isinstance(member, str | Variable):
            raise ModelError(f"an arc joins variables or names of variables, not {member!r}")
    return members


def _number(value: float, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ModelError(f"{what} must be a number, not {value!r}") from None
