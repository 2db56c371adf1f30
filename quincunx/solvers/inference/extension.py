"""Beliefs about some variables, extended to more by conditionals: one pass over a larger tree."""

from collections.abc import Iterable

from quincunx.graphs.arc import Arc
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.cluster_tree import ClusterTree, cluster_tree
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Names, Table
from quincunx.solvers.inference.products import arc_energies
from quincunx.solvers.inference.sum_product import sum_product


def extended_tree(
    tree: ClusterTree, pdg: PDG, further: Iterable[Names], order: Names | None = None
) -> ClusterTree:
    """Build a cluster tree over all variables of a graph around one over some of them.

    Hanging a cluster of sources and targets below the given tree would not do: where a later arc
    conditions on a removed variable and another one together, clusters in between must hold both.

    Arguments:
        tree: a cluster tree over some of the variables.
        pdg: the graph.
        further: sets of variables that one cluster must hold together.
        order: an elimination order, all variables of the graph once; None: the better heuristic.

    Returns:
        A tree whose clusters hold each cluster of ``tree``, the variables of each arc that has a
        confidence, and each set of ``further``.

    Raises:
        TooLargeError: a cluster of more than 64 variables is needed.
    """
    kept = (tree.names(c) for c in range(len(tree.clusters)))
    arcs = (arc.scope for arc in pdg.arcs if arc.beta > 0 or arc.alpha != 0)
    return cluster_tree(pdg.variables, (*kept, *arcs, *further), order=order)


def extend(beliefs: Beliefs, arcs: Iterable[Arc], tree: ClusterTree) -> Beliefs:
    """Multiply beliefs by conditionals of further variables: ``mu(w) prod_a p_a(t|s)``.

    Arguments:
        beliefs: a distribution over some variables.
        arcs: their tables are the conditionals; each further variable is the target of one, and
            the arcs make no cycle.
        tree: a cluster tree over all variables that holds the clusters of ``beliefs`` and each
            arc's variables, such as :func:`extended_tree` builds.

    Returns:
        The product as calibrated clusters; its marginals over the first variables are those of
        ``beliefs`` up to rounding.
    """
    factors = [*_conditionals(beliefs), *arcs]
    return sum_product(tree, arc_energies(tree, factors, [1.0] * len(factors)))[0]


def _conditionals(beliefs: Beliefs) -> Iterable[Arc]:
    """Write a distribution as the conditionals of its clusters given their sepsets."""
    tree = beliefs.tree
    for c, values in enumerate(beliefs.clusters):
        sepset = tree.names(c)[: len(tree.parent_axes[c])]
        if len(sepset) < len(tree.clusters[c]):
            table = Table((tree.variables[v] for v in tree.clusters[c]), values)
            part = table.conditional(sepset)
            yield Arc(part.sources, part.targets, part.values)
