"""Our own format: any model as JSON, without loss.

::

    {
        "format": "quincunx",
        "version": 1,
        "model": "pdg",
        "variables": [{"name": "rain", "states": ["no", "yes"]}, ...],
        "arcs": [
            {
                "sources": ["rain"],
                "targets": ["wet"],
                "table": [[0.9, 0.1], null],
                "alpha": 1.0,
                "beta": "inf",
                "label": null,
            },
            ...,
        ],
    }

``model`` is ``"pdg"``, ``"bayesian-network"`` or ``"factor-graph"``; a factor graph has ``factors``
in place of ``arcs``: ``{"variables": ["rain"], "values": [1.0, 2.0], "weight": 1.0}``. Tables are
nested lists, the first variable outermost, sources before targets; ``null`` stands for a missing
table and for an undefined row or entry. Infinities are the strings ``"inf"`` and ``"-inf"``.
``alpha`` and ``beta`` (1), ``label`` (null), ``weight`` (1) may be left out.
"""

import json
import math
from collections.abc import Mapping
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from quincunx._errors import FileFormatError, ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.factor_graph import FactorGraph
from quincunx.graphs.memory import require_memory
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Floats, Table
from quincunx.graphs.variable import Variable

VERSION = 1
_KINDS: dict[str, type] = {
    "pdg": PDG,
    "bayesian-network": BayesianNetwork,
    "factor-graph": FactorGraph,
}


def dumps(model: PDG | BayesianNetwork | FactorGraph) -> str:
    """Write a model as JSON text that reads back as the same model.

    Raises:
        ModelError: it is no model, or a state is an infinity or NaN.
    """
    kind = next((k for k, cls in _KINDS.items() if type(model) is cls), None)
    if kind is None:
        raise ModelError(f"expected a PDG, Bayesian network or factor graph, not {model!r}")
    for v in model.variables:
        for state in v.states:
            if isinstance(state, float) and not math.isfinite(state):
                raise ModelError(f"JSON cannot hold the state {state} of {v.name!r}; make it text")
    if isinstance(model, FactorGraph):
        key, items = "factors", list(map(_factor_out, model.factors, model.weights))
    else:
        key, items = "arcs", list(map(_arc_out, model.arcs))
    variables = [{"name": v.name, "states": list(v.states)} for v in model.variables]
    head = {"format": "quincunx", "version": VERSION, "model": kind}
    lines = [f"{_line(k)}: {_line(v)}" for k, v in head.items()]
    for name, entries in (("variables", variables), (key, items)):
        body = ",\n  ".join(map(_line, entries))
        lines.append(f'"{name}": [\n  {body}\n ]' if entries else f'"{name}": []')
    return "{" + ",\n ".join(lines) + "}\n"


def loads(text: str, path: str = "<text>") -> PDG | BayesianNetwork | FactorGraph:
    """Read a model from JSON text.

    Arguments:
        text: the file's content.
        path: its name, for messages.

    Raises:
        FileFormatError: the text is not strict JSON (with the line), or a key is unknown, missing
            or holds something else than it should (with the key).
    """
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise FileFormatError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise FileFormatError(f"{path}: lists nested too deeply for a model") from None
    except ValueError as error:
        raise FileFormatError(f"{path}: {error}") from None
    try:
        return _model(data)
    except ModelError as error:
        raise FileFormatError(f"{path}: {error}") from None


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _arc_out(arc: Arc) -> dict[str, object]:
    # Null in place of the whole list would be a missing table.
    depth = max(len(arc.sources), 1)
    return {
        "sources": arc.source_names,
        "targets": arc.target_names,
        "table": None if arc.table is None else _undefined(arc.table, depth),
        "alpha": _number_out(arc.alpha),
        "beta": _number_out(arc.beta),
        "label": arc.label,
    }


def _factor_out(table: Table, weight: float) -> dict[str, object]:
    return {"variables": table.names, "values": table.values.tolist(), "weight": weight}


def _number_out(number: float) -> float | str:
    return number if math.isfinite(number) else str(number)


