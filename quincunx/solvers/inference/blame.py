"""What an inconsistency is made of: a row for each arc, in nats."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quincunx.graphs.arc import Arc
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.html import html_table
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Floats
from quincunx.solvers.inference.arc_terms import (
    ArcTerm,
    arc_terms,
    hard_slope,
    known_prices,
)

SHOWN = 20  # arcs in the text
DIGITS = 12  # smaller differences are rounding, and neither shown nor sorted by
HEAD = ("nats", "beta KL", "alpha H", "price")


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """One arc's share of an inconsistency.

    Attributes:
        arc: the arc.
        nats: what it adds to the inconsistency: ``incompatibility + gamma deficiency``; in the
            limit and at gamma = 0 the incompatibility alone.
        incompatibility: ``beta E_s KL(mu(T|s) || p(T|s))``, its part of Inc, nats, >= 0. A hard
            arc's is 0, as the beliefs satisfy it; see ``price``.
        deficiency: ``alpha H_mu(T|S)``, its part of IDef, nats.
        price: of a hard arc, what its certainty costs, in nats, >= 0; None for others. With a
            large finite beta in place of infinity, the inconsistency would be lower by about
            ``price ** 2 / (2 beta)``, and the arc's own incompatibility about as large. 0 where
            the table has zeros and ones only, as these hold at every beta > 0. NaN where the
            multipliers are not known, as where hard arcs share a label. Where hard arcs overlap,
            their prices are not unique.
    """

    arc: Arc
    nats: float
    incompatibility: float
    deficiency: float
    price: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Blame:
    """An inconsistency, row by row: who clashes, and by how much.

    ``sum of nats - gamma entropy`` is the score of the beliefs: the inconsistency, but for its
    allowance for rounding and for hard arcs missed. Likewise the incompatibilities add up to Inc,
    and the deficiencies less the entropy to IDef.

    Attributes:
        gamma: the trade-off; None: the limit 0+.
        shares: one an arc, the largest first; arcs that share alike in the graph's order.
        entropy: ``H(mu)`` of the beliefs, nats.
    """

    gamma: float | None
    shares: tuple[Share, ...]
    entropy: float

    @property
    def total(self) -> float:
        """The sum of all rows in nats, the entropy's included."""
        return math.fsum(s.nats for s in self.shares) - (self.gamma or 0.0) * self.entropy

    @property
    def by_name(self) -> dict[str, float]:
        """Nats by the arcs' names, the largest first; arcs of the same name are added up."""
        nats: dict[str, float] = {}
        for share in self.shares:
            nats[share.arc.name] = nats.get(share.arc.name, 0.0) + share.nats
        return nats

    def __repr__(self) -> str:
        """Write the rows as a table."""
        lines = [self._caption(), "  " + "".join(f"{title:>11}" for title in HEAD)]
        for share in self.shares[:SHOWN]:
            *figures, name = _cells(share)
            lines.append("  " + "".join(f"{text:>11}" for text in figures) + f"  {name}")
        if len(self.shares) > SHOWN:
            lines.append(f"  ... {len(self.shares)} arcs")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Write the rows as a table for a notebook."""
        head = (*HEAD, "arc")
        return html_table(self._caption(), head, map(_cells, self.shares), len(self.shares))

    def _caption(self) -> str:
        at = "0+" if self.gamma is None else f"{self.gamma:g}"
        entropy = f", -gamma H(mu) = {-self.gamma * self.entropy:.6g}" if self.gamma else ""
        return f"Blame at gamma = {at}: {self.total:.6g} nats in all{entropy}"


def _cells(share: Share) -> tuple[str, ...]:
    price = "" if share.price is None else f"{share.price:.4g}"
    figures = (share.nats, share.incompatibility, share.deficiency)
    return (*(f"{round(x, DIGITS) + 0.0:.4g}" for x in figures), price, share.arc.name)


def attribute(
    pdg: PDG, beliefs: Beliefs, gamma: float | None, multipliers: Mapping[str, Floats]
) -> Blame:
    """Split the score of beliefs into its arcs' shares.

    Arguments:
        pdg: the graph.
        beliefs: its optimum.
        gamma: the trade-off; None: the limit 0+.
        multipliers: as in :class:`quincunx.Inference`.
    """
    prices = known_prices(pdg, multipliers)
    shares = (_share(term, gamma or 0.0, prices) for term in arc_terms(pdg, beliefs))
    ordered = sorted(shares, key=lambda s: -round(s.nats, DIGITS))
    return Blame(gamma, tuple(ordered), beliefs.entropy())


def _share(term: ArcTerm, gamma: float, multipliers: Mapping[str, Floats]) -> Share:
    arc = term.arc
    hard = math.isinf(arc.beta)
    incompatibility = 0.0 if hard or arc.beta == 0 else arc.beta * term.divergence
    deficiency = arc.alpha * term.entropy
    return Share(
        arc=arc,
        nats=incompatibility + gamma * deficiency,
        incompatibility=incompatibility,
        deficiency=deficiency,
        price=_price(term, gamma, multipliers) if hard and arc.table is not None else None,
    )


def _price(term: ArcTerm, gamma: float, multipliers: Mapping[str, Floats]) -> float:
    """Return the length of a hard arc's slope in the Fisher metric, in nats.

    Let ``z(s,t)`` be the slope in ``p(t|s)`` divided by ``mu(s)``, less its mean under ``p(.|s)``.
    If the arc had a large finite beta, its marginal would move off ``p(t|s) mu(s)`` by
    ``mu(s) p(t|s) z(s,t) / beta``, which minimises the gain ``-sum z d`` plus the divergence's
    second order ``beta/2 sum d^2 / (mu(s) p(t|s))``: a fall of ``sum mu(s) p z^2 / (2 beta)``.
    """
    table = np.nan_to_num(term.arc.rows)
    mass = term.joint.sum(axis=1, keepdims=True)
    slope = hard_slope(term, gamma, multipliers)
    z = np.divide(slope, mass, out=np.zeros_like(slope), where=mass > 0)
    z -= (table * z).sum(axis=1, keepdims=True)
    return math.sqrt(float((mass * table * z**2).sum()))
