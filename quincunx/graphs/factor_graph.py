"""Factor graphs: a distribution proportional to a product of weighted factors."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quincunx._errors import ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.html import html_table
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Table, merge_variables
from quincunx.graphs.variable import Variable, find_variable


@dataclass(frozen=True, slots=True, init=False, repr=False)
class FactorGraph:
    """A weighted factor graph: ``Pr(w)`` proportional to ``prod_j phi_j(w) ** theta_j``.

    Arguments:
        factors: non-negative tables, not zero throughout.
        weights: one ``theta_j >= 0`` a factor; None: all 1.
        variables: variables that no factor has.

    Raises:
        ModelError: a factor is zero throughout or infinite, or a weight is missing or negative.
    """

    factors: tuple[Table, ...]
    weights: tuple[float, ...]
    variables: tuple[Variable, ...]

    def __init__(
        self,
        factors: Iterable[Table],
        weights: Iterable[float] | None = None,
        variables: Iterable[Variable] = (),
    ) -> None:
        """Check the factors and the weights."""
        tables = tuple(factors)
        for table in tables:
            if not isinstance(table, Table):
                raise ModelError(f"factors must be tables (quincunx.Table), not {table!r}")
        try:
            theta = (1.0,) * len(tables) if weights is None else tuple(float(w) for w in weights)
        except (TypeError, ValueError):
            raise ModelError(f"weights must be numbers, one a factor; got {weights!r}") from None
        if len(theta) != len(tables):
            raise ModelError(f"{len(tables)} factors need as many weights; got {len(theta)}")
        for table, weight in zip(tables, theta, strict=True):
            with np.errstate(over="ignore"):
                total = table.values.sum()
            if not (0 < total < np.inf):
                raise ModelError(
                    f"the factor over {table.names} sums to {total}; its sum must be positive and "
                    "finite: scale it, or give it a positive entry"
                )
            if not (0 <= weight < np.inf):
                raise ModelError(
                    f"the factor over {table.names} has weight {weight}; weights are >= 0"
                )
        object.__setattr__(self, "factors", tables)
        object.__setattr__(self, "weights", theta)
        members = (v for t in tables for v in t.variables)
        object.__setattr__(self, "variables", merge_variables((*variables, *members)))

    def variable(self, name: str) -> Variable:
        """Return the variable of that name, or raise :class:`UnknownNameError`."""
        return find_variable(self.variables, name)

    def to_pdg(self, gamma: float = 1.0) -> PDG:
        """Return the PDG whose optimum at ``gamma`` is this factor graph's distribution.

        Each factor becomes an arc without sources: its table is the factor divided by its total,
        ``alpha = theta`` and ``beta = gamma theta``. The inconsistency at ``gamma`` is then
        ``gamma (-log Z + sum_j theta_j log sum(phi_j))``. A factor over no variables is a
        constant: it has no arc, and no part in that sum.

        Reference:
            O. E. Richardson, J. Y. Halpern, "Probabilistic Dependency Graphs", AAAI 2021
            (PDGs capture weighted factor graphs).
        """
        arcs = [
            Arc((), t.variables, t.normalized().values, w, gamma * w)
            for t, w in zip(self.factors, self.weights, strict=True)
            if t.variables
        ]
        return PDG(arcs, self.variables)

    def __repr__(self) -> str:
        """Write the graph's size."""
        return f"FactorGraph with {len(self.variables)} variables and {len(self.factors)} factors"

    def _repr_html_(self) -> str:
        """Write the factors' scopes for a notebook."""
        rows = (
            (", ".join(t.names), " x ".join(map(str, t.values.shape)), f"{w:g}")
            for t, w in zip(self.factors, self.weights, strict=True)
        )
        return html_table(repr(self), ("scope", "shape", "weight"), rows, len(self.factors))
