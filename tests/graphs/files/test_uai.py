"""UAI: models without names."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quincunx import Arc, BayesianNetwork, FactorGraph, Table, Variable
from quincunx._errors import FileFormatError, ModelError
from quincunx.graphs.files import uai
from tests.graphs.files.models import factor_graphs, networks, same

BAYES = """BAYES
3
2 2 3
3
1 0
2 0 1
3 0 1 2

2
 0.436 0.564

4
 0.128 0.872
 0.920 0.080

12
 0.210 0.333 0.457
 0.811 0.000 0.189
 0.2 0.3 0.5
 0.1 0.2 0.7
"""
MARKOV = "MARKOV\n2\n2 3\n2\n2 1 0\n0\n6\n1 2 3 4 5 6\n1 7\n"


def test_the_child_is_last_and_fastest():
    model = uai.loads(BAYES)
    assert isinstance(model, BayesianNetwork)
    last = model.arcs[2]
    assert last.source_names == ("X0", "X1")
    assert last.target_names == ("X2",)
    assert last.table[0, 1].tolist() == [0.811, 0.0, 0.189]
    assert model.variables[2].states == (0, 1, 2)


def test_factors_and_a_constant():
    model = uai.loads(MARKOV)
    assert isinstance(model, FactorGraph)
    assert model.factors[0].names == ("X1", "X0")
    assert model.factors[0].values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert model.factors[1].values == 7


@given(st.one_of(networks(), factor_graphs()))
def test_round_trip(model):
    assume(isinstance(model, BayesianNetwork) or all(w == 1 for w in model.weights))
    model = uai.anonymous(model)
    assert same(uai.loads(uai.dumps(model)), model)


def test_round_trip_of_factors_with_weight_one():
    a, b = Variable("a", ["x", "y"]), Variable("b", ["u", "v", "w"])
    tables = [Table([b, a], np.arange(6.0).reshape(3, 2)), Table([], 2.0)]
    model = uai.anonymous(FactorGraph(tables, variables=[a, b]))
    assert same(uai.loads(uai.dumps(model)), model)


def test_rows_that_miss_one_by_rounding_are_rescaled():
    with pytest.warns(UserWarning, match=r"'X0', misses it by 0\.001"):
        model = uai.loads(BAYES.replace("0.436", "0.435"))
    assert model.arcs[0].table.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("FACTOR 3", 1, "MARKOV or BAYES"),
        ("BAYES", 1, "the number of variables"),
        ("BAYES\n0", 2, "integer >= 1"),
        ("BAYES\n-1", 2, "'-1'"),
        ("BAYES\n²", 2, "'²'"),
        (BAYES.replace("2 2 3", "2 0 3"), 3, "states of X1"),
        (BAYES.replace("2 0 1", "2 0 9"), 6, "variable 9"),
        (BAYES.replace("2 0 1", "2 0 0"), 6, "variable 0 twice"),
        (BAYES.replace("12", "11"), 16, "12 joint states"),
        (BAYES[:-8], 20, "after 10 of 12"),
        (BAYES.replace("0.333", "x.333"), 17, "'x.333'"),
        (BAYES.replace("0.333", "nan"), 17, "'nan'"),
        (BAYES.replace("0.333", "-0.333"), 17, "'-0.333'"),
        (BAYES + "0.5 0.5\n", 21, "should end"),
    ],
)
def test_malformed(text, line, words):
    with pytest.raises(FileFormatError) as caught:
        uai.loads(text, "some.uai")
    assert str(caught.value).startswith(f"some.uai, line {line}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BAYES.replace("0.436", "0.2"), "sums to 0.764"),
        (BAYES.replace("2 0 1\n", "2 1 0\n"), "two arcs"),
        ("BAYES 1 2 2 1 0 0 2 0.5 0.5 1 1", "one has none"),
        (MARKOV.replace("1 2 3 4 5 6", "0 0 0 0 0 0"), "sums to 0"),
    ],
)
def test_not_a_model(text, words):
    with pytest.raises(FileFormatError, match=r"some\.uai: .*" + words):
        uai.loads(text, "some.uai")


def test_what_the_format_cannot_hold():
    named = Table([Variable("a", ["n", "y"])], [1, 2])
    with pytest.raises(ModelError, match="anonymous"):
        uai.dumps(FactorGraph([named]))
    with pytest.raises(ModelError, match="weight"):
        uai.dumps(FactorGraph([named], [2]))
    with pytest.raises(ModelError, match="not a PDG"):
        uai.dumps(FactorGraph([named]).to_pdg())
    a = Variable("X0", [0, 1])
    text = uai.dumps(BayesianNetwork([Arc([], a, [0.5, 0.5], alpha=2, label="coin")]))
    assert uai.loads(text).arcs[0].label is None
