"""The trellis search: its definition against all paths, and the compiled one against that."""

from itertools import product

import numpy as np
import pytest

from quincunx.kernels.viterbi import _plain, reference
from quincunx.kernels.viterbi._numba import fits, search


def all_paths(length, shift, steps):
    """States [., steps] of every path, from every window of bits."""
    bits = np.array(list(product((0, 1), repeat=length + (steps - 1) * shift)))
    weights = 1 << np.arange(length)[::-1]
    windows = [bits[:, t * shift : t * shift + length] @ weights for t in range(steps)]
    return np.stack(windows, axis=1)


SMALL = [
    (length, shift, width, steps)
    for length in range(2, 7)
    for shift in range(1, length + 1)
    for width in (1, 2)
    for steps in range(1, 9)
    if length + (steps - 1) * shift <= 13
]


@pytest.mark.parametrize("length, shift, width, steps", SMALL)
def test_the_definition_is_the_best_of_all_paths(length, shift, width, steps):
    rng = np.random.default_rng([length, shift, width, steps])
    values, x = rng.normal(size=(1 << length, width)), rng.normal(size=(steps, width))
    paths = all_paths(length, shift, steps)
    costs = np.sum((values[paths] - x) ** 2, axis=(1, 2))
    free = reference.shortest(x, values, shift)
    assert np.any(np.all(paths == free, axis=1))
    assert np.sum((values[free] - x) ** 2) == pytest.approx(np.min(costs), abs=1e-12)
    node = int(rng.integers(1 << (length - shift)))
    closed = (paths[:, 0] >> shift == node) & (paths[:, -1] % (1 << (length - shift)) == node)
    if not closed.any():  # too short to come back
        return
    found = reference.shortest(x, values, shift, node)
    assert np.any(np.all(paths[closed] == found, axis=1))
    best = np.min(costs[closed])
    assert np.sum((values[found] - x) ** 2) == pytest.approx(best, abs=1e-12)


# L, b, V, doublings: every way in which 32 nodes get the costs of those before.
SHAPES = [
    (6, 1, 1, 0),
    (8, 1, 1, 0),
    (7, 2, 1, 0),
    (9, 2, 2, 1),
    (10, 2, 1, 0),
    (10, 3, 1, 0),
    (12, 4, 2, 0),
    (12, 4, 1, 1),
    (12, 5, 1, 2),
    (14, 6, 1, 3),
    (12, 4, 4, 0),
]


def problem(length, width, steps=24, count=3, size=1.0):
    rng = np.random.default_rng([length, width])
    table = np.clip(np.rint(8192 * rng.normal(size=(1 << length, width))), -32767, 32767)
    x = np.clip(np.rint(8192 * size * rng.normal(size=(count, steps, width))), -32767, 32767)
    return x.astype(np.int16), table.astype(np.int16)


def compiled(x, table, length, shift, doublings, window, turns):
    states = np.zeros(x.shape[:2], np.int32)
    find = search(length, shift, x.shape[2], doublings)
    columns = np.ascontiguousarray(table.T)
    find(x, columns, window, np.array(turns, np.int64), states, 0, len(x))
    return states


@pytest.mark.parametrize("length, shift, width, doublings", SHAPES)
@pytest.mark.parametrize("size", [0.7, 3.0])
def test_the_compiled_search_takes_the_path_of_its_definition(
    length, shift, width, doublings, size
):
    assert fits(length, shift)
    x, table = problem(length, width, size=size)
    found = compiled(x, table, length, shift, doublings, 7, [12, 6])

    def path(part, node):
        return reference.shortest_in_16_bits(part, table, shift, doublings, node)

    for states, numbers in zip(found, x, strict=True):
        plain = reference.tail_biting(numbers, path, shift=shift, window=7, turns=[12, 6])
        np.testing.assert_array_equal(states, plain)


def test_turns_make_no_path_worse():
    x, table = problem(10, 1, steps=64, count=8)
    losses = []
    for turns in ([], [32], [32, 16], [32, 16, 48]):
        states = compiled(x, table, 10, 2, 0, 32, turns)
        gaps = table[states].astype(np.int64) - x
        losses.append(np.sum(np.clip(gaps, -32768, 32767) ** 2 >> 16, axis=(1, 2)))
    assert np.all(np.diff(losses, axis=0) <= 0)
    assert np.any(losses[-1] < losses[0])


def test_costs_that_overflow_are_told_or_paths_stay_closed():
    """Numbers at the ends of the range at every step, against a table of small numbers."""
    x, table = problem(8, 1, steps=40)
    table //= 64
    x[0], x[1, ::2], x[1, 1::2] = 32767, -32767, 32767
    states = compiled(x, table, 8, 1, 4, 20, [20])
    for row in states:
        closed = np.array_equal(row % 128, np.roll(row, -1) >> 1)
        assert closed or row[0] == -1


@pytest.mark.parametrize("length, shift, width", [(4, 1, 1), (6, 2, 2), (5, 5, 1), (8, 6, 1)])
def test_the_plain_search_is_the_definition(length, shift, width):
    rng = np.random.default_rng([length, shift, width])
    table, x = rng.normal(size=(1 << length, width)), rng.normal(size=(5, 12, width))
    states = np.empty((5, 12), np.int32)
    turns = [6, 3]
    _plain.search(x, table.T.copy(), shift, 5, np.array(turns), states, 0, 5)
    for row, found in zip(x, states, strict=True):
        expected = reference.tail_biting(
            row,
            lambda part, node: reference.shortest(part, table, shift, node),
            shift=shift,
            window=5,
            turns=turns,
        )
        np.testing.assert_array_equal(found, expected)
