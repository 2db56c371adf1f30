"""The UAI format of the inference competitions: networks and factor graphs without names."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from quincunx._errors import FileFormatError, ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.factor_graph import FactorGraph
from quincunx.graphs.files._text import RowSums
from quincunx.graphs.memory import require_memory
from quincunx.graphs.table import Floats, Table
from quincunx.graphs.variable import Variable


def loads(text: str, path: str = "<text>") -> BayesianNetwork | FactorGraph:
    """Read a model from the text of a UAI file.

    The variables are named ``X0``, ``X1``, ...; the states of each are the integers from 0. In a
    ``BAYES`` file the child is the last variable of its scope; rows that miss one by at most 1e-2
    are rescaled, with one warning where any was off by more than 1e-6.

    Arguments:
        text: the file's content.
        path: its name, for messages.

    Returns:
        A Bayesian network for ``BAYES``, a factor graph for ``MARKOV``.

    Raises:
        FileFormatError: a count is wrong, the file ends early or goes on; the message gives the
            line.

    Reference:
        UAI 2014 Inference Competition, "File formats: model format".
    """
    tokens = _Tokens(path, text, text.split())
    kind = tokens.word("MARKOV or BAYES")
    if kind not in ("MARKOV", "BAYES"):
        raise tokens.fault(f"a UAI file begins with MARKOV or BAYES, not {kind[:40]!r}")
    count = tokens.integer("the number of variables", 1)
    sizes = [tokens.integer(f"the number of states of X{i}", 1) for i in range(count)]
    require_memory(64 * sum(sizes), f"{sum(sizes):.3g} states")
    variables = [Variable(f"X{i}", range(size)) for i, size in enumerate(sizes)]
    scopes = [_scope(tokens, f, variables) for f in range(tokens.integer("the number of tables"))]
    tables = [_values(tokens, f, scope) for f, scope in enumerate(scopes)]
    if tokens.at < len(tokens.words):
        tokens.at += 1
        raise tokens.fault(f"the file should end after its last table; found {tokens.words[-1]!r}")
    try:
        if kind == "BAYES":
            return _network(path, scopes, tables, variables)
        return FactorGraph(map(Table, scopes, tables), variables=variables)
    except ModelError as error:
        raise FileFormatError(f"{path}: {error}") from None


def dumps(model: BayesianNetwork | FactorGraph) -> str:
    """Write a model as the text of a UAI file; numbers read back the same.

    Labels and confidences, which have no part in a network, are not written.

    Raises:
        ModelError: the model is neither a Bayesian network nor a factor graph; its variables have
            names, which a UAI file cannot hold (see :func:`anonymous`); a factor has a weight.
    """
    if isinstance(model, BayesianNetwork):
        kind, scopes = "BAYES", [a.scope for a in model.arcs]
        arrays = [a.rows for a in model.arcs]
    elif isinstance(model, FactorGraph):
        if any(w != 1 for w in model.weights):
            raise ModelError(
                "UAI cannot hold a factor's weight; raise the factor to that power, or write a "
                ".json file"
            )
        kind, scopes = "MARKOV", [t.variables for t in model.factors]
        arrays = [t.values for t in model.factors]
    else:
        raise ModelError(
            "a UAI file holds a Bayesian network or a factor graph, not a "
            f"{type(model).__name__}; write a .json file"
        )
    for i, variable in enumerate(model.variables):
        if variable != Variable(f"X{i}", range(len(variable))):
            raise ModelError(
                f"UAI holds no names, and {variable.name!r} would read back as 'X{i}' with states "
                "0, 1, ...; write quincunx.graphs.files.uai.anonymous(model) instead"
            )
    place = {v.name: str(i) for i, v in enumerate(model.variables)}
    lines = [kind, str(len(place)), " ".join(str(len(v)) for v in model.variables)]
    lines.append(str(len(scopes)))
    lines += [" ".join([str(len(s)), *(place[v.name] for v in s)]) for s in scopes]
    for array in arrays:
        lines += ["", str(array.size), " ".join(map(repr, array.ravel().tolist()))]
    return "\n".join(lines) + "\n"


def anonymous(model: BayesianNetwork | FactorGraph) -> BayesianNetwork | FactorGraph:
    """Return the model with its variables renamed ``X0``, ``X1``, ... and states 0, 1, ...

    The order is that of ``model.variables``, which is the key to the new names.
    """
    fresh = {v.name: Variable(f"X{i}", range(len(v))) for i, v in enumerate(model.variables)}

    def renamed(variables: Iterable[Variable]) -> list[Variable]:
        return [fresh[v.name] for v in variables]

    if isinstance(model, FactorGraph):
        tables = (Table(renamed(t.variables), t.values) for t in model.factors)
        return FactorGraph(tables, model.weights, fresh.values())
    arcs = (Arc(renamed(a.scope[:-1]), fresh[a.scope[-1].name], a.table) for a in model.arcs)
    return BayesianNetwork(arcs, fresh.values())


def _network(
    path: str, scopes: list[list[Variable]], tables: list[Floats], variables: list[Variable]
) -> BayesianNetwork:
    sums = RowSums(path)
    arcs = []
    for scope, table in zip(scopes, tables, strict=True):
        if not scope:
            raise ModelError("a table of a BAYES file must have a variable, and one has none")
        rows = sums.scaled(table.reshape(-1, len(scope[-1])), scope[-1].name, scope[:-1])
        arcs.append(Arc(scope[:-1], scope[-1], rows.reshape(table.shape)))
    network = BayesianNetwork(arcs, variables)
    sums.warn()
    return network


def _scope(tokens: "_Tokens", table: int, variables: list[Variable]) -> list[Variable]:
    count = tokens.integer(f"the number of variables of table {table}")
    scope = []
    for _ in range(count):
        index = tokens.integer(f"a variable of table {table}")
        if index >= len(variables):
            raise tokens.fault(
                f"table {table} has variable {index}; the last is {len(variables) - 1}"
            )
        if variables[index] in scope:
            raise tokens.fault(f"table {table} has variable {index} twice")
        scope.append(variables[index])
    return scope


def _values(tokens: "_Tokens", table: int, scope: list[Variable]) -> Floats:
    shape = [len(v) for v in scope]
    size = tokens.integer(f"the size of table {table}")
    if size != math.prod(shape):
        raise tokens.fault(
            f"table {table} announces {size} numbers; its variables have {math.prod(shape)} "
            "joint states"
        )
    return tokens.floats(size, f"table {table}").reshape(shape)


@dataclass(slots=True)
class _Tokens:
    """The words of a text, read one after the other; ``at`` is the next."""

    path: str
    text: str
    words: list[str]
    at: int = 0

    def word(self, what: str) -> str:
        """Take the next word."""
        if self.at >= len(self.words):
            raise self.fault(f"the file ends where {what} should be")
        self.at += 1
        return self.words[self.at - 1]

    def integer(self, what: str, least: int = 0) -> int:
        """Take the next word as an integer."""
        word = self.word(what)
        if not (word.isascii() and word.isdigit() and len(word) < 19 and int(word) >= least):
            raise self.fault(f"{what} should be an integer >= {least}, not {word[:40]!r}")
        return int(word)

    def floats(self, count: int, what: str) -> Floats:
        """Take the next words as numbers, all at once."""
        words = self.words[self.at : self.at + count]
        if len(words) < count:
            self.at = len(self.words)
            raise self.fault(f"the file ends in {what}, after {len(words)} of {count} numbers")
        try:
            values = np.array(words, np.float64)
        except ValueError:
            values = np.array([_number(w) for w in words])
        bad = ~((values >= 0) & np.isfinite(values))
        if bad.any():
            first = int(bad.argmax())
            self.at += first + 1
            raise self.fault(f"{what} has {words[first]!r}; its entries are numbers >= 0")
        self.at += count
        return values

    def fault(self, message: str) -> FileFormatError:
        """Make the error that names the line of the last word taken."""
        words = re.finditer(r"\S+", self.text)
        last = next(islice(words, max(self.at - 1, 0), None), None)
        line = self.text.count("\n", 0, last.start() if last else 0) + 1
        return FileFormatError(f"{self.path}, line {line}: {message}")


def _number(word: str) -> float:
    """Return the number, or NaN where there is none."""
    try:
        return float(word)
    except ValueError:
        return math.nan
