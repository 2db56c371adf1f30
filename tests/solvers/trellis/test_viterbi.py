"""The verb: what comes out, how near it is, and what is refused."""

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.kernels.viterbi import reference
from quincunx.solvers.trellis import Bitshift, values, viterbi


def normal(count, length=256, seed=0):
    return np.random.default_rng(seed).standard_normal((count, length))


def closed(paths, trellis):
    states = np.asarray(paths.states)
    nodes = 1 << (trellis.state_bits - trellis.shift)
    return np.array_equal(states % nodes, np.roll(states, -1, axis=1) >> trellis.shift)


def in_double(x, trellis, window, turns):
    table = trellis.values.astype(np.float64)

    def path(part, node):
        return reference.shortest(part, table, trellis.shift, node)

    states = [
        reference.tail_biting(row, path, shift=trellis.shift, window=window, turns=turns)
        for row in x.reshape(len(x), -1, trellis.width)
    ]
    return np.sum((table[states] - x.reshape(len(x), -1, trellis.width)) ** 2)


def near(trellis, count):
    """Distortion in 16 bits over that in float64."""
    x = normal(count)
    steps = 256 // trellis.width
    return viterbi(x, trellis).distortion.sum() / in_double(x, trellis, steps // 2, [])


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_sixteen_bits_are_enough_for_small_states(bits):
    # Measured 0.9996 to 1.0004: ends differ now and then, by chance.
    assert near(Bitshift.of_code("mul1", bits, state_bits=12), 12) == pytest.approx(1, abs=1.5e-3)


@pytest.mark.full
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6])
def test_sixteen_bits_are_enough(bits):
    assert near(Bitshift.of_code("mul1", bits), 48) == pytest.approx(1, abs=1.5e-3)


def test_numbers_too_large_for_16_bits_are_searched_plainly():
    x = normal(2, 64)
    x[:, 7:12] = 40
    trellis = Bitshift.of_code("mul1", 5, state_bits=12)
    assert viterbi(x, trellis).distortion.sum() == pytest.approx(in_double(x, trellis, 32, []))


@pytest.mark.parametrize(
    "code, bits, state_bits, width",
    [
        ("mul1", 2, 12, None),
        ("hyb", 2, 12, None),
        ("hyb", 1, 12, None),
        ("3inst", 1, 12, None),
        ("lookup", 2, 12, 4),
        ("lookup", 3, 10, 2),
        ("lookup", 1, 12, 4),
        ("mul1", 8, 12, None),
        ("1mad", 2, 5, None),
        ("lookup", 2, 4, 2),
    ],
)
@pytest.mark.parametrize("search", ["trial", "fast", "paper", "best"])
def test_paths_close_and_stand_for_their_values(code, bits, state_bits, width, search):
    trellis = Bitshift.of_code(code, bits, state_bits=state_bits, width=width)
    x = normal(3, 64)
    paths = viterbi(x, trellis, search=search)
    assert closed(paths, trellis)
    np.testing.assert_array_equal(trellis.values[paths.states].reshape(3, 64), paths.values)
    np.testing.assert_allclose(paths.distortion, np.sum((paths.values - x) ** 2, axis=1))


def test_searches_differ_in_effort_and_distortion():
    trellis, x = Bitshift.of_code("mul1", 2, state_bits=12), normal(64)
    trial, fast, paper, best = (
        viterbi(x, trellis, search=search).distortion.sum()
        for search in ("trial", "fast", "paper", "best")
    )
    assert best < paper < fast < 1.01 * paper
    assert fast < trial < 1.05 * paper


@pytest.mark.parametrize("size", [0.0, 1e-9, 100.0, 1e30])
def test_numbers_out_of_range(size):
    trellis = Bitshift.of_code("mul1", 1, state_bits=10)
    paths = viterbi(np.full((2, 64), size) * [[1], [-1]], trellis)
    assert closed(paths, trellis) and np.all(np.isfinite(paths.distortion))
    assert np.abs(paths.values).max() <= 3.5


def test_libraries_agree():
    trellis, x = Bitshift.of_code("mul1", 2, state_bits=10), normal(4, 64).astype(np.float32)
    plain = viterbi(x, trellis)
    assert plain.values.dtype == np.float32
    for library in ("torch", "array_api_strict"):
        xp = pytest.importorskip(library)
        found = viterbi(xp.asarray(x), trellis)
        assert type(found.values) is type(xp.asarray(x))
        np.testing.assert_array_equal(np.asarray(found.states), plain.states)
        np.testing.assert_array_equal(np.asarray(found.values), plain.values)


def test_the_same_again():
    trellis, x = Bitshift.of_code("hyb", 2, state_bits=12), normal(70, 64)
    first, again = viterbi(x, trellis), viterbi(x, trellis)
    np.testing.assert_array_equal(first.states, again.states)
    apart = np.concatenate([viterbi(part, trellis).states for part in np.split(x, [1, 33])])
    np.testing.assert_array_equal(first.states, apart)


def test_refusals():
    trellis = Bitshift.of_code("mul1", 2, state_bits=10)
    wrong = {
        "at least one": np.zeros((0, 64)),
        "give sequences": np.zeros(64),
        "not finite": np.full((1, 64), np.nan),
        "floating": np.zeros((1, 64), int),
        "fewer than the 10 bits": np.zeros((1, 4)),
    }
    for words, x in wrong.items():
        with pytest.raises(ModelError, match=words):
            viterbi(x, trellis)
    with pytest.raises(ModelError, match="do not divide into steps of 2"):
        viterbi(np.zeros((1, 63)), Bitshift.of_code("hyb", 2, state_bits=10))
    with pytest.raises(ModelError, match="fast, paper, best"):
        viterbi(np.zeros((1, 64)), trellis, search="slow")
    with pytest.raises(ModelError, match=r"shift is 12.*1 to 10"):
        Bitshift(values("mul1", 10), 12)
    with pytest.raises(ModelError, match=r"\[2\^L, V\]"):
        Bitshift(np.zeros((3, 1), np.float32), 1)
