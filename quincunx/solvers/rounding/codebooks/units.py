"""What codebooks share: vectors in units of the scale, and codes in small types."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.rounding.codebooks.grid import needed_scale


def in_units(codebook: Any, x: Array) -> tuple[Array, Any]:
    """Divide vectors by a codebook's scale.

    Arguments:
        codebook: with a tile and a scale.
        x: [N, r * c], floating; types other than float64 are computed with as float32.

    Returns:
        The quotients, and the scale in their type.

    Raises:
        ModelError: the scale is None, or x is not of that shape, floating and finite.
    """
    xp: Any = array_namespace(x)
    scale = needed_scale(codebook)
    width = codebook.tile[0] * codebook.tile[1]
    if x.ndim != 2 or x.shape[1] != width:
        raise ModelError(f"x has shape {tuple(x.shape)}; {codebook} codes vectors [N, {width}]")
    if not xp.isdtype(x.dtype, "real floating"):
        raise ModelError(f"x has type {x.dtype}; give floating-point numbers")
    if not bool(xp.all(xp.isfinite(x))):
        raise ModelError("x has entries that are not finite; only finite vectors can be coded")
    x = in_working_type(x)
    scale = xp.astype(scale, x.dtype) if getattr(scale, "ndim", 0) else float(scale)
    return x / scale, scale


def in_working_type(x: Array) -> Array:
    """Return floating-point numbers as float32 unless they are float64."""
    xp: Any = array_namespace(x)
    return x if x.dtype == xp.float64 else xp.astype(x, xp.float32, copy=False)


def as_codes(numbers: Array, bits: int) -> Array:
    """Return whole numbers in the smallest type that has room for ``bits``, up to 32.

    uint8, uint16 or uint32; of torch, which does not compute with the larger two, uint8, int32 or
    int64.
    """
    xp: Any = array_namespace(numbers)
    if bits <= 8:
        return xp.astype(numbers, xp.uint8, copy=False)
    if is_torch_array(numbers):
        return xp.astype(numbers, xp.int32 if bits <= 16 else xp.int64)
    return xp.astype(numbers, xp.uint16 if bits <= 16 else xp.uint32, copy=False)


def checked_codes(codebook: Any, codes: Array, columns: int) -> Array:
    """Return codes as int64.

    Raises:
        ModelError: they are not whole numbers [N, columns].
    """
    xp: Any = array_namespace(codes)
    if codes.ndim != 2 or codes.shape[1] != columns or not xp.isdtype(codes.dtype, "integral"):
        raise ModelError(
            f"codes have shape {tuple(codes.shape)} and type {codes.dtype}; {codebook} has whole "
            f"numbers [N, {columns}]"
        )
    return xp.astype(codes, xp.int64)


def constant(table: Any, like: Array) -> Array:
    """Return a table of NumPy, with its type, in the library and place of ``like``."""
    xp: Any = array_namespace(like)
    return xp.asarray(np.array(table), device=like.device)  # a copy: torch wants writable memory


def scaled(points: Array, scale: Any, kind: Any = None) -> Array:
    """Multiply unit points with a scale, in the type ``kind``.

    Without ``kind``, the type is that of the scale if it is an array, and float32 otherwise.
    """
    xp: Any = array_namespace(points)
    if kind is None:
        kind = scale.dtype if getattr(scale, "ndim", 0) else xp.float32
    factor = scale if getattr(scale, "ndim", 0) else float(scale)
    return xp.astype(points * factor, kind, copy=False)
