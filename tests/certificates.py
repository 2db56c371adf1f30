"""Whether an answer's claims hold, recomputed from the definitions over all joint states.

Nothing here uses the library's solvers: graphs and answers are read through their public fields.
"""

import math
from functools import cached_property

import numpy as np

from quincunx._types import Status
from tests.oracles import arc_states, table_rows, worlds_of

SURE = (Status.OPTIMAL, Status.NEARLY_OPTIMAL)
ANSWERED = (*SURE, Status.LOCAL_OPTIMUM, Status.INACCURATE, Status.TIME_LIMIT)
ROUNDING = 1e-7  # relative to 1 + |value|
HARD = 1e-8  # by what an optimal answer may miss a hard arc


class Definitions:
    """The score of a graph over all its joint states, and what its certainties allow."""

    def __init__(self, pdg):
        self.pdg = pdg
        self.worlds = worlds_of(pdg)
        self.tables = [table_rows(arc) for arc in pdg.arcs]
        self.states = [arc_states(pdg, arc, self.worlds) for arc in pdg.arcs]

    @cached_property
    def possible(self):
        """Bool [worlds]: those that no zero of a table with beta > 0 excludes."""
        possible = np.ones(len(self.worlds), dtype=bool)
        for arc, table, (s, t) in zip(self.pdg.arcs, self.tables, self.states, strict=True):
            if arc.beta > 0:
                possible &= table[s, t] != 0
        return possible

    def marginal(self, number, mu):
        """Return an arc's ``mu(s, t)``, as [source states, target states]."""
        s, t = self.states[number]
        shape = self.tables[number].shape
        return np.bincount(s * shape[1] + t, mu, math.prod(shape)).reshape(shape)

    def parts(self, mu):
        """Return Inc and IDef of masses [worlds], in nats; hard arcs count as satisfied."""
        inc, idef = 0.0, _sum_xlogx(mu)
        for number, arc in enumerate(self.pdg.arcs):
            joint = self.marginal(number, mu)
            idef -= arc.alpha * (_sum_xlogx(joint) - _sum_xlogx(joint.sum(axis=1)))
            if 0 < arc.beta < math.inf:
                inc += arc.beta * _divergence(joint, self.tables[number])
        return inc, idef

    def score(self, mu, gamma):
        """Return ``Inc + gamma IDef``, in nats; Inc alone in the limit."""
        inc, idef = self.parts(mu)
        return inc + (gamma * idef if gamma else 0.0)

    def size(self, gamma):
        """Return what the terms of a score can add up to, by which its rounding is judged."""
        confident = sum(a.beta for a in self.pdg.arcs if a.beta < math.inf)
        return confident * 30 + (gamma or 0.0) * (1 + sum(abs(a.alpha) for a in self.pdg.arcs)) * 7

    def missed(self, mu):
        """Return the largest ``|mu(s,t) - p(t|s) mu(s)|`` of a hard arc."""
        worst = 0.0
        for number, arc in enumerate(self.pdg.arcs):
            if math.isinf(arc.beta):
                joint = self.marginal(number, mu)
                off = joint - self.tables[number] * joint.sum(axis=1, keepdims=True)
                worst = max(worst, float(np.nan_to_num(np.abs(off)).max()))
        return worst

    def convex(self, gamma):
        """Say whether beta >= gamma alpha, or in the limit beta > 0 or alpha <= 0, on every row."""
        for arc, table in zip(self.pdg.arcs, self.tables, strict=True):
            beta = np.where(np.isnan(table[:, 0]), 0.0, arc.beta)
            several = ((table != 0) | (beta == 0)[:, None]).sum(axis=1) > 1
            low = (beta == 0) if gamma is None else beta < gamma * arc.alpha * (1 - 1e-13)
            if arc.alpha > 0 and (several & low).any():
                return False
        return True

    def certainties(self):
        """Return the hard arcs' equations over possible worlds as a matrix, ``rows @ mu = 0``."""
        rows = [np.zeros((0, int(self.possible.sum())))]
        for arc, table, (s, t) in zip(self.pdg.arcs, self.tables, self.states, strict=True):
            if math.isinf(arc.beta) and arc.table is not None:
                s, t = s[self.possible], t[self.possible]
                for at in np.argwhere(~np.isnan(table)):
                    row = (s == at[0]) * ((t == at[1]) - table[tuple(at)])
                    rows.append(row[None])
        return np.concatenate(rows)

    def feasible(self, rng):
        """Draw masses [worlds] that satisfy all certainties; None where there are none."""
        masses = np.zeros(len(self.worlds))
        n = int(self.possible.sum())
        if n == 0:
            return None
        equations = self.certainties()
        if not len(equations):
            masses[self.possible] = rng.dirichlet(np.full(n, float(rng.choice([0.05, 1.0]))))
            return masses
        found = _vertex(equations, rng.standard_normal(n))
        if found is None:
            return None
        masses[self.possible] = found
        return masses


def _vertex(equations, cost):
    from scipy.optimize import linprog

    total = np.ones((1, equations.shape[1]))
    result = linprog(
        cost,
        A_eq=np.concatenate([equations, total]),
        b_eq=np.append(np.zeros(len(equations)), 1.0),
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-9},
    )
    return np.maximum(result.x, 0.0) if result.status == 0 else None


def _sum_xlogx(values):
    return float((values * np.log(np.where(values > 0, values, 1.0))).sum())


