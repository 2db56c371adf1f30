"""How the inconsistency changes with every number of the model, by the envelope theorem."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from quincunx.graphs.arc import Arc
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.html import html_table
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Floats
from quincunx.solvers.inference.arc_terms import (
    ArcTerm,
    arc_terms,
    hard_slope,
    known_prices,
)
from quincunx.solvers.inference.problem import compile_problem
from quincunx.solvers.inference.uniqueness import has_null_vector

SHOWN = 20  # arcs in the text
DIGITS = 12  # smaller derivatives are rounding, and shown as zero


@dataclass(frozen=True, slots=True, eq=False)
class ArcSensitivity:
    """Derivatives of the inconsistency in one arc's numbers.

    Attributes:
        arc: the arc.
        per_beta: in beta, nats: ``E_s KL(mu(T|s) || p(T|s))``, >= 0; 0 for a hard arc.
        per_alpha: in alpha, nats: ``gamma H_mu(T|S)``, >= 0.
        per_table: in the table's entries, float64 of the table's shape, nats per unit of
            probability; None where there is no table. A row stays a distribution only if its
            changes add up to zero, so each row is the gradient along such changes: its entries add
            up to zero. A change ``d`` of the table changes the inconsistency by
            ``(per_table * d).sum()``, to first order. Entries that are 0 are taken to stay 0, and
            have 0 here, as have rows that say nothing. NaN for hard arcs that overlap (where one
            follows from others in part, moving it alone makes a contradiction), and where hard arcs
            share a label, which leaves open whose price is whose.
    """

    arc: Arc
    per_beta: float
    per_alpha: float
    per_table: Floats | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sensitivity:
    """Derivatives of the inconsistency ``<<M>>_gamma`` in all numbers of a model, in nats.

    The inconsistency is homogeneous in the confidences and gamma, so that ``sum of beta per_beta +
    gamma per_gamma`` is the inconsistency itself (over the finite betas).

    Attributes:
        gamma: the trade-off at which the derivatives are taken.
        per_gamma: in gamma: the information deficiency ``IDef(mu)``; at gamma = 0 from above.
        arcs: one an arc, in the graph's order.
    """

    gamma: float
    per_gamma: float
    arcs: tuple[ArcSensitivity, ...]

    def __repr__(self) -> str:
        """Write the derivatives in the confidences as a table."""
        per_gamma = f"{round(self.per_gamma, DIGITS) + 0.0:.6g}"
        lines = [f"Sensitivity at gamma = {self.gamma:g}: {per_gamma} nats per gamma"]
        lines.append("    per beta   per alpha  largest per table entry")
        for row in self.arcs[:SHOWN]:
            beta, alpha, table, name = _cells(row)
            lines.append(f"{beta:>12}{alpha:>12}{table:>12}  {name}")
        if len(self.arcs) > SHOWN:
            lines.append(f"  ... {len(self.arcs)} arcs")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Write the same as a table for a notebook."""
        head = ("per beta", "per alpha", "largest per table entry", "arc")
        return html_table(repr(self).split("\n")[0], head, map(_cells, self.arcs), len(self.arcs))


def _cells(row: ArcSensitivity) -> tuple[str, str, str, str]:
    largest = "-" if row.per_table is None else _rounded(float(np.abs(row.per_table).max()))
    return _rounded(row.per_beta), _rounded(row.per_alpha), largest, row.arc.name


def _rounded(derivative: float) -> str:
    return f"{round(derivative, DIGITS) + 0.0:.4g}"


def derivatives(
    pdg: PDG, beliefs: Beliefs, gamma: float, multipliers: Mapping[str, Floats]
) -> Sensitivity:
    """Differentiate the inconsistency at an optimum.

    The inconsistency is the least score, and the score's own derivative at a unique minimiser is
    the least score's (J. M. Danskin, "The theory of max-min, with applications", SIAM Journal on
    Applied Mathematics 14, 1966). For an arc of finite beta it is, in ``p(t|s)``,
    ``-beta mu(s,t) / p(t|s)``; for a hard arc see :func:`hard_slope`. Where there are several
    minimisers, a directional derivative is the least of theirs, so that a step against the result
    for any one of them lowers the inconsistency.

    Arguments:
        pdg: the graph.
        beliefs: its optimum.
        gamma: the trade-off, >= 0.
        multipliers: as in :class:`quincunx.Inference`.
    """
    terms = arc_terms(pdg, beliefs)
    overlap = any(_has_choice(t) for t in terms) and _hard_arcs_overlap(pdg, beliefs.tree)
    prices = {} if overlap else known_prices(pdg, multipliers)
    rows = tuple(
        ArcSensitivity(
            arc=term.arc,
            per_beta=term.divergence,
            per_alpha=gamma * term.entropy,
            per_table=_table_slope(term, gamma, prices),
        )
        for term in terms
    )
    deficiency = sum(t.arc.alpha * t.entropy for t in terms) - beliefs.entropy()
    return Sensitivity(gamma, deficiency, rows)


def _table_slope(term: ArcTerm, gamma: float, multipliers: Mapping[str, Floats]) -> Floats | None:
    """Return the gradient in a table along changes that keep rows' sums, None without a table."""
    arc = term.arc
    if arc.table is None:
        return None
    table = arc.rows
    positive = table > 0
    if math.isinf(arc.beta):
        slope = hard_slope(term, gamma, multipliers)
    else:
        ratio = np.divide(term.joint, table, out=np.zeros_like(table), where=positive)
        slope = -arc.beta * ratio
    count = np.maximum(positive.sum(axis=1, keepdims=True), 1)
    mean = slope.sum(axis=1, keepdims=True) / count
    return np.where(positive, slope - mean, 0.0).reshape(arc.table.shape)


def _has_choice(term: ArcTerm) -> bool:
    """Say whether a hard arc has a row whose numbers could move."""
    return math.isinf(term.arc.beta) and bool(((term.arc.rows > 0).sum(axis=1) > 1).any())


def _hard_arcs_overlap(pdg: PDG, tree: ClusterTree) -> bool:
    """Say whether some hard arcs' equations follow from others, so that prices are not unique.

    Then moving one table alone contradicts the rest: the inconsistency jumps to infinity. The
    tree's calibration counts among the equations.
    """
    problem = compile_problem(pdg, tree)
    equations = sp.vstack([problem.calibration, problem.hard_equations()]).tocsr()
    return has_null_vector(equations.T.tocsr())
