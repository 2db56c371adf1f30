"""A ball that every orbit of gradient descent on a logistic loss enters and stays in."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linprog

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.smooth_map import check_step

__all__ = ["PEAK", "restoring_slope", "trapping_radius"]

PEAK = 0.2784645427610738  # the largest t s(-t): Lambert's W at 1/e


def trapping_radius(
    points: Array, weights: Array, l2: float, step: float, *, rank: int | None = None
) -> float:
    """Return a radius that every orbit gets below and then stays below.

    Without L2 term ``w f'(w) >= r |w| - PEAK``, with r the :func:`restoring_slope`, and gradients
    are at most ``G = mean |z|``: beyond ``R = (PEAK + step G^2 / 2) / r`` the norm ``|w|`` falls,
    and no step is longer than ``step G``. With one, the map is a contraction by ``|1 - step l2|``
    and a move of at most ``step G``.

    Arguments:
        points: [n, d], not separable unless there is an L2 term.
        weights: [n], > 0.
        l2: >= 0.
        step: > 0.
        rank: of the points, where it is known.

    Raises:
        ModelError: there is none: the points are separable, or step * l2 >= 2; or it overflows.
    """
    step = check_step(step)
    shares = weights / weights.sum()
    pull = float(shares @ np.linalg.norm(points, axis=1))
    if l2 > 0:
        factor = abs(1 - step * l2)
        if factor >= 1:
            raise ModelError(
                f"step * l2 is {step * l2:g}: the L2 term alone throws w ever further. Use a step "
                f"below {2 / l2:g}"
            )
        return step * pull / (1 - factor)
    slope = restoring_slope(points, weights, rank)
    if not slope > 0:
        raise ModelError("the points are separable, so that w may grow for ever; nothing traps it")
    radius = (PEAK + step * pull**2 / 2) / slope + step * pull
    if not math.isfinite(radius):
        raise ModelError(
            f"at step {step:g} orbits go further than floats reach; use a smaller step"
        )
    return radius


def restoring_slope(points: Array, weights: Array, rank: int | None = None) -> float:
    """Return the least ``mean max(0, -z u)`` over unit vectors u of the points' span.

    Exact in one and two dimensions. In more a lower bound, at most by the root of the dimension too
    small, from linear programs over the faces of a cube.

    Arguments:
        points: [n, d].
        weights: [n], > 0.
        rank: of the points; None: as far as floats tell.
    """
    span = np.linalg.svd(points.T, full_matrices=False)
    if rank is None:
        rank = int((span[1] > 1e-12 * span[1][0]).sum())
    inside = points @ span[0][:, :rank]
    shares = weights / weights.sum()
    if rank <= 2:
        # Linear on the cones between points, where a unit vector's least is on the border.
        borders = np.array([[1.0]]) if rank == 1 else np.stack([-inside[:, 1], inside[:, 0]], 1)
        borders = borders / np.linalg.norm(borders, axis=1, keepdims=True)
        ways = np.concatenate([borders, -borders])
        return float((np.maximum(0, -(inside @ ways.T)).T @ shares).min())
    return min(_on_face(inside, shares, k, sign) for k in range(rank) for sign in (1, -1)) / (
        math.sqrt(rank)
    )


def _on_face(points: Array, shares: Array, k: int, sign: int) -> float:
    """Return the least mean over u with ``u_k = sign`` and other coordinates up to 1."""
    n, d = points.shape
    # Unknown are u and t_i >= max(0, -z_i u).
    bounds = [(-1.0, 1.0)] * d + [(0.0, None)] * n
    bounds[k] = (float(sign), float(sign))
    found = linprog(
        np.concatenate([np.zeros(d), shares]),
        A_ub=np.hstack([-points, -np.eye(n)]),
        b_ub=np.zeros(n),
        bounds=bounds,
    )
    return float(found.fun) if found.status == 0 else 0.0