def _divergence(joint, table):
    """Return ``sum mu(s,t) log(mu(t|s) / p(t|s))`` over rows that say something."""
    says = ~np.isnan(table[:, 0])
    joint, table = joint[says], table[says]
    if (joint[table == 0] > 0).any():
        return math.inf
    mass = joint.sum(axis=1, keepdims=True)
    used = joint > 0
    ratio = np.where(used, joint / np.where(mass > 0, mass, 1.0), 1.0)
    return float((joint * np.log(ratio / np.where(used, table, 1.0))).sum())


def joint_of(beliefs):
    """Multiply clusters over their sepsets: masses over all joint states, flat.

    Marginals of the product are compared with the clusters, which says that these are calibrated.
    """
    tree = beliefs.tree
    shape = [len(v) for v in tree.variables]
    joint = np.ones(shape)
    for c, cluster in enumerate(tree.clusters):
        table = beliefs.clusters[c]
        rows = table.reshape(tree.sepset_size(c), -1)
        sums = rows.sum(axis=1, keepdims=True)
        if tree.parents[c] < 0:
            sums = np.ones_like(sums)
        with np.errstate(under="ignore"):
            rows = np.where(sums > 0, rows / np.where(sums > 0, sums, 1.0), 0.0)
        order = np.argsort(cluster)
        full = [len(v) if i in cluster else 1 for i, v in enumerate(tree.variables)]
        joint = joint * rows.reshape(table.shape).transpose(order).reshape(full)
    for c, cluster in enumerate(tree.clusters):
        rest = tuple(i for i in range(len(shape)) if i not in cluster)
        marginal = joint.sum(axis=rest).transpose(np.argsort(np.argsort(cluster)))
        np.testing.assert_allclose(marginal, beliefs.clusters[c], rtol=1e-9, atol=1e-12)
    return joint.ravel()


def check_answer(facts, gamma, answer, tolerance, rng):
    """Hold every claim of an answer against the definitions."""
    if answer.beliefs is None:
        _check_refusal(facts, gamma, answer, rng)
        return
    assert answer.beliefs.tree.variables == facts.pdg.variables
    mu = joint_of(answer.beliefs)
    assert abs(mu.sum() - 1) < 1e-11 and (mu >= 0).all()
    value = answer.inconsistency
    assert math.isfinite(value) and answer.gap >= 0, (value, answer.gap)
    scale = ROUNDING * (1 + abs(value)) + 1e-14 * facts.size(gamma)
    missed, score = facts.missed(mu), facts.score(mu, gamma)
    assert score <= value + scale, "the score is above its upper bound"
    # Beliefs that miss hard arcs can score below the optimum; the value has an allowance for that.
    if missed <= HARD:
        assert value - score <= answer.gap + scale, "the score is another"
    if answer.idef == answer.idef and answer.method.split()[0] != "sum-product":
        idef = facts.parts(mu)[1]
        assert abs(idef - answer.idef) <= 1e-9 * (1 + facts.size(1.0)), "IDef is another"
    _check_status(facts, gamma, answer, tolerance, missed)
    for other in _rivals(facts, mu, missed, rng):
        assert value - answer.gap <= facts.score(other, gamma) + scale, "the bound is not one"


def _rivals(facts, mu, missed, rng):
    """Draw feasible distributions: some far from the answer, and some that it is mixed with."""
    drawn = [facts.feasible(rng) for _ in range(20 if not len(facts.certainties()) else 3)]
    for other in drawn:
        # What misses a certainty by as much as its entries are is no distribution to compare with.
        if other is not None and facts.missed(other) < 1e-14:
            share = 10 ** rng.uniform(-6, 0)
            yield other
            if missed < 1e-14:
                yield (1 - share) * mu + share * other


def _check_status(facts, gamma, answer, tolerance, missed):
    wanted = tolerance * (1 + abs(answer.inconsistency))
    if answer.status is Status.OPTIMAL:
        assert answer.gap <= wanted * (1 + 1e-9), "optimal with a wide gap"
        assert missed <= HARD * 1.01 + 1e-12, "optimal, but hard arcs are missed"
    else:
        assert answer.message, "no word on why this is not optimal"
    if answer.status is Status.LOCAL_OPTIMUM:
        assert gamma and not facts.convex(gamma), "a convex score has no local optima"
    if answer.status is not Status.OPTIMAL:
        assert answer.status in ANSWERED, answer.status


def _check_refusal(facts, gamma, answer, rng):
    status = answer.status
    assert answer.message
    if status is Status.CONTRADICTION:
        assert answer.inconsistency == math.inf
        found = facts.feasible(rng)  # a linear program's own rounding is no proof
        consistent = found is not None and facts.missed(found) < 1e-14
        assert not consistent, "certainties do not contradict each other"
    elif status is Status.NOT_CONVEX:
        assert not facts.convex(gamma), "refused as not convex, which it is"
    else:
        assert status is Status.ENGINE_FAILED, status


def check_agreement(one, other, size):
    """Hold two answers to one question against each other."""
    if one.status not in SURE or other.status not in SURE:
        return
    value = abs(one.inconsistency)
    scale = ROUNDING * (1 + value) + 1e-14 * size
    low = max(one.inconsistency - one.gap, other.inconsistency - other.gap)
    high = min(one.inconsistency, other.inconsistency)
    assert low <= high + scale, "intervals do not overlap"
    if one.gamma and one.residual < 1e-12 and other.residual < 1e-12:
        distance = np.abs(joint_of(one.beliefs) - joint_of(other.beliefs)).sum() / 2
        assert distance <= one.belief_error + other.belief_error + 1e-9, "beliefs differ"
