"""A barren leaf of a graph in closed form: what nothing else depends on need not be solved."""

import math

import numpy as np

from quincunx.graphs.arc import Arc
from quincunx.solvers.inference.arrays import Floats, safe_log

LEAST = 1e-9  # of c / gamma: below it, rounding in c could decide about the targets


def settle(arc: Arc, prices: Floats, gamma: float | None) -> tuple[Floats, Floats] | None:
    """Minimise over the targets of an arc that no other arc mentions.

    With c = beta - gamma (alpha - 1) and prices v of IDef, the score depends on mu(T | rest) by

        ``beta E[KL(mu(T|s) || p)] + gamma (alpha H(T|S) - H(T|rest) + E[v(s,t)])``

    As ``H(T|rest) <= H(T|S)``, the targets are best independent of the rest given S, and then
    each source state is alone: ``c sum_t m_t log m_t - sum_t m_t (beta log p_t - gamma v_t)``.
    For c > 0 that is strictly convex, with the minimum ``-c log sum_t exp((beta log p_t - gamma
    v_t) / c)`` at the m proportional to these terms. So the targets leave a cost that is linear in
    mu(s), and it is 0 with m = p for alpha = 1 and v = 0. The regimes differ in c only:

    - gamma > 0, within the convex regime (there c >= gamma) and beyond, as long as c > 0;
    - a hard row (beta = inf): m = p, and the cost ``(alpha - 1) H(p) + E_p[v]`` of IDef;
    - a row that says nothing, and an arc with beta = 0: the same with beta = 0;
    - the limit 0+ : c / gamma grows without bound where beta > 0, so that these rows are as hard
      ones, and Inc gets nothing; the other rows minimise IDef, with c / gamma = 1 - alpha;
    - gamma = 0: likewise m = p, and m even in rows that say nothing; the cost counts for nothing.

    With one possible target m is settled whatever c is.

    Arguments:
        arc: the arc, its variables known.
        prices: float64 [source states, target states], v: nats of IDef per unit of mass.
        gamma: the trade-off; None: the limit 0+.

    Returns:
        m, float64 [source states, target states], and the cost, float64 [source states], in nats
        of IDef per unit of mass of the source state; None where c <= 0 in some row, or nearly so.
    """
    table = arc.rows
    says = ~np.isnan(table[:, :1]) & (arc.beta > 0)
    p = np.where(says, table, 1 / table.shape[1])
    alpha = arc.alpha if gamma != 0 else 0.0
    weight = np.where(says, arc.beta / gamma if gamma else math.inf, 0.0) + 1 - alpha  # c / gamma
    weight[(p > 0).sum(axis=1) == 1] = math.inf
    if not (weight > LEAST).all():
        return None
    # With u = (alpha - 1) log p - v, m is proportional to p exp(u / weight). Taking out the mean of
    # u under p leaves numbers of size 1 / weight, so that a large weight meets no large number.
    log_p = safe_log(p)
    gain = (alpha - 1) * log_p - prices
    mean = (p * gain).sum(axis=1, keepdims=True)
    rise = np.where(p > 0, (gain - mean) / weight, -math.inf)
    conditional, log_sum = _tilt(p, rise)
    spread = np.where(np.isfinite(weight), weight, 0.0) * log_sum
    cost = -(mean + spread)[:, 0]
    return conditional, cost if gamma != 0 else np.zeros_like(cost)


def _tilt(p: Floats, rise: Floats) -> tuple[Floats, Floats]:
    """Return ``p exp(rise)`` scaled to sum to one by row, and the logarithm of what it summed to.

    The mean of ``rise`` under p must be 0, so the sum is at least 1, and ``log1p`` is exact where
    ``rise`` is small; where it is large, the largest term is taken out before.
    """
    log_mass = safe_log(p) + rise
    top = log_mass.max(axis=1, keepdims=True)
    mass = np.exp(log_mass - top)
    total = mass.sum(axis=1, keepdims=True)
    near = np.log1p((p * np.expm1(np.minimum(rise, 1.0))).sum(axis=1, keepdims=True))
    small = rise.max(axis=1, keepdims=True) < 1
    return mass / total, np.where(small, near, top + np.log(total))


def hard_prices(arc: Arc, prices: Floats, gamma: float | None) -> Floats:
    """Return what the equations of a hard arc cost that :func:`settle` took out.

    The prices y make ``m = p`` a minimum of ``gamma (sum_t m_t log m_t + m_t v_t) + sum_t y_t
    (m_t - p_t)``, so ``y = -gamma (log p + v)`` up to a constant a row; that of each row's last
    possible target is 0. At gamma = 0, and so in the limit, there is no price.

    Arguments:
        arc: an arc with beta = inf.
        prices: float64 [source states, target states], v as for :func:`settle`.
        gamma: the trade-off; None: the limit 0+.

    Returns:
        float64 [source states, target states], in nats; 0 where p is.
    """
    p = np.nan_to_num(arc.rows)
    price = -(gamma or 0.0) * (safe_log(p) + prices)
    last = p.shape[1] - 1 - np.argmax(p[:, ::-1] > 0, axis=1)
    return np.where(p > 0, price - price[np.arange(len(p)), last][:, None], 0.0)
