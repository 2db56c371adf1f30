"""Trellis-coded tiles: 256 weights to one path through a bitshift trellis."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.packing import pack, packed_size, unpack
from quincunx.solvers.rounding.codebooks.grid import check_scale, describe_scale, needed_scale
from quincunx.solvers.rounding.codebooks.scan import checked_metric
from quincunx.solvers.rounding.codebooks.units import constant, in_units, scaled
from quincunx.solvers.trellis.viterbi import Bitshift, Search, viterbi

LENGTH = 256
TILES = ((16, 16), (32, 8), (64, 4), (128, 2), (256, 1))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trellis:
    """QTIP's codebook: a tile of 256 weights is a path through a bitshift trellis.

    The tile is read row by row. Its codes are the path's ``256 bits`` bits, as bytes; see
    :mod:`quincunx.kernels.packing`. A metric is left out of account, which costs much where the
    inputs of a tile's columns are strongly correlated: fewer columns leave more to LDLQ's feedback.
    QTIP's tiles are 16 x 16.

    Attributes:
        bits: 1 to 8; whole, or of HYB, whose states stand for two weights, a multiple of 1/2.
        code: what states stand for, one of :data:`quincunx.solvers.trellis.NAMES`.
        state_bits: L, up to 20. More is better and slower to find, 1 % less error for four times
            the time; decoding costs the same.
        search: "trial", "fast", "paper" or "best"; see :func:`quincunx.solvers.trellis.viterbi`.
        tile: rows and columns of W that are coded together, 256 in all: (16, 16), (32, 8), (64, 4),
            (128, 2) or (256, 1).
        scale: > 0; a number, or None: chosen by the rounding.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(2, 256))
    >>> values, codes = Trellis(2, state_bits=12, scale=1.0).quantize(x)
    >>> codes.shape, bool(np.mean((values - x) ** 2) < 0.08)
    ((2, 64), True)

    Reference:
        Tseng, Sun, Hou, De Sa, "QTIP: Quantization with Trellises and Incoherence Processing",
        NeurIPS 2024, arXiv:2406.11235.
    """

    bits: float
    code: str = "mul1"
    state_bits: int = 16
    search: Search = "paper"
    tile: tuple[int, int] = (32, 8)
    scale: Any = None

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise ModelError(f"bits is {self.bits}; trellises have 1 to 8 bits a weight")
        if self.tile not in TILES:
            raise ModelError(f"tile is {self.tile}; use one of {', '.join(map(str, TILES))}")
        check_scale(self.scale)
        _ = self.trellis

    def __repr__(self) -> str:
        return f"Trellis({self.bits}, {self.code!r}{describe_scale(self.scale)})"

    @property
    def unit_scale(self) -> float:
        """The reciprocal of the code's standard deviation."""
        return 1 / float(np.std(self.trellis.values))

    @property
    def trial(self) -> "Trellis":
        """A quicker codebook whose errors are to this one's in about the same ratio everywhere."""
        return replace(self, search="trial")

    @property
    def trellis(self) -> Bitshift:
        """What is searched."""
        return _bitshift(self.code, self.bits, self.state_bits)

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace tiles by paths.

        Arguments:
            x: [N, 256], floating.
            metric: left out of account.

        Returns:
            Values [N, 256] in the type of x, and codes uint8 [N, 32 bits].

        Raises:
            ModelError: the scale is None, or x is not such an array of finite numbers.
        """
        if metric is not None:
            checked_metric(metric, self.tile[1])
        units, scale = in_units(self, x)
        paths = viterbi(units, self.trellis, search=self.search)
        return scaled(paths.values, scale, x.dtype), pack(paths.states, self.trellis.shift)

    def decode(self, codes: Array, /) -> Array:
        """Return the values of codes, in float32 or the type of an array of scales.

        Arguments:
            codes: uint8 [N, 32 bits].

        Returns:
            [N, 256].

        Raises:
            ModelError: the scale is None, or the codes have another shape.
        """
        xp: Any = array_namespace(codes)
        scale, trellis = needed_scale(self), self.trellis
        steps = LENGTH // trellis.width
        if codes.shape[1:] != (packed_size(steps, trellis.shift),):
            raise ModelError(
                f"codes have shape {tuple(codes.shape)}; {self} has {32 * self.bits:g} bytes a tile"
            )
        states = unpack(codes, steps, trellis.shift, trellis.state_bits)
        values = constant(trellis.values, codes)
        found = xp.take(values, xp.reshape(states, (-1,)), axis=0)
        return scaled(xp.reshape(found, (codes.shape[0], LENGTH)), scale)


@cache
def _bitshift(code: str, bits: int, state_bits: int) -> Bitshift:
    return Bitshift.of_code(code, bits, state_bits=state_bits)
