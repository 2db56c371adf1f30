"""The nearest of listed points, by comparing with all of them."""

from collections.abc import Iterator
from typing import Any

from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.of_content import by_content
from quincunx.kernels.select import copied

CELLS = 1 << 24  # distances held at once


def nearest_listed(x: Array, points: Array, metric: Array | None = None) -> Array:
    """Return which point q of a list minimises ``(x - q) M (x - q)'``, the first of equals.

    Computed in float64.

    Arguments:
        x: [N, d].
        points: [K, d], in the library and place of x.
        metric: M [d, d], symmetric; None: the identity.

    Returns:
        int64 [N], 0 to K - 1.
    """
    xp: Any = array_namespace(x)
    x, points = xp.astype(x, xp.float64), xp.astype(points, xp.float64)
    weighed = points if metric is None else points @ xp.astype(metric, xp.float64)
    offset = xp.sum(weighed * points, axis=1)
    rows = max(1, CELLS // points.shape[0])
    return xp.concat(
        [xp.argmin(offset - 2.0 * (part @ weighed.T), axis=1) for part in in_chunks(x, rows)]
    )


def in_chunks(x: Array, rows: int) -> Iterator[Array]:
    """Cut an array into parts of at most so many rows; one empty part if there are none."""
    n = x.shape[0]
    for first in range(0, max(1, n), rows):
        yield x[first : min(first + rows, n), ...]


def checked_metric(metric: Array, width: int) -> Array:
    """Return a metric in float64, made symmetric, and positive definite if it nearly is.

    A metric without a Cholesky factor, such as that of columns which are never used, gets 1e-10
    of its mean diagonal entry on the diagonal.

    Arguments:
        metric: [width, width].
        width: columns of a tile.

    Raises:
        ModelError: another shape, not finite, or not positive semidefinite.
    """
    xp: Any = array_namespace(metric)
    if tuple(metric.shape) != (width, width):
        raise _unfit(metric.shape, width)
    found = _known_definite(copied(xp.astype(metric, xp.float64)))
    return xp.asarray(found, device=metric.device)


def _made_definite(metric: Array) -> Array:
    """Return a square matrix of float64 as :func:`checked_metric` does."""
    xp: Any = array_namespace(metric)
    if not bool(xp.all(xp.isfinite(metric))):
        raise _unfit(metric.shape, metric.shape[0])
    metric = (metric + metric.T) / 2
    mean = float(xp.mean(xp.linalg.diagonal(metric)))
    least = float(xp.min(xp.linalg.eigvalsh(metric)))
    if least < -1e-6 * mean or mean < 0:
        raise ModelError(
            f"metric has the eigenvalue {least:.3g}; give a positive definite matrix, such as a "
            "block of the LDL decomposition of a damped Hessian"
        )
    lift = (1e-10 * mean - least if least < 1e-12 * mean else 0.0) if mean > 0 else 1.0
    eye = xp.eye(metric.shape[0], dtype=metric.dtype, device=metric.device)
    return metric + lift * eye


_known_definite = by_content(_made_definite)


def _unfit(shape: tuple[int, ...], width: int) -> ModelError:
    return ModelError(f"metric has shape {tuple(shape)}; give finite numbers [{width}, {width}]")
