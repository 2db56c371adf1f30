"""Orbits of gradient descent on a logistic loss by the formulas, in NumPy."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sigmoid(t: Floats) -> Floats:
    """Return ``1 / (1 + exp(-t))``."""
    small = np.exp(-np.abs(t))
    return np.asarray(np.where(t >= 0, 1.0, small) / (1 + small))


def descend(
    w: Floats,
    steps: Floats,
    directions: Floats,
    weighted: Floats,
    pull: Floats,
    l2: float,
    iterations: int,
    keep: int,
) -> Floats:
    """Repeat ``w -> w - step (sum_k s(z_k w) c_k z_k - pull + l2 w)``.

    Arguments:
        w: [N, d], where orbits start.
        steps: [N].
        directions: [k, d], z.
        weighted: [k, d], c z.
        pull: [d].
        l2: the L2 term.
        iterations: how many steps to take.
        keep: how many of the last points to return, up to ``iterations + 1``.

    Returns:
        [keep, N, d].
    """
    points = [w]
    for _ in range(iterations):
        gradient = sigmoid(w @ directions.T) @ weighted - pull + l2 * w
        w = w - steps[:, None] * gradient
        points.append(w)
    return np.array(points[len(points) - keep :])


def stretch(
    w: Floats,
    steps: Floats,
    directions: Floats,
    weighted: Floats,
    pull: Floats,
    l2: float,
    iterations: int,
    tangents: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Follow orbits and tangent vectors, which are made orthonormal in their order at each step.

    Arguments:
        w: [N, d], where orbits start.
        steps: [N].
        directions: [k, d], z.
        weighted: [k, d], c z.
        pull: [d].
        l2: the L2 term.
        iterations: how many steps to take.
        tangents: [N, m, d], orthonormal rows.

    Returns:
        The last points [N, d], the last tangents [N, m, d], and the sums of the logarithms of the
        factors by which tangents grew, before they were made orthonormal, [N, m].
    """
    logs = np.zeros(tangents.shape[:2])
    for _ in range(iterations):
        t = w @ directions.T
        slopes = sigmoid(t) * sigmoid(-t)
        hessian = np.einsum("nk,ki,kj->nij", slopes, weighted, directions) + l2 * np.eye(w.shape[1])
        tangents = tangents - steps[:, None, None] * (tangents @ hessian)
        basis, sizes = np.linalg.qr(np.swapaxes(tangents, 1, 2))
        diagonal = np.diagonal(sizes, axis1=1, axis2=2)
        logs += np.log(np.abs(diagonal))
        tangents = np.swapaxes(basis * np.sign(diagonal)[:, None, :], 1, 2)
        w = descend(w, steps, directions, weighted, pull, l2, 1, 1)[0]
    return w, tangents, logs
