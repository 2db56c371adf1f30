"""A finite random variable: a name and its states."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from quincunx._errors import ModelError, UnknownNameError

State: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A finite random variable.

    Arguments:
        name: its name, a non-empty string.
        states: its states, at least one; strings, integers, floats or booleans whose written
            forms differ, because files and the command line know states by their written form.

    Raises:
        ModelError: the name is empty, or the states are none, repeated or of another type.

    Example:
        >>> Variable("weather", ["sun", "rain"]).index("rain")
        1
    """

    name: str
    states: tuple[State, ...]

    def __init__(self, name: str, states: Iterable[State]) -> None:
        """Check and freeze the name and the states."""
        if not isinstance(name, str) or not name:
            raise ModelError(f"a variable's name must be a non-empty string, not {name!r}")
        if isinstance(states, str | bytes | set | frozenset) or not isinstance(states, Iterable):
            raise ModelError(
                f"the states of {name!r} must be a list of states, in the order that tables have, "
                f"not {states!r}; for a yes/no variable give ['no', 'yes']"
            )
        # NumPy scalars have .item(); plain Python values do not.
        given: Iterable[Any] = states
        plain = tuple(s.item() if getattr(s, "shape", None) == () else s for s in given)
        if not plain:
            raise ModelError(f"variable {name!r} has no states; give at least one")
        for state in plain:
            if not isinstance(state, str | int | float) or state != state:
                raise ModelError(
                    f"state {state!r} of {name!r} is a {type(state).__name__}; "
                    "states are strings, integers, floats or booleans, and not NaN"
                )
        seen: set[object] = set()
        for state in plain:
            # 1, 1.0 and True are equal, so they would be one key in a dictionary of results.
            if state in seen or ("written", str(state)) in seen:
                raise ModelError(
                    f"variable {name!r} has the state {state!r} twice; make its states distinct, "
                    "as values and as written"
                )
            seen.update((state, ("written", str(state))))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "states", plain)

    def __eq__(self, other: object) -> bool:
        """Compare names and states, telling 1, 1.0 and True apart."""
        if self is other:
            return True
        if not isinstance(other, Variable):
            return NotImplemented
        kinds = tuple(map(type, self.states)) == tuple(map(type, other.states))
        return kinds and (self.name, self.states) == (other.name, other.states)

    def __hash__(self) -> int:
        """Hash the name and the states."""
        return hash((self.name, self.states))

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self.states)

    def index(self, state: State) -> int:
        """Return the position of a state, given as itself or in its written form.

        Raises:
            UnknownNameError: the variable has no such state; the message lists those it has.
        """
        written = str(state)
        for i, own in enumerate(self.states):
            if str(own) == written:
                return i
        shown = ", ".join(map(repr, self.states[:12])) + (", ..." if len(self) > 12 else "")
        raise UnknownNameError(f"{self.name!r} has no state {state!r}; its states are {shown}")


def find_variable(variables: Iterable[Variable], name: str) -> Variable:
    """Return the variable of that name, or raise with the names that exist."""
    known = tuple(variables)
    for variable in known:
        if variable.name == name:
            return variable
    shown = ", ".join(v.name for v in known[:12]) + (", ..." if len(known) > 12 else "")
    raise UnknownNameError(f"there is no variable {name!r}; there are: {shown or 'none'}")
