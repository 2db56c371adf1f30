"""Tiles of a block in the order of its anti-diagonals, for feedback from below and from the right.

A tile needs those below it in its column and those to its right in its row, so that all tiles of
an anti-diagonal can be rounded at once, and those of many blocks with them.
"""

from dataclasses import replace
from typing import Any

from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array, Codebook


def wavefront(
    target: Array,
    weights: Array,
    left: Array,
    right: Array,
    metrics: Array,
    codebook: Codebook,
    rows: Array,
) -> tuple[Array, Array]:
    """Round blocks with feedback on both sides, so that ``left' E right`` is what rounding leaves.

    Arguments:
        target: [K, h, w]: weights less the feedback from outside the block.
        weights: [K, h, w].
        left: [K, h, h], unit lower triangular in blocks of the tile's height.
        right: [K, w, w], the same for the tile's width.
        metrics: [K, w / c, c, c], one a column of tiles.
        codebook: of tiles [r, c].
        rows: whole numbers [K, h], which rows of the weights these are.

    Returns:
        The points [K, h, w], and their codes [K, h / r, w / c, k].
    """
    xp: Any = array_namespace(target)
    (r, c), (blocks, height, width) = codebook.tile, target.shape
    tall, wide = height // r, width // c
    target, weights = _tiles(target, r, c), _tiles(weights, r, c)
    # Of each tile's rows, or columns, what it takes from all others.
    above = xp.reshape(left.mT, (blocks, tall, r, height))
    across = xp.permute_dims(xp.reshape(right, (blocks, width, wide, c)), (0, 2, 1, 3))
    values, moved, errors = (xp.zeros_like(target) for _ in range(3))
    codes = None
    for d in range(tall + wide - 2, -1, -1):
        p, q = max(0, d - wide + 1), max(0, d - tall + 1)
        count = min(tall - p, d - p + 1)
        # Row p + t has column d - p - t: in the list of tiles a constant distance apart.
        step = max(wide - 1, 1)
        here = slice(d + p * (wide - 1), d + (p + count - 1) * (wide - 1) + 1, step)
        mine, others = slice(p, p + count), slice(q, q + count)
        columns = xp.reshape(errors, (blocks, tall, wide, r, c))[:, :, others, :, :]
        columns = xp.flip(xp.permute_dims(columns, (0, 2, 1, 3, 4)), axis=1)
        columns = xp.reshape(columns, (blocks, count, height, c))
        lines = xp.reshape(moved, (blocks, tall, wide, r, c))[:, mine, :, :, :]
        lines = xp.reshape(xp.permute_dims(lines, (0, 1, 3, 2, 4)), (blocks, count, r, width))
        # Neither has the tile's own error yet, so that the factors' unit diagonal adds nothing.
        below = above[:, mine, :, :] @ columns
        beside = lines @ xp.flip(across[:, others, :, :], axis=1)
        x = xp.reshape(target[:, here, :, :] - below - beside, (blocks * count, r * c))
        metric = xp.reshape(xp.flip(metrics[:, others, :, :], axis=1), (blocks * count, c, c))
        points, code = _quantize(of_rows(codebook, rows[:, mine], r), x, metric)
        if codes is None:
            codes = xp.zeros((blocks, tall * wide, code.shape[1]), dtype=code.dtype)
            codes = xp.asarray(codes, device=code.device)
        codes[:, here, :] = xp.reshape(code, (blocks, count, -1))
        values[:, here, :, :] = xp.reshape(points, (blocks, count, r, c))
        errors[:, here, :, :] = values[:, here, :, :] - weights[:, here, :, :]
        moved[:, here, :, :] = errors[:, here, :, :] + below
    assert codes is not None
    values = xp.permute_dims(xp.reshape(values, (blocks, tall, wide, r, c)), (0, 1, 3, 2, 4))
    return xp.reshape(values, (blocks, height, width)), xp.reshape(codes, (blocks, tall, wide, -1))


def _tiles(blocks: Array, r: int, c: int) -> Array:
    """Cut blocks [K, h, w] into lists of tiles [K, h w / (r c), r, c], row of tiles by row."""
    xp: Any = array_namespace(blocks)
    count, height, width = blocks.shape
    cut = xp.reshape(blocks, (count, height // r, r, width // c, c))
    return xp.reshape(xp.permute_dims(cut, (0, 1, 3, 2, 4)), (count, -1, r, c))


def _quantize(codebook: Codebook, x: Array, metrics: Array) -> tuple[Array, Array]:
    """Quantize vectors of different metrics [N, c, c]: a codebook takes one metric a call."""
    xp: Any = array_namespace(x)
    if codebook.tile[1] == 1:  # a single column has only one metric
        return codebook.quantize(x)
    pairs = [codebook.quantize(x[i : i + 1, :], metric=metrics[i, :, :]) for i in range(x.shape[0])]
    return xp.concat([points for points, _ in pairs]), xp.concat([codes for _, codes in pairs])


def of_rows(codebook: Codebook, rows: Array, r: int) -> Codebook:
    """Return the codebook that single rows [K, t] of the weights have, for vectors [K t, c]."""
    each: dict[str, Any] = {}
    for name in ("scale", "zero"):
        numbers: Any = getattr(codebook, name, None)
        if getattr(numbers, "ndim", 0) == 2 and numbers.shape[0] > 1:
            if r > 1:
                raise ModelError(f"{codebook} has a {name} a row, and tiles of {r} rows; give one")
            xp: Any = array_namespace(numbers)
            each[name] = xp.take(numbers, xp.reshape(rows, (-1,)), axis=0)
    return replace(codebook, **each) if each else codebook  # type: ignore[type-var]
