"""Max-product on calibrated clusters: the most probable joint state, exactly, in two passes."""

from collections.abc import Sequence

import numpy as np

from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.table import Floats


def most_probable_world(
    tree: ClusterTree, clusters: Sequence[Floats]
) -> tuple[tuple[int, ...], float]:
    """Find the joint state with the largest ``prod_C mu_C / prod_sepsets mu_S``.

    The pass to the roots keeps, for every state of a cluster's sepset, the best completion below
    it; the pass back reads the choices off. Products are sums of logarithms, so that nothing
    underflows.

    Arguments:
        tree: the cluster tree.
        clusters: each cluster's marginal, float64 of shape ``tree.shapes[c]``; neighbours agree.

    Returns:
        The position of each variable's state, and the log probability of the joint state, in nats.
        Of equally good cells of a cluster the first is taken, so the answer is deterministic.

    Reference:
        A. P. Dawid, "Applications of a general propagation algorithm for probabilistic expert
        systems", Statistics and Computing 2, 1992, Section 5.
    """
    choices: list[np.ndarray[tuple[int, ...], np.dtype[np.intp]]] = []
    messages: dict[int, list[Floats]] = {}
    log_probability = 0.0
    for c in reversed(range(len(clusters))):
        score = _log(clusters[c])
        for message in messages.pop(c, []):
            score += message
        rows = score.reshape(tree.sepset_size(c), -1)
        choice = rows.argmax(axis=1)
        best = rows[np.arange(len(rows)), choice]
        if tree.parents[c] < 0:
            log_probability += float(best[0])
        else:
            mass = clusters[c].reshape(rows.shape).sum(axis=1)
            gain = np.where(mass > 0, best - _log(np.where(mass > 0, mass, 1.0)), -np.inf)
            messages.setdefault(tree.parents[c], []).append(gain.reshape(tree.message_shape(c)))
        choices.append(choice)
    states = [0] * len(tree.variables)
    for c, choice in enumerate(reversed(choices)):
        n_shared = len(tree.parent_axes[c])
        shared, own = tree.clusters[c][:n_shared], tree.clusters[c][n_shared:]
        row = 0
        for v, size in zip(shared, tree.shapes[c], strict=False):
            row = row * size + states[v]
        found = np.unravel_index(int(choice[row]), tree.shapes[c][n_shared:])
        for v, state in zip(own, found, strict=True):
            states[v] = int(state)
    return tuple(states), log_probability


def _log(values: Floats) -> Floats:
    """Return the logarithm, -inf at 0."""
    return np.log(values, out=np.full(values.shape, -np.inf), where=values > 0)
