"""Bayesian networks: one conditional table a variable, without cycles."""

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np

from quincunx._errors import ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.pdg import PDG, arcs_html
from quincunx.graphs.variable import Variable, find_variable


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

    def __repr__(self) -> str:
        """Write the network's size."""
        edges = sum(len(arc.sources) for arc in self.arcs)
        return f"BayesianNetwork with {len(self.variables)} variables and {edges} edges"

    def _repr_html_(self) -> str:
        """Write the tables' shapes for a notebook."""
        return arcs_html(repr(self), self.arcs)


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
