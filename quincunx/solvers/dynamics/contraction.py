"""A neighbourhood of a fixed point that a map contracts, as far as many points of it show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_discrete_lyapunov

from quincunx._types import Array

__all__ = ["Contraction", "contraction"]

NEUTRAL = 1e-7  # a multiplier so near to the unit circle says nothing
CONDITION = 1e3  # of eigenvectors that serve as axes
SHELLS = np.array([1.0, 0.7, 0.4, 0.2, 0.1, 0.03, 0.01])  # radii that are looked at, relative
WAYS = 64  # random directions a dimension
HALVINGS = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contraction:
    """A ball in which a map brings points nearer to its centre.

    Attributes:
        centre: [d], a fixed point.
        norm: [d, d]; the size of a vector y is ``|norm y|``.
        rate: by which sizes shrink at least, below 1.
        radius: of the ball.
    """

    centre: Array
    norm: Array
    rate: float
    radius: float

    def sizes(self, points: Array) -> Array:
        """Return distances [...] of points [..., d] from the centre."""
        return np.linalg.norm((points - self.centre) @ self.norm.T, axis=-1)


def contraction(
    map_of: Callable[[Array], Array], centre: Array, derivative: Array, reach: float
) -> Contraction | None:
    """Find a ball around an attracting fixed point that a map contracts.

    The norm is one in which the derivative contracts nearly by its largest eigenvalue. The ball
    is halved until a few hundred points of it are seen to come nearer; that is no proof.

    Arguments:
        map_of: takes points [N, d] to their images [N, d].
        centre: [d], the fixed point.
        derivative: [d, d], of the map there.
        reach: a distance beyond which not to look.

    Returns:
        The ball, or None if an eigenvalue is 1 in modulus or above, or no ball is seen to contract.
    """
    d = len(centre)
    largest = float(np.abs(np.linalg.eigvals(derivative)).max())
    if not 1 - largest > NEUTRAL:
        return None
    # Half of the way to 1 is for the norm, and half of the rest for the second derivatives.
    near = (1 + largest) / 2
    norm, rate = _norm(derivative, near), (1 + near) / 2
    units = np.random.default_rng(0).normal(size=(WAYS * d, d))
    units = np.concatenate([np.eye(d), -np.eye(d), units])
    ways = units / np.linalg.norm(units, axis=1, keepdims=True) @ np.linalg.inv(norm).T
    radius = float(np.linalg.norm(norm, 2)) * reach
    for _ in range(HALVINGS):
        found = Contraction(centre=centre, norm=norm, rate=rate, radius=radius)
        sizes = radius * SHELLS
        images = map_of((centre + sizes[:, None, None] * ways).reshape(-1, d))
        if np.all(found.sizes(images) <= rate * np.repeat(sizes, len(ways))):
            return found
        radius /= 2
    return None


def _norm(derivative: Array, rate: float) -> Array:
    """Return N [d, d] with ``|N M y| <= rate |N y|`` for all y; M's eigenvalues are below that."""
    values, vectors = np.linalg.eig(derivative)
    if np.linalg.cond(vectors) < CONDITION:
        # With eigenvectors as axes a ball reaches as far along the slow ones as along the fast.
        inverse = np.linalg.inv(vectors)
        return np.asarray(cholesky((inverse.conj().T @ inverse).real))
    # The norm of P with M' P M = rate^2 (P - 1).
    return np.asarray(cholesky(solve_discrete_lyapunov(derivative.T / rate, np.eye(len(values)))))
