"""Models whose answer is a product of their tables: exact message passing, no optimisation."""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quincunx._types import Status
from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import network_fault
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.pdg import PDG
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.problem import raise_contradiction
from quincunx.solvers.inference.sum_product import sum_product
from quincunx.solvers.inference.support import home_of


@dataclass(frozen=True, slots=True)
class Product:
    """A distribution ``mu`` proportional to ``prod_a p_a ** exponents_a``.

    Attributes:
        exponents: one an arc, in the graph's order; arcs of exponent 0 play no part, inf marks a
            hard arc whose zeros exclude states.
        scale: nats of inconsistency per unit of ``-log Z``.
        normalized: whether Z is 1 in exact arithmetic, so that the inconsistency is 0.
        reason: why the optimum is this product.
    """

    exponents: tuple[float, ...]
    scale: float
    normalized: bool
    reason: str


def as_product(pdg: PDG, gamma: float | None) -> Product | None:
    """Say how the optimum at ``gamma`` is a product of the tables, or None where it is not.

    Two cases are exact. With ``beta = gamma alpha`` on every arc, the score is ``gamma`` times a
    variational free energy. With arcs that form a Bayesian network and alpha = 1, neither Inc nor
    IDef is ever negative and the network's distribution has both 0, so it is optimal at every
    gamma, convex regime or not, and in the limit. Hard arcs of zeros and ones only exclude states.

    Arguments:
        pdg: the graph.
        gamma: the trade-off; None: the limit 0+.

    Reference:
        Richardson, Halpern, De Sa (UAI 2023), Section 3: beta = gamma alpha and factor products.
    """
    if _is_network(pdg):
        scale = gamma or max((a.beta for a in pdg.arcs), default=0.0)
        return Product((1.0,) * len(pdg.arcs), scale, True, "the arcs form a Bayesian network")
    if gamma is not None and gamma > 0 and all(_balanced(a, gamma) for a in pdg.arcs):
        exponents = (a.beta / gamma for a in pdg.arcs)
        return Product(tuple(exponents), gamma, False, "beta = gamma * alpha on every arc")
    return None


def _balanced(arc: Arc, gamma: float) -> bool:
    if arc.alpha == 0 and arc.beta == 0:
        return True
    if arc.table is None or np.isnan(arc.table).any():
        return False
    if math.isinf(arc.beta):
        return bool(((arc.table == 0) | (arc.table == 1)).all())
    return math.isclose(arc.beta, gamma * arc.alpha, rel_tol=1e-14)


def _is_network(pdg: PDG) -> bool:
    confident = all(a.alpha == 1 and 0 < a.beta < math.inf for a in pdg.arcs)
    return confident and not network_fault(pdg)


def solve_product(pdg: PDG, tree: ClusterTree, product: Product, gamma: float | None) -> Inference:
    """Compute a product distribution by message passing.

    Arguments:
        pdg: the graph.
        tree: a cluster tree that holds each arc's variables in one cluster.
        product: from :func:`as_product` for the same graph and gamma.
        gamma: the trade-off; None: the limit 0+.

    Raises:
        ContradictionError: the tables' zeros leave no possible state.
    """
    started = time.perf_counter()
    energies = arc_energies(tree, pdg.arcs, product.exponents)
    beliefs, log_z = sum_product(tree, energies)
    if not math.isfinite(log_z):
        raise_contradiction(tree, pdg.arcs)
    value = -product.scale * log_z
    # A product is optimal by construction; what is uncertain is the rounding in log Z.
    size = abs(log_z) + sum(math.log(c) for c in tree.sizes)
    gap = 16 * sys.float_info.epsilon * product.scale * (1 + size)
    value += gap / 2
    if product.normalized:
        gap = max(gap, abs(value))
        value = 0.0
    return Inference(
        status=Status.OPTIMAL,
        stats={
            "cells": sum(tree.sizes),
            "treewidth": tree.treewidth,
            "clusters": len(tree.clusters),
            "seconds": time.perf_counter() - started,
        },
        gamma=gamma,
        method=f"sum-product ({product.reason})",
        inconsistency=value,
        gap=gap,
        beliefs=beliefs,
        idef=0.0 if product.normalized else pdg.idef(beliefs),
        idef_lower=0.0 if gamma is None else -math.inf,
        unique=None if gamma == 0 else True,
    )


def arc_energies(
    tree: ClusterTree, arcs: Sequence[Arc], exponents: Sequence[float]
) -> list[Floats]:
    """Return for each cluster the sum of ``-exponent log p`` of the arcs at home there, in nats."""
    energies: list[Floats] = [np.zeros(tree.shapes[c]) for c in range(len(tree.clusters))]
    for arc, exponent in zip(arcs, exponents, strict=True):
        if exponent == 0 or arc.table is None:
            continue
        c = home_of(tree, arc)
        energy = np.full(arc.table.shape, np.inf)
        if math.isinf(exponent):
            energy[arc.table > 0] = 0.0
        else:
            np.log(arc.table, out=energy, where=arc.table > 0)
            np.multiply(energy, -exponent, out=energy, where=arc.table > 0)
        axes = [tree.clusters[c].index(tree.position[v.name]) for v in arc.scope]
        shape = [1] * len(tree.clusters[c])
        for axis, variable in zip(axes, arc.scope, strict=True):
            shape[axis] = len(variable)
        energies[c] += energy.transpose(np.argsort(axes)).reshape(shape)
    return energies
