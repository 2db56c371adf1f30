"""What the states of a bitshift trellis stand for: hashes that look like normal numbers.

A decoder computes the value from the L bits of a state, in a few integer instructions, so that no
table has to be in a processor's cache. All arithmetic is modulo 2^32.

Reference:
    1MAD, 3INST and HYB: Tseng, Sun, Hou, De Sa, "QTIP", NeurIPS 2024, arXiv:2406.11235, section 3;
    2MAD is in its code. mcg and mul1, with their multipliers: exllamav3 by turboderp (MIT
    licence), the format EXL3.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx._errors import ModelError

Floats = NDArray[np.float32]
States = NDArray[np.uint64]

MOST_BITS = 20
TABLE_BITS = 9  # of HYB
LOOKUP_SEED = 0

_WORD = np.uint64(0xFFFFFFFF)
_SIGNS_AND_FRACTIONS = np.uint64(0x8FFF8FFF)
_EXPONENTS = np.uint64(0x3B603B60)


def one_mad(states: States) -> Floats:
    """1MAD: the sum of the four bytes of one product, as a number of mean 0 and variance 1."""
    return _of_bytes(states * np.uint64(34038481) + np.uint64(76625530))


def two_mad(states: States) -> Floats:
    """2MAD: 1MAD's sum after another multiplication, whose high half is added."""
    first = (states * np.uint64(264435761) + np.uint64(1013904223)) & _WORD
    return _of_bytes(first + (first * np.uint64(1664525) >> np.uint64(32)))


def three_inst(states: States) -> Floats:
    """3INST: the sum of two half-precision numbers, whose bits are a product's, masked."""
    return _of_halves(states * np.uint64(89226354) + np.uint64(64248484))


def mcg(states: States) -> Floats:
    """3INST without the addition and with another multiplier."""
    return _of_halves(states * np.uint64(0xCBAC1FED))


def mul1(states: States) -> Floats:
    """The sum of the four bytes of a product, as the mantissa of a half-precision number.

    The number ``1024 + sum`` has the bits ``0x6400 + sum``; one half-precision multiplication and
    addition makes it about ``(sum - 510) / 147.7``.
    """
    sums = _byte_sums(states * np.uint64(0x83DCD12D))
    factor, offset = (float(np.uint16(bits).view(np.float16)) for bits in (0x1EEE, 0xC931))
    return ((1024.0 + sums) * factor + offset).astype(np.float16).astype(np.float32)


def hyb(states: States) -> Floats:
    """HYB: two numbers from a table of 512 pairs, the first's sign from another bit; [N, 2]."""
    mixed = states * (states + np.uint64(1))
    entries = (mixed >> np.uint64(15 - TABLE_BITS)) & np.uint64((1 << TABLE_BITS) - 1)
    pairs = table()[entries.astype(np.int64)]
    pairs[:, 0] *= 1 - 2 * ((mixed >> np.uint64(15)) & np.uint64(1)).astype(np.float32)
    return pairs


@cache
def table() -> Floats:
    """HYB's pairs [512, 2], first numbers positive; ``tools/fit_hyb.py`` fits them."""
    with np.load(Path(__file__).parent / "data" / "hyb.npz", allow_pickle=False) as data:
        return np.array(data["pairs"], dtype=np.float32)


HASHES: dict[str, Callable[[States], Floats]] = {
    "1mad": one_mad,
    "2mad": two_mad,
    "3inst": three_inst,
    "mcg": mcg,
    "mul1": mul1,
    "hyb": hyb,
}
NAMES = (*HASHES, "lookup")


def width(code: str) -> int:
    """Return V, how many numbers a state of this code stands for; a lookup's may be others, too."""
    return 2 if code == "hyb" else 1


@cache
def values(code: str, state_bits: int = 16, numbers: int | None = None) -> Floats:
    """Return what each state stands for, [2^L, V], read only.

    Arguments:
        code: one of :data:`NAMES`; "lookup" is a table of random normal numbers.
        state_bits: L, 1 to 20.
        numbers: V; None: the code's own. A lookup may have 1, 2 or 4.

    Raises:
        ModelError: the code is unknown or lacks this V, or L is out of range.
    """
    if code not in NAMES:
        raise ModelError(f"there is no trellis code {code!r}; use one of {', '.join(NAMES)}")
    if not 1 <= state_bits <= MOST_BITS:
        raise ModelError(f"state_bits is {state_bits}; use 1 to {MOST_BITS}")
    numbers = width(code) if numbers is None else numbers
    allowed = (1, 2, 4) if code == "lookup" else (width(code),)
    if numbers not in allowed:
        raise ModelError(f"a state of {code!r} stands for {allowed} numbers, not for {numbers}")
    if code == "lookup":
        generator = np.random.Generator(np.random.Philox(key=[LOOKUP_SEED, state_bits]))
        found: Any = generator.standard_normal((1 << state_bits, numbers), dtype=np.float32)
    else:
        found = HASHES[code](np.arange(1 << state_bits, dtype=np.uint64))
    found = np.ascontiguousarray(found.reshape(1 << state_bits, numbers))
    found.flags.writeable = False
    return found  # type: ignore[no-any-return]


def _byte_sums(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The sums of the four low bytes."""
    parts = [(words >> np.uint64(8 * byte)) & np.uint64(255) for byte in range(4)]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)


def _of_bytes(words: NDArray[np.uint64]) -> Floats:
    return ((_byte_sums(words) - 510.0) / 147.800537109375).astype(np.float32)


def _of_halves(words: NDArray[np.uint64]) -> Floats:
    bits = ((words & _WORD) & _SIGNS_AND_FRACTIONS) ^ _EXPONENTS
    low, high = ((bits >> np.uint64(s) & np.uint64(0xFFFF)).astype(np.uint16) for s in (0, 16))
    return (high.view(np.float16) + low.view(np.float16)).astype(np.float32)
