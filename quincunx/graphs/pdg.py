"""Probabilistic dependency graphs: beliefs as arcs, and how well a distribution fits them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

import numpy as np

from quincunx._errors import ModelError, UnknownNameError
from quincunx.graphs.arc import Arc
from quincunx.graphs.html import html_table
from quincunx.graphs.table import Names, Table, merge_variables, variables_of, xlogx
from quincunx.graphs.variable import Variable, find_variable

HARD_RESIDUAL = 1e-9  # how far a distribution may be from a hard arc and still satisfy it


class Distribution(Protocol):
    """What scoring asks of a distribution; joint tables and calibrated clusters have it."""

    def marginal(self, targets: Names, /) -> Table:
        """Return the marginal table over ``targets``, axes in the order asked."""

    def entropy(self) -> float:
        """Return the entropy in nats."""


@dataclass(frozen=True, slots=True, init=False, repr=False)
class PDG:
    """A probabilistic dependency graph: variables, and arcs that state beliefs about them.

    Arguments:
        arcs: the beliefs. Names in them stand for variables of the other arcs or of
            ``variables``.
        variables: further variables, or all of them when arcs use names.

    Raises:
        ModelError: a name appears with two lists of states, or a table does not fit.
        UnknownNameError: an arc names a variable that nothing defines.

    Example:
        >>> rain = Variable("rain", ["no", "yes"])
        >>> radio = Arc([], rain, [0.7, 0.3], label="radio")
        >>> sky = Arc([], rain, [0.4, 0.6], label="sky")
        >>> beliefs = PDG([radio]) + sky
        >>> round(beliefs.inc(Table([rain], [0.5, 0.5])), 4)
        0.1076

    Reference:
        O. E. Richardson, J. Y. Halpern, C. De Sa, "Inference for Probabilistic Dependency
        Graphs", UAI 2023, Section 2.
    """

    arcs: tuple[Arc, ...]
    variables: tuple[Variable, ...]

    def __init__(self, arcs: Iterable[Arc] = (), variables: Iterable[Variable] = ()) -> None:
        """Collect the variables and resolve the names."""
        if not isinstance(arcs, Iterable):
            raise ModelError(f"a PDG is made of a list of arcs; got {arcs!r}")
        given = tuple(arcs)
        for arc in given:
            if not isinstance(arc, Arc):
                raise ModelError(f"a PDG is made of arcs; got {arc!r}")
        members = (v for arc in given for v in (*arc.sources, *arc.targets))
        found = merge_variables(
            (*variables_of(variables), *(v for v in members if isinstance(v, Variable)))
        )
        by_name = {v.name: v for v in found}
        object.__setattr__(self, "arcs", tuple(arc.resolve(by_name) for arc in given))
        object.__setattr__(self, "variables", found)

    def variable(self, name: str) -> Variable:
        """Return the variable of that name.

        Raises:
            UnknownNameError: there is none.
        """
        return find_variable(self.variables, name)

    def arc(self, name: str) -> Arc:
        """Return the arc of that name: its label, or as it is written where it has none.

        Raises:
            UnknownNameError: there is none; the message lists the nearest names.
            ModelError: several arcs have it.

        Example:
            >>> rain = Variable("rain", ["no", "yes"])
            >>> pdg = PDG([Arc([], rain, [0.7, 0.3]), Arc([], rain, [0.4, 0.6], label="sky")])
            >>> pdg.arc("sky"), pdg.arc("(rain)").label
            (Arc(sky, table (2,), alpha=1, beta=1), None)
        """
        found = [arc for arc in self.arcs if arc.name == name]
        if len(found) > 1:
            raise ModelError(f"{len(found)} arcs are named {name!r}; give them different labels")
        if not found:
            raise _unknown_arc(name, self.arcs)
        return found[0]

    def without(self, *names: str) -> "PDG":
        """Leave out the arcs of these names; variables stay. Of several arcs of a name all go.

        Raises:
            UnknownNameError: no arc has one of the names; the message lists the nearest.

        Example:
            >>> rain = Variable("rain", ["no", "yes"])
            >>> radio = Arc([], rain, [0.7, 0.3], label="radio")
            >>> sky = Arc([], rain, [0.4, 0.6], label="sky")
            >>> PDG([radio, sky]).without("radio") == PDG([sky])
            True
        """
        known = {arc.name for arc in self.arcs}
        for name in names:
            if name not in known:
                raise _unknown_arc(name, self.arcs)
        return PDG([arc for arc in self.arcs if arc.name not in names], self.variables)

    def __add__(self, other: "PDG | Arc | Variable") -> "PDG":
        """Unite with another graph, an arc or a variable; equal arcs are kept twice."""
        if isinstance(other, Arc):
            other = PDG([other], self.variables)
        elif isinstance(other, Variable):
            other = PDG([], [other])
        if not isinstance(other, PDG):
            return NotImplemented
        return PDG(self.arcs + other.arcs, self.variables + other.variables)

    def inc(self, mu: Distribution) -> float:
        """Incompatibility of a distribution with the tables, in nats.

        ``Inc(mu) = sum_a beta_a E_mu[ KL( mu(T_a|S_a) || p_a(T_a|S_a) ) ]``; rows that say nothing
        count zero, and a hard arc counts infinity unless ``mu`` satisfies it within 1e-9.

        Arguments:
            mu: a joint table over all variables, or calibrated beliefs; total 1.

        Returns:
            A number >= 0, infinite where ``mu`` puts mass on what a table excludes.

        Reference:
            Richardson, Halpern, De Sa (UAI 2023), Section 2, the definition of Inc.
        """
        return sum((_arc_inc(arc, mu) for arc in self.arcs), 0.0)

    def idef(self, mu: Distribution) -> float:
        """Information deficiency of a distribution, in nats.

        ``IDef(mu) = -H(mu) + sum_a alpha_a H_mu(T_a|S_a)``; it can be negative.

        Arguments:
            mu: a joint table over all variables, or calibrated beliefs; total 1.

        Raises:
            UnknownNameError: ``mu`` lacks a variable.

        Reference:
            Richardson, Halpern, De Sa (UAI 2023), Section 2, the definition of IDef.
        """
        for variable in self.variables:
            mu.marginal(variable)
        weighted = (
            arc.alpha * mu.marginal(arc.scope).entropy(given=arc.source_names)
            for arc in self.arcs
            if arc.alpha != 0
        )
        return sum(weighted, -mu.entropy())

    def score(self, mu: Distribution, gamma: float) -> float:
        """Return ``Inc(mu) + gamma IDef(mu)`` in nats, what inference minimises.

        Raises:
            ModelError: gamma is not a number in [0, inf).
        """
        if not 0 <= gamma < math.inf:
            raise ModelError(f"gamma must be a number in [0, inf), not {gamma!r}")
        return self.inc(mu) + (gamma * self.idef(mu) if gamma else 0.0)

    def __repr__(self) -> str:
        """Write the graph in a few lines."""
        head = f"PDG with {len(self.variables)} variables and {len(self.arcs)} arcs"
        lines = [f"  {arc!r}" for arc in self.arcs[:10]]
        if len(self.arcs) > 10:
            lines.append(f"  ... {len(self.arcs)} arcs")
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        """Write the arcs as a table for a notebook."""
        return arcs_html(repr(self).split("\n")[0], self.arcs)


def _unknown_arc(name: object, arcs: Sequence[Arc]) -> UnknownNameError:
    """Make the error that lists the names nearest to a wrong one, or the first ones."""
    known = list(dict.fromkeys(arc.name for arc in arcs))
    near = get_close_matches(str(name), known, n=3)
    listed = ", ".join(map(repr, near or known[:12])) + ", ..." * (not near and len(known) > 12)
    meant = f"did you mean {listed}?" if near else f"there are: {listed or 'none'}"
    return UnknownNameError(f"there is no arc {name!r}; {meant}")


def arcs_html(caption: str, arcs: Sequence[Arc]) -> str:
    """Write arcs as an HTML table."""
    rows = (
        (
            arc.label or "",
            ", ".join(arc.source_names),
            ", ".join(arc.target_names),
            "none" if arc.table is None else " x ".join(map(str, arc.table.shape)),
            f"{arc.alpha:g}",
            f"{arc.beta:g}",
        )
        for arc in arcs
    )
    head = ("label", "sources", "targets", "table", "alpha", "beta")
    return html_table(caption, head, rows, len(arcs))


def _arc_inc(arc: Arc, mu: Distribution) -> float:
    if arc.beta == 0 or arc.table is None:
        return 0.0
    table = arc.rows
    says = ~np.isnan(table[:, 0])
    joint = mu.marginal(arc.scope).values.reshape(table.shape)[says]
    table = table[says]
    mass = joint.sum(axis=1, keepdims=True)
    if math.isinf(arc.beta):
        off = np.abs(joint - table * mass).max(initial=0.0)
        return 0.0 if off <= HARD_RESIDUAL else math.inf
    if (joint[table == 0] > 0).any():
        return math.inf
    log_p = np.log(table, out=np.zeros_like(table), where=table > 0)
    divergence = float((xlogx(joint) - joint * log_p).sum() - xlogx(mass).sum())
    return arc.beta * max(divergence, 0.0)
