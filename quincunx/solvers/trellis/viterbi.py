"""Tail-biting paths of least squared distance through a bitshift trellis."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels import trellis_codes
from quincunx.kernels.select import copied, launches
from quincunx.kernels.threads import in_rows
from quincunx.kernels.viterbi import _triton as gpu

Search = Literal["trial", "fast", "paper", "best"]
WINDOWS = {"trial": 16, "fast": 4}  # which part of the sequence; others see a half

UNIT = 8192  # a difference of one in 16 bits: numbers up to 4 in size
COARSEST = 3  # bits a number up to which that resolution serves; each more doubles it
FINEST = 5  # bits a number beyond which 16 bits do not hold both the least error and the largest
TOGETHER = 64  # sequences between two looks at the keyboard


@dataclass(frozen=True, slots=True, eq=False)
class Bitshift:
    """A bitshift trellis: L bits a state, b new ones a step, V numbers for each state.

    Attributes:
        values: float32 [2^L, V], what each state stands for.
        shift: b, 1 to L.

    Reference:
        Mao and Gray, "Rate-distortion efficient amplitude modulated sliding block codes", IEEE
        Transactions on Information Theory 56(8), 2010; Tseng and others, "QTIP", 2024, section 3.
    """

    values: NDArray[np.float32]
    shift: int

    def __post_init__(self) -> None:
        states = len(self.values) if np.ndim(self.values) == 2 else 0
        if states < 2 or states & (states - 1) or not np.all(np.isfinite(self.values)):
            raise ModelError(
                f"values of shape {np.shape(self.values)}: give finite numbers [2^L, V], L >= 1"
            )
        if not 1 <= self.shift <= self.state_bits:
            raise ModelError(
                f"shift is {self.shift}: a step brings 1 to {self.state_bits} new bits into a "
                f"state of {self.state_bits}; ask for fewer bits or numbers a step"
            )

    @property
    def state_bits(self) -> int:
        """L."""
        return len(self.values).bit_length() - 1

    @property
    def width(self) -> int:
        """V."""
        return int(self.values.shape[1])

    @classmethod
    def of_code(
        cls, code: str, bits: float, *, state_bits: int = 16, width: int | None = None
    ) -> "Bitshift":
        """Return the trellis of a named code with ``bits`` bits a number, whole bits a step.

        Raises:
            ModelError: there is no such trellis.
        """
        values = trellis_codes.values(code, state_bits, width)
        shift = bits * values.shape[1]
        if shift != int(shift):
            raise ModelError(
                f"{bits} bits a number are {shift} a step of {values.shape[1]} with {code!r}; ask "
                f"for a multiple of {1 / values.shape[1]:g}"
            )
        return cls(values, int(shift))


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Paths that a search found.

    Attributes:
        states: int32 [N, T / V]; each one's last L - b bits are the next one's first, also round
            the end.
        values: [N, T], what they stand for, in the type of what was searched.
        distortion: float64 [N], squared distances.
    """

    states: Array
    values: Array
    distortion: Array


