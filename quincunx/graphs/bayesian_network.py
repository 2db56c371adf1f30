"""Bayesian networks: one conditional table a variable, without cycles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np
from numpy.typing import ArrayLike

from quincunx._errors import ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.pdg import PDG, arcs_html
from quincunx.graphs.variable import State, Variable, find_variable


@dataclass(frozen=True, slots=True, init=False, repr=False)
class BayesianNetwork:
    """A Bayesian network: each variable is the target of exactly one arc, without a cycle.

    Arguments:
        arcs: one a variable: parents as sources, the variable as the only target, and a complete
            table. Their confidences play no part in the network itself.
        variables: the variables, where arcs use names.

    Raises:
        ModelError: a variable has no arc or several, a table is missing or has an undefined row,
            or the arcs form a cycle (which is named).
    """

    arcs: tuple[Arc, ...]
    variables: tuple[Variable, ...]

    def __init__(self, arcs: Iterable[Arc], variables: Iterable[Variable] = ()) -> None:
        """Check that the arcs make a network."""
        pdg = PDG(arcs, variables)
        fault = network_fault(pdg)
        if fault:
            raise ModelError(f"not a Bayesian network, though a PDG may be: {fault}")
        object.__setattr__(self, "arcs", pdg.arcs)
        object.__setattr__(self, "variables", pdg.variables)

    def variable(self, name: str) -> Variable:
        """Return the variable of that name, or raise :class:`UnknownNameError`."""
        return find_variable(self.variables, name)

    def to_pdg(self, alpha: float = 1.0, beta: float = 1.0) -> PDG:
        """Return the PDG with the same arcs, all with these confidences.

        With ``alpha = 1`` and any ``beta > 0`` its optimum is the network's distribution for every
        gamma > 0 and in the limit, and its inconsistency is 0.

        Reference:
            O. E. Richardson, J. Y. Halpern, "Probabilistic Dependency Graphs", AAAI 2021
            (PDGs capture Bayesian networks).
        """
        arcs = (
            a
            if (a.alpha, a.beta) == (alpha, beta)
            else Arc(a.sources, a.targets, a.table, alpha, beta, a.label)
            for a in self.arcs
        )
        return PDG(arcs, self.variables)

    def intervene(self, actions: Mapping[str, State | ArrayLike]) -> "BayesianNetwork":
        """Return the network in which some variables are set from outside: ``p(. | do(actions))``.

        The arcs into each such variable are cut, and it takes its value, or draws it, whatever its
        former parents are. This differs from conditioning, which also changes what is believed of
        the causes. The answer is causal only as far as the network's arcs are.

        Arguments:
            actions: for each variable its state, or a distribution over its states, in their order.

        Raises:
            UnknownNameError: a variable or state does not exist.
            ModelError: a distribution does not fit the variable's states.

        Example:
            >>> smoke, lung = Variable("smoke", ["no", "yes"]), Variable("lung", ["no", "yes"])
            >>> network = BayesianNetwork(
            ...     [Arc([], smoke, [0.5, 0.5]), Arc(smoke, lung, [[0.99, 0.01], [0.9, 0.1]])]
            ... )
            >>> seen = infer(network).query("smoke", given={"lung": "yes"})
            >>> done = infer(network.intervene({"lung": "yes"})).query("smoke")
            >>> round(float(seen.values[1]), 3), round(float(done.values[1]), 3)
            (0.909, 0.5)

        Reference:
            J. Pearl, "Causality", 2nd ed., 2009, Sections 3.2.1 (atomic) and 4.2 (stochastic).
        """
        if not isinstance(actions, Mapping):
            raise ModelError(
                f"actions must be a mapping of names to states or distributions, not {actions!r}"
            )
        set_from_outside = {n: _action(self.variable(n), a) for n, a in actions.items()}
        arcs = (set_from_outside.get(a.target_names[0], a) for a in self.arcs)
        return BayesianNetwork(arcs, self.variables)

    def __repr__(self) -> str:
        """Write the network's size."""
        edges = sum(len(arc.sources) for arc in self.arcs)
        return f"BayesianNetwork with {len(self.variables)} variables and {edges} edges"

    def _repr_html_(self) -> str:
        """Write the tables' shapes for a notebook."""
        return arcs_html(repr(self), self.arcs)


def _action(variable: Variable, action: State | ArrayLike) -> Arc:
    """Return the arc that sets a variable: a point mass for a state, or the distribution given."""
    label = f"do {variable.name}"
    if isinstance(action, np.generic):
        action = action.item()
    if not isinstance(action, str | int | float):
        return Arc((), variable, action, label=label)
    point = np.zeros(len(variable))
    point[variable.index(action)] = 1.0
    return Arc((), variable, point, label=f"{label}={action}")


def network_fault(pdg: PDG) -> str:
    """Say why the arcs of a graph do not make a Bayesian network; empty where they do."""
    made: dict[str, Arc] = {}
    for arc in pdg.arcs:
        if len(arc.targets) != 1:
            return f"arc {arc.name} has {len(arc.targets)} targets, not one"
        (target,) = arc.target_names
        if target in made:
            return f"{target!r} is the target of two arcs"
        if arc.table is None or np.isnan(arc.table).any():
            return f"the table of {target!r} is missing or has an undefined row"
        made[target] = arc
    bare = [v.name for v in pdg.variables if v.name not in made]
    if bare:
        return f"no arc gives {bare[0]!r} a table"
    try:
        TopologicalSorter({t: a.source_names for t, a in made.items()}).prepare()
    except CycleError as error:
        return "the arcs form the cycle " + " -> ".join(map(str, error.args[1]))
    return ""
