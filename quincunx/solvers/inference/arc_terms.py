"""What each arc sees of a distribution: the terms that a score is the weighted sum of."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quincunx.graphs.arc import Arc
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Floats, xlogx
from quincunx.solvers.inference.arrays import safe_log


@dataclass(frozen=True, slots=True, eq=False)
class ArcTerm:
    """One arc's terms in a score, before its confidences are multiplied in.

    ``score = sum_a beta_a divergence_a + gamma (sum_a alpha_a entropy_a - H(mu))``.

    Attributes:
        arc: the arc.
        joint: float64 [source states, target states], the marginal ``mu(s, t)``.
        divergence: ``E_s KL(mu(T|s) || p(T|s))`` over the rows that the table states, nats, >= 0;
            0 for a hard arc, which the beliefs satisfy; infinite where they have what a table
            without confidence excludes.
        entropy: ``H_mu(T|S)``, nats, >= 0.
    """

    arc: Arc
    joint: Floats
    divergence: float
    entropy: float


def arc_terms(pdg: PDG, beliefs: Beliefs) -> tuple[ArcTerm, ...]:
    """Return every arc's terms, in the graph's order."""
    return tuple(_term(arc, beliefs) for arc in pdg.arcs)


def _term(arc: Arc, beliefs: Beliefs) -> ArcTerm:
    table = arc.rows
    joint = beliefs.marginal(arc.scope).values.reshape(table.shape)
    negative = xlogx(joint).sum(axis=1) - xlogx(joint.sum(axis=1))
    divergence = 0.0
    if not math.isinf(arc.beta):
        says = ~np.isnan(table[:, 0])
        stated, mass = table[says], joint[says]
        if (mass[stated == 0] > 0).any():
            divergence = math.inf
        else:
            divergence = max(0.0, float(negative[says].sum() - (mass * safe_log(stated)).sum()))
    return ArcTerm(arc, joint, divergence, max(0.0, float(-negative.sum())))


def known_prices(pdg: PDG, multipliers: Mapping[str, Floats]) -> Mapping[str, Floats]:
    """Return the multipliers of the hard arcs that their names tell apart."""
    names = Counter(a.name for a in pdg.arcs if math.isinf(a.beta))
    return {name: prices for name, prices in multipliers.items() if names[name] == 1}


def hard_slope(term: ArcTerm, gamma: float, multipliers: Mapping[str, Floats]) -> Floats:
    """Return the inconsistency's derivative in the entries of a hard arc's table.

    The optimum is that of ``score + sum y(s,t) (mu(s,t) - p(t|s) mu(s))``, where the score has
    ``gamma alpha mu(s) H(p(.|s))`` for the arc. By the envelope theorem the derivative in
    ``p(t|s)`` is ``-mu(s) (y(s,t) + gamma alpha log p(t|s))``, up to a constant a row, which no
    direction within a row sees.

    Arguments:
        term: a hard arc's.
        gamma: the trade-off.
        multipliers: from :func:`known_prices`.

    Returns:
        float64 [source states, target states], nats per unit of probability: 0 in rows without mass
        or with one possible target, NaN in others whose multipliers are not known.
    """
    table = term.arc.rows
    mass = term.joint.sum(axis=1, keepdims=True)
    counts = (mass > 0) & ((table > 0).sum(axis=1, keepdims=True) > 1) & (table > 0)
    prices = multipliers.get(term.arc.name, np.full(table.shape, np.nan))
    slope = -mass * (prices + gamma * term.arc.alpha * safe_log(table))
    return np.where(counts, slope, 0.0)
