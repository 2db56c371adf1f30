"""LDLQ with a scale for each row and each group of columns, as most file formats have them.

With H = L D L' in blocks of a group's width, a group is a rounding problem of its own: its target
is its weights less the feedback of the groups behind it, and its Hessian is its block of D. This
is LDLQ to the letter, as the decomposition of D's blocks completes that of H. Greedy passes within
a group lower the loss further, and cost little.

Run it: python examples/grouped_scales.py
"""

from collections.abc import Callable
from typing import Any

from quincunx.solvers.linalg.ldl import block_ldl
from quincunx.solvers.rounding import Grid, greedy, ldlq


def in_groups(
    W, H, width: int, grid_of: Callable[[int, Any], Grid], *, damping: float = 0.01, passes: int = 2
):
    """Round W [m, n] with feedback, group after group of ``width`` columns from the last.

    ``grid_of(group, target)`` gives a group's grid; ``target`` [m, width] is what will be rounded,
    for those who fit the scale to it. ``width`` divides n. Returns the values [m, n] and the codes,
    a list of one [m, width] a group.
    """
    ldl = block_ldl(H, width, damping=damping)
    lower, errors, values, codes = ldl.lower, 0 * W, 0 * W, []
    for start in reversed(range(0, W.shape[1], width)):
        stop = start + width
        target = W[:, start:stop] - errors[:, stop:] @ lower[stop:, start:stop]
        group = start // width
        metric, grid = ldl.blocks[group], grid_of(group, target)
        found = ldlq(target, metric, grid, damping=0.0)
        found = greedy(target, metric, grid, start=found, passes=passes)
        values[:, start:stop] = found.values
        errors[:, start:stop] = found.values - W[:, start:stop]
        codes.insert(0, found.codes)
    return values, codes


if __name__ == "__main__":
    import numpy as np

    from quincunx.solvers.rounding import nearest, proxy_loss, spanning

    rng = np.random.default_rng(0)
    X = rng.normal(size=(512, 256)) @ rng.normal(size=(256, 256))
    W, H = rng.normal(size=(64, 256)), X.T @ X / 512
    grids = [spanning(W[:, start : start + 64], 4) for start in range(0, 256, 64)]
    values, _ = in_groups(W, H, 64, lambda group, target: grids[group])
    plain = [nearest(W[:, k * 64 : k * 64 + 64], np.eye(64), grid) for k, grid in enumerate(grids)]
    apart = proxy_loss(np.hstack([found.values for found in plain]) - W, H)
    print(f"nearest {apart:.4g}, with feedback {proxy_loss(values - W, H):.4g}")
