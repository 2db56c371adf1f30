"""Weights cut into tiles, and put together again."""

from typing import Any

from array_api_compat import array_namespace

from quincunx._types import Array, Codebook


def to_tiles(columns: Array, tile: tuple[int, int]) -> Array:
    """Cut one column of tiles: [m, c] into [m / r, r * c], tiles read row by row."""
    xp: Any = array_namespace(columns)
    return xp.reshape(columns, (columns.shape[0] // tile[0], tile[0] * tile[1]))


def from_tiles(vectors: Array, tile: tuple[int, int]) -> Array:
    """Put one column of tiles together: [m / r, r * c] into [m, c]."""
    xp: Any = array_namespace(vectors)
    return xp.reshape(vectors, (vectors.shape[0] * tile[0], tile[1]))


def definite(metric: Array) -> tuple[Array | None, float]:
    """Split a tile's metric [c, c] into one of mean diagonal 1, and that mean.

    The first is made positive definite beyond rounding; it is None, and the second 0, where
    columns have no input, or are padding.
    """
    xp: Any = array_namespace(metric)
    mean = float(xp.mean(xp.linalg.diagonal(metric)))
    if not mean > 0:
        return None, 0.0
    eye = xp.eye(metric.shape[0], dtype=metric.dtype, device=metric.device)
    return metric / mean + 1e-6 * eye, mean


def decode(codebook: Codebook, codes: Array, shape: tuple[int, int]) -> Array:
    """Return the weights [m, n] that codes stand for.

    Arguments:
        codebook: with its scale.
        codes: [m / r, n / c] or [m / r, n / c, k], as in :class:`Rounding`.
        shape: (m, n), without padding.
    """
    xp: Any = array_namespace(codes)
    codes = codes if codes.ndim == 3 else codes[:, :, None]
    (rows, columns), (m, n) = codebook.tile, codes.shape[:2]
    if isinstance(codebook.scale, (int, float)):  # the same for all rows: all tiles at once
        tiles = codebook.decode(xp.reshape(codes, (m * n, codes.shape[2])))
        tiles = xp.permute_dims(xp.reshape(tiles, (m, n, rows, columns)), (0, 2, 1, 3))
        return xp.reshape(tiles, (m * rows, n * columns))[: shape[0], : shape[1]]
    parts = [
        from_tiles(codebook.decode(codes[:, k, :]), codebook.tile) for k in range(codes.shape[1])
    ]
    return xp.concat(parts, axis=1)[: shape[0], : shape[1]]
