"""Packed paths: every shape comes back, and the bytes are those that the format says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx._errors import ModelError
from quincunx.kernels.packing import pack, packed_size, unpack


@st.composite
def circles(draw):
    """A shape, and paths of it made from random circles of bits."""
    shift = draw(st.integers(1, 20))
    steps = draw(st.integers(1, 40))
    state_bits = draw(st.integers(shift, max(shift, min(20, steps * shift))))
    seed = draw(st.integers(0, 2**32 - 1))
    bits = np.random.default_rng(seed).integers(2, size=(3, steps * shift))
    return shift, steps, min(state_bits, steps * shift), bits


def read(bits, shift, state_bits):
    """States, one character after another."""
    rows = []
    for row in bits:
        text = "".join(map(str, row))
        size = len(text)
        ends = range(shift, size + 1, shift)
        rows.append([int((text + text)[size + end - state_bits : size + end], 2) for end in ends])
    return np.array(rows)


@given(circles())
def test_paths_come_back(circle):
    shift, steps, state_bits, bits = circle
    states = read(bits, shift, state_bits)
    codes = pack(states, shift)
    assert codes.dtype == np.uint8 and codes.shape == (3, packed_size(steps, shift))
    np.testing.assert_array_equal(codes, np.packbits(bits.astype(np.uint8), axis=1))
    np.testing.assert_array_equal(unpack(codes, steps, shift, state_bits), states)


def test_every_rate_of_a_tile():
    for bits in range(1, 9):
        for width in (1, 2, 4):
            shift, steps = bits * width, 256 // width
            for state_bits in {max(shift, 12), max(shift, 16), max(shift, 20)}:
                circle = np.random.default_rng(bits).integers(2, size=(2, 256 * bits))
                codes = np.packbits(circle.astype(np.uint8), axis=1)
                states = unpack(codes, steps, shift, state_bits)
                np.testing.assert_array_equal(states, read(circle, shift, state_bits))
                np.testing.assert_array_equal(pack(states, shift), codes)


def test_bytes_by_hand():
    # The circle 10 01 11 00, states of 4 bits: the last 4 bits up to each step.
    states = np.array([[0b0010, 0b1001, 0b0111, 0b1100]])
    assert pack(states, 2).tolist() == [[0b10011100]]


def test_torch_packs_the_same_bytes():
    torch = pytest.importorskip("torch")
    codes = np.random.default_rng(0).integers(256, size=(3, 64)).astype(np.uint8)
    states = unpack(torch.from_numpy(codes), 256, 2, 16)
    np.testing.assert_array_equal(states.numpy(), unpack(codes, 256, 2, 16))
    np.testing.assert_array_equal(pack(states, 2).numpy(), codes)


def test_refusals():
    codes = np.zeros((2, 64), np.uint8)
    with pytest.raises(ModelError, match=r"\(2, 64\).*96 bytes"):
        unpack(codes, 256, 3, 16)
    with pytest.raises(ModelError, match="use 2 to 8"):
        unpack(codes[:, :1], 4, 2, 16)


@given(circles())
def test_other_libraries_read_the_same_paths(circle):
    strict = pytest.importorskip("array_api_strict")
    shift, steps, state_bits, bits = circle
    packed = np.packbits(bits, axis=1)
    plain = unpack(strict.asarray(packed), steps, shift, state_bits)
    np.testing.assert_array_equal(np.asarray(plain), unpack(packed, steps, shift, state_bits))
