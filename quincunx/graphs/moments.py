"""Mean and variance of a number that depends on the joint state of some variables."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from quincunx._errors import ModelError
from quincunx.graphs.table import Floats, Table

StateValues: TypeAlias = ArrayLike | Mapping[Any, float] | Callable[..., float]


def mean_and_variance(table: Table, values: StateValues) -> tuple[float, float]:
    """Return the mean and the variance of ``values`` under a distribution.

    Arguments:
        table: the distribution, total 1.
        values: for each joint state a number. An array of the table's shape; or a mapping with
            the keys of :meth:`Table.to_dict`, a state or a tuple of states; or a function of one
            state a variable. Only states with positive probability are looked up.

    Raises:
        ModelError: the shape does not fit, a state is missing, or a value is not a finite number.
    """
    at = table.values.ravel() > 0
    p = table.values.ravel()[at]
    f = _as_array(table, values).ravel()[at]
    if not np.isfinite(f).all():
        raise ModelError(
            f"the value of a possible state of {', '.join(table.names)} is "
            f"{f[~np.isfinite(f)][0]}; expectations need finite numbers"
        )
    mean = float(p @ f)
    return mean, float(p @ (f - mean) ** 2)


def _as_array(table: Table, values: StateValues) -> Floats:
    if callable(values) or isinstance(values, Mapping):
        look_up = values if callable(values) else _from_mapping(table, values)
        keys = product(*(v.states for v in table.variables))
        found = np.zeros(table.values.size)
        for i, (key, p) in enumerate(zip(keys, table.values.flat, strict=True)):
            if p > 0:
                found[i] = _number(look_up(*key), key)
        return found
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"values must be numbers, a mapping or a function: {error}") from None
    if array.shape != table.values.shape:
        raise ModelError(
            f"values of {', '.join(table.names)} need one number a joint state, an array of shape "
            f"{table.values.shape}; got shape {array.shape}"
        )
    return array


def _from_mapping(table: Table, values: Mapping[Any, float]) -> Callable[..., float]:
    def look_up(*key: Any) -> float:
        wanted = key[0] if len(key) == 1 else key
        if wanted not in values:
            raise ModelError(
                f"values has no number for the state {wanted!r} of {', '.join(table.names)}, "
                "which is possible; add it"
            )
        return values[wanted]

    return look_up


def _number(value: Any, key: tuple[Any, ...]) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        shown = ", ".join(map(repr, key))
        raise ModelError(f"the value of state {shown} must be a number, not {value!r}") from None
