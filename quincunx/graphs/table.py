"""Labelled tables of non-negative numbers: factors, marginals and conditionals."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quincunx._errors import ModelError, TooLargeError, UnknownNameError, need_extra
from quincunx.graphs.html import html_table
from quincunx.graphs.memory import require_memory
from quincunx.graphs.variable import State, Variable

Floats: TypeAlias = NDArray[np.float64]
Names: TypeAlias = str | Variable | Iterable[str | Variable]

MAX_AXES = 64  # NumPy's own limit


def members_of(names: Names) -> tuple[str | Variable, ...]:
    """Return names and variables as a tuple, from one or from several."""
    if isinstance(names, str | Variable):
        return (names,)
    if not isinstance(names, Iterable):
        raise ModelError(f"names of variables are wanted, one or a list; not {names!r}")
    return tuple(names)


def names_of(names: Names) -> tuple[str, ...]:
    """Return variable names as a tuple, from one name or variable or from several."""
    return tuple(n.name if isinstance(n, Variable) else n for n in members_of(names))


def distinct_names(names: Names, variables: Iterable[Variable]) -> tuple[str, ...]:
    """Return the names asked for, after checking them against the variables there are.

    Raises:
        ModelError: a name is asked for twice, or a variable with other states is meant.
    """
    known = {v.name: v for v in variables}
    asked = members_of(names)
    for member in asked:
        if isinstance(member, Variable) and known.get(member.name, member) != member:
            raise ModelError(
                f"variable {member.name!r} has states {known[member.name].states} here, "
                f"not {member.states}"
            )
    found = names_of(asked)
    if len(set(found)) < len(found):
        raise ModelError(f"each variable may be named once; got {', '.join(map(str, found))}")
    return found


def variables_of(variables: object) -> tuple[Variable, ...]:
    """Return variables as a tuple, or raise :class:`ModelError` where they are something else."""
    if not isinstance(variables, Iterable) or isinstance(variables, str):
        raise ModelError(f"a list of variables is wanted, not {variables!r}")
    found = tuple(variables)
    for member in found:
        if not isinstance(member, Variable):
            raise ModelError(f"a list of variables is wanted; it holds {member!r}")
    return found


def xlogx(values: Floats) -> Floats:
    """Return ``x log x`` entry by entry, in nats, with ``0 log 0 = 0``."""
    out = np.zeros_like(values)
    np.log(values, out=out, where=values > 0)
    return out * values


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Table:
    """A non-negative table over the joint states of some variables.

    Arguments:
        variables: one variable an axis, no name twice.
        values: array of float64 of shape ``[len(v) for v in variables]``; entries >= 0. It is
            copied and frozen.

    Raises:
        ModelError: shape and variables do not fit, a name repeats, or an entry is negative or NaN.
    """

    variables: tuple[Variable, ...]
    values: Floats

    def __init__(self, variables: Iterable[Variable], values: ArrayLike) -> None:
        """Check and freeze the table."""
        vs = variables_of(variables)
        names = [v.name for v in vs]
        try:
            if np.iscomplexobj(values):  # NumPy would drop imaginary parts with a warning only
                raise TypeError("its entries are complex")
            array = np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ModelError(f"a table over {names} must hold numbers: {error}") from None
        if len(set(names)) < len(names):
            raise ModelError(f"a table's variables must differ; got {names}")
        shape = tuple(len(v) for v in vs)
        if array.shape != shape:
            raise ModelError(
                f"a table over {names} must have shape {shape}, one axis a variable; "
                f"got shape {array.shape}"
            )
        if not (array >= 0).all():
            flat = int(np.flatnonzero(~(array >= 0))[0])
            where = tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()
            at = ", ".join(f"{v.name}={v.states[i]}" for v, i in zip(vs, where, strict=True))
            raise ModelError(
                f"a table's entries must be >= 0; at {at or 'its only entry'} it has {array[where]}"
            )
        array.setflags(write=False)
        object.__setattr__(self, "variables", vs)
        object.__setattr__(self, "values", array)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables, in the order of the axes."""
        return tuple(v.name for v in self.variables)

    def _axes(self, wanted: Names) -> tuple[int, ...]:
        own = self.names
        wanted = members_of(wanted)
        for name in names_of(wanted):
            if name not in own:
                raise UnknownNameError(
                    f"the table has no variable {name!r}; it has {', '.join(own) or 'none'}"
                )
        return tuple(own.index(name) for name in distinct_names(wanted, self.variables))

    def __eq__(self, other: object) -> bool:
        """Compare variables, their order, and values."""
        if not isinstance(other, Table):
            return NotImplemented
        return self.variables == other.variables and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        """Hash the variables."""
        return hash(self.variables)

    def __reduce__(self) -> tuple[Any, ...]:
        """Make copies through the constructor, so that they are frozen too."""
        return Table, (self.variables, self.values)

    def marginal(self, targets: Names) -> "Table":
        """Sum out all other variables; the axes come in the order asked.

        Raises:
            UnknownNameError: a target is not in the table.
        """
        keep = self._axes(targets)
        rest = tuple(i for i in range(len(self.variables)) if i not in keep)
        # After the sum, the kept axes stand in their old order.
        order = np.argsort(np.argsort(keep)) if keep else ()
        values = self.values.sum(axis=rest).transpose(tuple(int(i) for i in order))
        return Table((self.variables[i] for i in keep), values)

    def conditional(self, given: Names) -> "Conditional":
        """Divide by the marginal of ``given``: ``p(rest | given)``, undefined rows as NaN.

        Returns:
            The conditioning variables, the others, and an array of shape (states of given...,
            states of the others...), the form that :class:`quincunx.Arc` takes.
        """
        sources = tuple(self.variables[i] for i in self._axes(given))
        names = tuple(v.name for v in sources)
        targets = tuple(v for v in self.variables if v.name not in names)
        joint = self.marginal((*sources, *targets)).values
        rows = joint.reshape(math.prod(len(v) for v in sources), -1)
        mass = rows.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(mass > 0, rows / mass, np.nan).reshape(joint.shape)
        values.setflags(write=False)
        return Conditional(sources, targets, values)

    def select(self, given: Mapping[str, State]) -> "Table":
        """Fix some variables at a state and drop their axes (the table is not rescaled)."""
        axes = self._axes(tuple(given))
        index: list[int | slice] = [slice(None)] * len(self.variables)
        for axis, state in zip(axes, given.values(), strict=True):
            index[axis] = self.variables[axis].index(state)
        kept = (v for i, v in enumerate(self.variables) if i not in axes)
        return Table(kept, self.values[tuple(index)])

    def normalized(self) -> "Table":
        """Divide by the total.

        Raises:
            ModelError: the total is zero or infinite.
        """
        total = float(self.values.sum())
        if not 0 < total < math.inf:
            raise ModelError(f"a table with total {total} cannot be scaled to one")
        return Table(self.variables, self.values / total)

    def entropy(self, given: Names = ()) -> float:
        """Entropy of the table in nats, or of the rest given some variables; total must be 1."""
        joint = float(xlogx(self.values).sum())
        return float(xlogx(self.marginal(given).values).sum()) - joint

    def __mul__(self, other: "Table") -> "Table":
        """Multiply entry by entry over the union of the variables.

        Raises:
            ModelError: a shared name has other states in the two tables.
            TooLargeError: the product does not fit into memory.
        """
        if not isinstance(other, Table):
            return NotImplemented
        union = merge_variables((*self.variables, *other.variables))
        require_table(union)
        return Table(union, align(self, union) * align(other, union))

    def to_dict(self) -> dict[Any, float]:
        """Return ``{state: value}`` for one variable, ``{(state, ...): value}`` for several."""
        if len(self.variables) == 1:
            keys: Iterable[Any] = self.variables[0].states
        else:
            keys = product(*(v.states for v in self.variables))
        return dict(zip(keys, self.values.ravel().tolist(), strict=True))

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row an entry (extra ``pgmpy`` brings pandas)."""
        need_extra("pandas", "pgmpy", "a data frame")
        import pandas as pd

        rows = list(product(*(v.states for v in self.variables)))
        frame = pd.DataFrame(rows, columns=list(self.names))
        frame["probability"] = self.values.ravel()
        return frame

    def __repr__(self) -> str:
        """Write the table as lines of text, at most twelve entries."""
        entries = self.to_dict() if self.values.size <= 4096 else {}
        head = f"Table({', '.join(self.names)})"
        if not entries:
            return f"{head} with {self.values.size} entries"
        lines = []
        for key, value in list(entries.items())[:12]:
            states = key if isinstance(key, tuple) else (key,)
            lines.append("  " + ", ".join(map(str, states)) + f": {value:.6g}")
        if len(entries) > 12:
            lines.append(f"  ... {len(entries)} entries")
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        """Write the table for a notebook."""
        keys = product(*(v.states for v in self.variables))
        rows = ((*key, f"{x:.6g}") for key, x in zip(keys, self.values.flat, strict=True))
        return html_table("", (*self.names, "value"), rows, self.values.size)


@dataclass(frozen=True, slots=True, eq=False)
class Conditional:
    """A conditional table ``p(targets | sources)``; undefined rows are NaN.

    Attributes:
        sources: conditioning variables, first axes of ``values``.
        targets: the others, last axes of ``values``.
        values: float64 array of shape (states of sources..., states of targets...).
    """

    sources: tuple[Variable, ...]
    targets: tuple[Variable, ...]
    values: Floats


def merge_variables(variables: Iterable[Variable]) -> tuple[Variable, ...]:
    """Return the distinct variables in order of first appearance.

    Raises:
        ModelError: one name appears with two different lists of states.
    """
    found: dict[str, Variable] = {}
    for variable in variables:
        known = found.setdefault(variable.name, variable)
        if known != variable:
            raise ModelError(
                f"variable {variable.name!r} appears with states {known.states} and with "
                f"states {variable.states}; use one of the two everywhere"
            )
    return tuple(found.values())


def align(table: Table, variables: Sequence[Variable]) -> Floats:
    """View a table's values with one axis for each of ``variables``, of length 1 where absent."""
    own = table.names
    order = [own.index(v.name) for v in variables if v.name in own]
    shape = [len(v) if v.name in own else 1 for v in variables]
    return table.values.transpose(order).reshape(shape)


def require_table(variables: Sequence[Variable]) -> None:
    """Raise :class:`TooLargeError` if a joint table over the variables would not fit."""
    if len(variables) > MAX_AXES:
        raise TooLargeError(
            f"a table over {len(variables)} variables was asked for; {MAX_AXES} is the most"
        )
    cells = math.prod(len(v) for v in variables)
    entries = f"{cells:.3g}" if cells < 2**1000 else f"about 2^{cells.bit_length() - 1}"
    require_memory(8 * cells, f"a joint table over {len(variables)} variables ({entries} entries)")