def viterbi(x: Array, trellis: Bitshift, *, search: Search = "paper") -> Paths:
    """Find tail-biting paths near to sequences of numbers.

    Viterbi's algorithm finds the best path for given ends in ``2^L T / V`` steps of work. The best
    tail-biting path would take one for each of ``2^(L - b)`` ends, so the end is fixed by a first
    path without constraint: "paper" lets it see the whole sequence, turned by half, "fast" the
    quarter on either side of the joint, which takes a quarter less time for 0.7 % more distortion
    at 2 bits, and "trial" the sixteenth, for 3 % more in little over half the time: enough to
    compare scales by. "best" then fixes the node in the middle instead, searches once more, and
    again at the quarters, each time with no more distortion: 0.3 % less for five passes in place
    of two.

    Trellises of 32 nodes and more with up to 5 bits a number are searched in 16-bit arithmetic,
    with numbers beyond 4 in size drawn in to that: the distortion is within 0.15 % of what float64
    would find. Others are searched in float64, many times as slow. Tensors on a GPU
    are searched there, by Triton in half precision, where states have up to 16 bits; other arrays
    on the processor.

    Arguments:
        x: [N, T], floating; in units of the code, where numbers are mostly below 4.
        trellis: of V numbers a step; V divides T, and L is at most T b / V.
        search: how much effort.

    Raises:
        ModelError: x is empty, not finite or of an unfit length, or there is no such search.

    Reference:
        Forney, "The Viterbi algorithm", Proceedings of the IEEE 61(3), 1973; QTIP, Algorithm 4.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(1, 256))
    >>> paths = viterbi(x, Bitshift.of_code("mul1", 2, state_bits=12))
    >>> bool(paths.distortion[0] / 256 < 0.08)
    True
    """
    xp: Any = array_namespace(x)
    if search not in get_args(Search):
        raise ModelError(f"search is {search!r}; use one of {', '.join(get_args(Search))}")
    steps = _checked_steps(xp, x, trellis)
    numbers = xp.reshape(x, (x.shape[0], steps, trellis.width))
    window = max(steps // WINDOWS.get(search, 2), 1)
    turns = [steps // 2, steps // 4, 3 * steps // 4] if search == "best" else []
    turns = sorted({*turns} - {0}, key=turns.index)
    if _on_gpu(x, trellis):
        table, values = gpu.on_device(trellis, str(x.device))
        states = gpu.search(numbers, values, trellis.shift, window, turns)
    else:
        # A copy: torch wants memory that it may write to.
        table = xp.asarray(np.array(trellis.values), device=x.device)
        found = _search(copied(numbers).astype(np.float64), trellis, window, turns)
        states = xp.asarray(found, device=x.device)
    values = xp.reshape(xp.take(table, xp.reshape(states, (-1,)), axis=0), x.shape)
    gaps = xp.astype(values, xp.float64) - xp.astype(x, xp.float64)
    return Paths(states, xp.astype(values, x.dtype), xp.sum(gaps * gaps, axis=1))


def _on_gpu(x: Array, trellis: Bitshift) -> bool:
    """Say whether x is where Triton's search runs, and it serves this trellis."""
    return launches(x) and gpu.fits(trellis.state_bits, trellis.shift)


def _checked_steps(xp: Any, x: Array, trellis: Bitshift) -> int:
    """Return how many steps sequences have.

    Raises:
        ModelError: they do not suit the trellis.
    """
    if x.ndim != 2 or not x.shape[0] or not x.shape[1]:
        raise ModelError(f"x has shape {tuple(x.shape)}; give sequences [N, T], at least one")
    if not xp.isdtype(x.dtype, "real floating"):
        raise ModelError(f"x has type {x.dtype}; give floating-point numbers")
    if not bool(xp.all(xp.isfinite(x))):
        raise ModelError("x has entries that are not finite; only finite numbers can be coded")
    steps, left = divmod(x.shape[1], trellis.width)
    if left:
        raise ModelError(
            f"sequences of {x.shape[1]} numbers do not divide into steps of {trellis.width}"
        )
    if steps * trellis.shift < trellis.state_bits:
        raise ModelError(
            f"{steps} steps of {trellis.shift} bits are fewer than the {trellis.state_bits} bits "
            f"of a state; use longer sequences or smaller states"
        )
    return int(steps)


def _search(
    x: NDArray[np.float64], trellis: Bitshift, window: int, turns: list[int]
) -> NDArray[np.int32]:
    """Return states [N, n]: in 16 bits where the compiled search serves, plainly elsewhere."""
    from quincunx.kernels.viterbi import _numba, _plain

    states = np.full(x.shape[:2], -1, dtype=np.int32)
    rest = np.array(turns, dtype=np.int64)
    bits = trellis.shift / trellis.width
    if bits <= FINEST and _numba.fits(trellis.state_bits, trellis.shift):
        size = float(np.max(np.abs(trellis.values))) or 1.0
        unit = min(UNIT, 32767 / size)
        doublings = max(math.ceil(bits) - COARSEST, 0)
        table = _in_16_bits(trellis.values.T, unit)
        find = _numba.search(trellis.state_bits, trellis.shift, trellis.width, doublings)
        for start in range(0, len(x), TOGETHER):
            some = _in_16_bits(x[start : start + TOGETHER], unit)
            mine = states[start : start + TOGETHER]
            _on_threads(find, some, table, window, rest, mine)
            gaps = np.abs(table.T[mine].astype(np.int32) - some).max(axis=(1, 2))
            mine[gaps >= 32767 >> doublings, 0] = -1  # there all costs were the same
    left = np.flatnonzero(states[:, 0] < 0)
    plain_table = np.ascontiguousarray(trellis.values.T, dtype=np.float64)
    for start in range(0, len(left), TOGETHER):
        rows = left[start : start + TOGETHER]
        mine = states[rows]
        _on_threads(_plain.search, x[rows], plain_table, trellis.shift, window, rest, mine)
        states[rows] = mine
    return states


def _on_threads(find: Callable[..., None], x: Any, *arguments: Any) -> None:
    in_rows(lambda first, last: find(x, *arguments, first, last), len(x), least=1)


def _in_16_bits(numbers: NDArray[Any], unit: float) -> NDArray[np.int16]:
    """Round multiples of ``unit``; those out of range become the outermost."""
    whole = np.rint(numbers.astype(np.float64) * unit)
    return np.ascontiguousarray(np.clip(whole, -32767, 32767).astype(np.int16))
