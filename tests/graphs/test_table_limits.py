"""Tables at the limits of memory, and what they refuse."""

import builtins
import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from quincunx import Table, Variable
from quincunx._errors import ModelError, TooLargeError
from quincunx.graphs import memory
from quincunx.graphs.table import require_table
from tests.graphs.test_table import A, B

# Memory


def peak_of(call):
    """Bytes that a refused call allocated at most."""
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError) as caught:
            call()
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


def test_a_product_too_large_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(memory, "physical_memory", lambda: 2**20)
    one = Table([Variable("X", range(400))], np.ones(400))
    other = Table([Variable("Y", range(400))], np.ones(400))
    peak, message = peak_of(lambda: one * other)
    assert peak < 100_000  # the product would take 1,280,000 bytes
    assert "2 variables (1.6e+05 entries) would take 0.001192 GiB" in message
    assert "Ask about fewer variables at once" in message


def test_sixty_variables():
    variables = [Variable(f"X{i}", [0, 1]) for i in range(60)]
    peak, message = peak_of(lambda: require_table(variables))
    assert peak < 100_000
    assert "a joint table over 60 variables (1.15e+18 entries) would take 8.59e+09 GiB" in message


def test_axes_are_counted_too():
    variables = [Variable(f"X{i}", ["only"]) for i in range(65)]
    with pytest.raises(TooLargeError, match="65 variables was asked for; 64 is the most"):
        require_table(variables)
    require_table(variables[:64])


def test_sixty_four_axes_work():
    table = Table([Variable(f"X{i}", ["only"]) for i in range(64)], np.ones([1] * 64))
    assert (table * table).marginal("X63").values.tolist() == [1]


def test_require_memory_at_its_limit(monkeypatch):
    monkeypatch.setattr(memory, "physical_memory", lambda: 10 * 2**30)
    memory.require_memory(6 * 2**30, "it")
    with pytest.raises(TooLargeError, match=r"^it would take 6 GiB; this machine can give 6 GiB\."):
        memory.require_memory(6 * 2**30 + 1, "it")
    with pytest.raises(MemoryError, match="remove arcs"):
        memory.require_memory(2**40, "it")


def test_physical_memory_where_the_system_does_not_tell(monkeypatch):
    assert memory.physical_memory() > 2**26

    def fail(name):
        raise ValueError(name)

    monkeypatch.setattr(memory.os, "sysconf", fail)
    assert memory.physical_memory() == 16 * 2**30


def test_sizes_beyond_floats_are_refused_too():
    with pytest.raises(TooLargeError):
        memory.require_memory(10**400, "it")


# Faults found


def test_the_only_entry_of_a_table_over_nothing_is_not_negative():
    with pytest.raises(ModelError, match="at its only entry it has -1"):
        Table((), -1.0)


@pytest.mark.parametrize("values", [["x", "y"], [[1], [1, 2]], [1j, 2]])
def test_what_is_not_numbers(values):
    with pytest.raises(ModelError):
        Table([A], values)


@pytest.mark.parametrize("variables", [["A"], A])
def test_a_table_is_over_variables(variables):
    with pytest.raises(ModelError):
        Table(variables, [1, 2])


def test_product_with_a_number():
    with pytest.raises(builtins.TypeError):
        Table([A], [1, 2]) * 2


@pytest.mark.parametrize("ask", [Table.marginal, Table.conditional, Table.entropy])
def test_a_variable_with_other_states_is_another(ask):
    with pytest.raises(ModelError):
        ask(Table([A], [0.25, 0.75]), Variable("A", ["a1", "a0"]))


def test_a_conditional_is_frozen():
    assert not Table([A, B], np.ones((2, 3))).conditional("A").values.flags.writeable


@pytest.mark.parametrize("other", [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy])
def test_copies_are_frozen(other):
    assert not other(Table([A], [1, 2])).values.flags.writeable


def test_equal_tables_are_equal():
    assert Table([A], [1, 2]) == Table([A], [1, 2])