def _undefined(table: Floats, depth: int) -> Any:
    """Return nested lists with null in place of undefined rows."""
    if not np.isnan(table).any():
        return table.tolist()
    return [_undefined(part, depth - 1) for part in table] if depth else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [k for k, _ in pairs]
        twice = next(k for k in names if names.count(k) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _constant(word: str) -> NoReturn:
    raise ValueError(f'{word} is not JSON; write null for undefined, "inf" for infinite')


def _model(data: Any) -> PDG | BayesianNetwork | FactorGraph:
    if not isinstance(data, dict) or data.get("format") != "quincunx":
        raise ModelError('expected an object with "format": "quincunx"')
    version = data.get("version")
    if type(version) is not int or version != VERSION:
        raise ModelError(
            f'"version" is {version!r}; this release reads {VERSION}, so a later one is needed'
        )
    kind = data.get("model")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelError(f'"model" is {kind!r}; expected one of {", ".join(_KINDS)}')
    key = "factors" if kind == "factor-graph" else "arcs"
    _keys(data, "the file", ("format", "version", "model", "variables", key))
    variables = [
        _variable(v, f"variables[{i}]") for i, v in enumerate(_list(data["variables"], "variables"))
    ]
    # A name that comes twice is refused by the model itself, which gets the list.
    named = {v.name: v for v in variables}
    items = list(enumerate(_list(data[key], key)))
    if kind == "factor-graph":
        factors = [_factor(f, f"factors[{i}]", named) for i, f in items]
        return FactorGraph([t for t, _ in factors], [w for _, w in factors], variables)
    arcs = [_arc(a, f"arcs[{i}]", named) for i, a in items]
    return PDG(arcs, variables) if kind == "pdg" else BayesianNetwork(arcs, variables)


def _keys(data: Any, where: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    if not isinstance(data, dict):
        raise ModelError(f"{where} should be an object with {', '.join(needed)}, not {data!r:.40}")
    for key in data:
        if key not in needed + optional:
            raise ModelError(
                f"{where} has the unknown key {key!r}; known are {', '.join(needed + optional)}"
            )
    for key in needed:
        if key not in data:
            raise ModelError(f"{where} lacks the key {key!r}")


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ModelError(f"{where} should be a list, not {value!r:.40}")
    return value


def _variable(data: Any, where: str) -> Variable:
    _keys(data, where, ("name", "states"))
    return Variable(data["name"], _list(data["states"], f"{where}.states"))


def _named(data: Any, where: str, variables: Mapping[str, Variable]) -> list[Variable]:
    names = _list(data, where)
    for name in names:
        if not isinstance(name, str) or name not in variables:
            raise ModelError(f"{where} has {name!r:.80}, which is not the name of a variable")
    return [variables[name] for name in names]


def _arc(data: Any, where: str, variables: Mapping[str, Variable]) -> Arc:
    _keys(data, where, ("sources", "targets", "table"), ("alpha", "beta", "label"))
    sources = _named(data["sources"], f"{where}.sources", variables)
    targets = _named(data["targets"], f"{where}.targets", variables)
    shape = [len(v) for v in (*sources, *targets)]
    table = None if data["table"] is None else _array(data["table"], shape, f"{where}.table")
    label = data.get("label")
    if not isinstance(label, str | None):
        raise ModelError(f"{where}.label should be a string or null, not {label!r:.40}")
    alpha, beta = (_number(data.get(key, 1.0), f"{where}.{key}") for key in ("alpha", "beta"))
    return Arc(sources, targets, table, alpha, beta, label)


def _factor(data: Any, where: str, variables: Mapping[str, Variable]) -> tuple[Table, float]:
    _keys(data, where, ("variables", "values"), ("weight",))
    scope = _named(data["variables"], f"{where}.variables", variables)
    values = _array(data["values"], [len(v) for v in scope], f"{where}.values")
    return Table(scope, values), _number(data.get("weight", 1.0), f"{where}.weight")


def _number(value: Any, where: str) -> float:
    if value in ("inf", "-inf"):
        return float(value)
    if type(value) not in (int, float):
        raise ModelError(f'{where} should be a number, "inf" or "-inf", not {value!r:.40}')
    try:
        return float(value)
    except OverflowError:
        raise ModelError(f"{where} is too large a number") from None


def _array(value: Any, shape: list[int], where: str) -> Floats:
    """Read nested lists level by level; null stands for whatever would be there, undefined."""
    require_memory(16 * math.prod(shape), where)
    level = [value]
    for axis, size in enumerate(shape):
        for part in level:
            if part is not None and (not isinstance(part, list) or len(part) != size):
                found = f"{len(part)} entries" if isinstance(part, list) else f"{part!r:.40}"
                raise ModelError(
                    f"{where} should be nested lists of lengths {shape}; at depth {axis} it has "
                    f"{found} in place of {size}"
                )
        level = list(chain.from_iterable([None] * size if p is None else p for p in level))
    if not set(map(type, level)) <= {int, float, type(None)}:
        wrong = next(p for p in level if type(p) not in (int, float, type(None)))
        raise ModelError(f"{where} has {wrong!r:.40} where a number or null should be")
    try:
        return np.array(level, np.float64).reshape(shape)
    except OverflowError:
        raise ModelError(f"{where} has a number too large for a float") from None
