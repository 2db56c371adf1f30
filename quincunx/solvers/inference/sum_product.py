"""Sum-product over a cluster tree: exact, one pass up and one down."""

from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.messages import normalize_energies
from quincunx.solvers.inference.arrays import Floats


def sum_product(tree: ClusterTree, energies: list[Floats]) -> tuple[Beliefs, float]:
    """Return the distribution ``mu(w) = exp(-sum_C E_C(w)) / Z`` and ``log Z``.

    The pass to the roots turns each cluster's table into its conditional given its sepset, which
    keeps every number at most one whatever the energies; the pass back multiplies by the parent's
    marginal.

    Arguments:
        tree: the cluster tree.
        energies: for each cluster float64 of shape ``tree.shapes[c]``, in nats; +inf excludes.
            At least one joint state must have finite energy. The arrays are overwritten.

    Returns:
        The calibrated beliefs, and log Z in nats.

    Reference:
        S. Lauritzen, D. Spiegelhalter, "Local computations with probabilities on graphical
        structures and their application to expert systems", JRSS B 50, 1988.
    """
    tables = list(energies)
    log_z = _upward(tree, tables)
    for c, parent in enumerate(tree.parents):
        if parent >= 0:
            tables[c] *= tree.sepset_marginal(c, tables[parent]).reshape(-1, 1)
        tables[c] = tables[c].reshape(tree.shapes[c])
        tables[c].setflags(write=False)
    return Beliefs(tree, tuple(tables)), log_z


def _upward(tree: ClusterTree, tables: list[Floats]) -> float:
    """Turn energies into conditionals given the sepsets, as matrices; return log Z."""
    log_z = 0.0
    for c in reversed(range(len(tables))):
        tables[c] = tables[c].reshape(tree.sepset_size(c), -1)
        message = normalize_energies(tables[c])
        parent = tree.parents[c]
        if parent < 0:
            log_z += float(message[0])
        else:
            tables[parent] -= message.reshape(tree.message_shape(c))
    return log_z
