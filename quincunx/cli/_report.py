"""What there is to tell about an answer, whatever the form in which it is printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from quincunx.cli._joint_states import JointStates
    from quincunx.graphs import PDG, BayesianNetwork, FactorGraph, Table
    from quincunx.solvers import Blame, Bounds, Inference

    Model: TypeAlias = "PDG | BayesianNetwork | FactorGraph"

NOT_UNIQUE = (
    "At gamma = 0 the beliefs do not determine the answer: other distributions fit as well and "
    "have other probabilities. --gamma 0+ takes the one with the most structure, --bounds shows "
    "the range over all."
)
BEYOND = (
    "At gamma = 0 the tables need not determine how {names} go together: other distributions may "
    "fit as well. --gamma 0+ takes the one with the most structure, --bounds shows the range over "
    "all."
)


@dataclass(frozen=True, slots=True)
class Report:
    """An answer and the queries put to it.

    Attributes:
        file: the model's file, as it was named.
        model: the model.
        answer: the answer, with beliefs.
        given: what it was conditioned on.
        assume: what was made certain before solving.
        own: whether gamma was left to the model.
        asked: whether the user asked queries; if not, they are all single variables.
        tables: the answers to the queries.
        blame: the arcs' shares of the inconsistency, where they were asked for.
        bounds: the ranges of ``tables`` over all that fit best, where they were asked for.
        joint: joint states of all variables, where these were asked for.
    """

    file: str
    model: "Model"
    answer: "Inference"
    given: Mapping[str, str]
    assume: Mapping[str, str]
    own: bool
    asked: bool
    tables: "tuple[Table, ...]"
    blame: "Blame | None"
    bounds: "tuple[Bounds, ...]" = ()
    joint: "JointStates | None" = None

    @property
    def gamma(self) -> str:
        """The trade-off in writing."""
        return write_gamma(self.model, self.answer.gamma, self.own)

    def notes(self) -> list[str]:
        """Sentences that the reader of the numbers must know; empty where all is well."""
        answer = self.answer
        notes = []
        if answer.status.name != "OPTIMAL":
            notes.append(f"{answer.status.value} {answer.message}".strip())
        if answer.gamma != 0 or self.bounds:
            return notes
        if answer.unique is False:
            notes.append(NOT_UNIQUE)
        else:
            notes.extend(BEYOND.format(names=names) for names in self._apart())
        return notes

    def _apart(self) -> list[str]:
        """Find the queries whose variables no cluster of the tree holds together."""
        assert self.answer.beliefs is not None
        tree = self.answer.beliefs.tree
        if self.joint is not None:
            return ["all variables"] if len(tree.clusters) > 1 else []
        found = []
        for table in self.tables:
            names = dict.fromkeys((*table.names, *self.given))
            if tree.home([tree.find(n) for n in names]) < 0:
                found.append(", ".join(names))
        return found


def write_gamma(model: "Model", gamma: float | None, own: bool) -> str:
    """Write a trade-off; ``own`` says that it was left to the model."""
    if own and kind_of(model) != "PDG":
        return f"the {kind_of(model)}'s own distribution"
    return "0+, the limit" if gamma is None else f"{gamma:.12g}"


def kind_of(model: "Model") -> str:
    """Name the kind of a model."""
    from quincunx.graphs import BayesianNetwork, FactorGraph

    if isinstance(model, BayesianNetwork):
        return "Bayesian network"
    return "factor graph" if isinstance(model, FactorGraph) else "PDG"


def count(number: int, noun: str) -> str:
    """Write a number of things: 1 arc, 2 arcs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_of(model: "Model") -> str:
    """Write what a model has: variables, and arcs or factors."""
    from quincunx.graphs import FactorGraph

    variables = count(len(model.variables), "variable")
    if isinstance(model, FactorGraph):
        return f"{variables}, {count(len(model.factors), 'factor')}"
    return f"{variables}, {count(len(model.arcs), 'arc')}"
