"""The codes against their definitions in plain whole numbers, one state at a time."""

import struct

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.kernels.trellis_codes import NAMES, table, values, width


def half(bits):
    return struct.unpack("<e", struct.pack("<H", bits))[0]


def bytes_of(word):
    return sum((word & 0xFFFFFFFF).to_bytes(4, "little"))


def halves(word):
    word = (word & 0x8FFF8FFF) ^ 0x3B603B60
    return float(np.float16(half(word >> 16 & 0xFFFF)) + np.float16(half(word & 0xFFFF)))


def two_mad(state):
    word = (state * 264435761 + 1013904223) % 2**32
    return (bytes_of(word + (word * 1664525 >> 32)) - 510) / 147.800537109375


def hyb(state):
    word = state * (state + 1)
    first, second = table()[word >> 6 & 511]
    return [-first if word >> 15 & 1 else first, second]


PLAIN = {
    "1mad": lambda s: (bytes_of(s * 34038481 + 76625530) - 510) / 147.800537109375,
    "2mad": two_mad,
    "3inst": lambda s: halves(s * 89226354 + 64248484),
    "mcg": lambda s: halves(s * 0xCBAC1FED),
    "mul1": lambda s: np.float16((1024 + bytes_of(s * 0x83DCD12D)) * half(0x1EEE) + half(0xC931)),
    "hyb": hyb,
}
# Mean, standard deviation, least and largest of all states of 16 bits, as published or measured by
# others.
MOMENTS = {
    "1mad": (-0.0004, 1.0001, -3.27, 3.17),
    "2mad": (-0.0015, 1.0005, None, None),
    "3inst": (0.0002, 1.2437, -3.96, 3.97),
    "mcg": (0.0, 1.2441, None, None),
    "mul1": (-0.0019, 1.0003, -3.45, 3.35),
}


@pytest.mark.parametrize("code", PLAIN)
@pytest.mark.parametrize("state_bits", [12, 16, 20])
def test_states(code, state_bits):
    found = values(code, state_bits)
    assert found.shape == (1 << state_bits, width(code)) and found.dtype == np.float32
    for state in np.random.default_rng(0).integers(1 << state_bits, size=300):
        expected = np.float32(PLAIN[code](int(state)))
        np.testing.assert_array_equal(found[state], np.broadcast_to(expected, width(code)))


@pytest.mark.parametrize("code", MOMENTS)
def test_moments(code):
    found = values(code).astype(np.float64)
    mean, deviation, least, largest = MOMENTS[code]
    assert found.mean() == pytest.approx(mean, abs=6e-5)
    assert found.std() == pytest.approx(deviation, abs=6e-5)
    if least is not None:
        assert found.min() == pytest.approx(least, abs=6e-3)
        assert found.max() == pytest.approx(largest, abs=6e-3)


def test_signs_of_the_table():
    assert np.all(table()[:, 0] > 0) and table().shape == (512, 2)
    assert abs(values("hyb")[:, 0].mean()) < 0.02


def test_lookups_are_normal_and_the_same_everywhere():
    found = values("lookup", 16, 2)
    assert found.shape == (1 << 16, 2)
    assert found.mean() == pytest.approx(0, abs=0.01) and found.std() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(found, values("lookup", 16, 2))
    assert not found.flags.writeable


def test_refusals():
    assert set(NAMES) == {*PLAIN, "lookup"}
    with pytest.raises(ModelError, match="no trellis code 'qtip'"):
        values("qtip")
    with pytest.raises(ModelError, match="state_bits is 21"):
        values("mul1", 21)
    with pytest.raises(ModelError, match=r"'mul1' stands for \(1,\) numbers, not for 2"):
        values("mul1", 16, 2)
    with pytest.raises(ModelError, match="not for 3"):
        values("lookup", 16, 3)
