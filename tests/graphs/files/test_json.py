"""JSON: any model, without loss."""

import json as stdlib_json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx import PDG, Arc, Variable
from quincunx._errors import FileFormatError, ModelError
from quincunx.graphs.files import json
from tests.graphs.files.models import factor_graphs, networks, pdgs, same

FINITE = st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.floats(-9, 9))


@given(st.one_of(pdgs(states=FINITE), networks(states=FINITE), factor_graphs(states=FINITE)))
def test_round_trip(model):
    assert same(json.loads(json.dumps(model)), model)


def test_strict_json_with_infinities_as_text():
    a = Variable("a", ["n", "y"])
    b = Variable("b", [0, 1])
    table = [[0.25, 0.75], [np.nan, np.nan]]
    text = json.dumps(PDG([Arc(a, b, table, beta=np.inf), Arc([], b, None)]))

    def refuse(word):
        raise AssertionError(word)

    first, second = stdlib_json.loads(text, parse_constant=refuse)["arcs"]
    assert first["table"] == [[0.25, 0.75], None]
    assert first["beta"] == "inf"
    assert second["table"] is None


def test_undefined_entries_may_be_null_one_by_one():
    text = json.dumps(PDG([Arc("a", "b", [[0.5, 0.5], [0.2, 0.8]])], [ab("a"), ab("b")]))
    model = json.loads(text.replace("[0.5, 0.5]", "[null, null]"))
    assert np.isnan(model.arcs[0].table[0]).all()


def test_a_table_that_says_nothing_is_not_a_missing_one():
    nothing = PDG([Arc([], ab("a"), [np.nan, np.nan])])
    assert same(json.loads(json.dumps(nothing)), nothing)


def ab(name: str) -> Variable:
    return Variable(name, ["0", "1"])


def document(**changes: object) -> str:
    arc = {"sources": [], "targets": ["a"], "table": [0.5, 0.5]}
    arc |= changes.pop("arc", {})
    data = {
        "format": "quincunx",
        "version": 1,
        "model": "pdg",
        "variables": [{"name": "a", "states": ["n", "y"]}],
        "arcs": [arc],
    }
    return stdlib_json.dumps({k: v for k, v in (data | changes).items() if v != "drop"})


def test_confidences_and_label_may_be_left_out():
    assert json.loads(document()).arcs[0].beta == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format":\n "quincunx",,}', "line 2"),
        (document(format="other"), '"format": "quincunx"'),
        (document(version=2), "version"),
        (document(version=True), "version"),
        (document(model="mrf"), "mrf"),
        (document(model=["pdg"]), "model"),
        (document(arcs="drop"), "'arcs'"),
        (document(extra=1), "'extra'"),
        (document(variables={}), "variables should be a list"),
        (document(variables=[{"name": "a"}]), "variables[0] lacks the key 'states'"),
        (document(variables=[{"name": ["a"], "states": [1]}]), "non-empty string"),
        (document(variables=[{"name": "a", "states": [[1]]}]), "state"),
        (document(arc={"tabel": 1}), "arcs[0] has the unknown key 'tabel'"),
        (document(arc={"targets": ["b"]}), "'b'"),
        (document(arc={"targets": [["a"]]}), "arcs[0].targets"),
        (document(arc={"table": [0.5]}), "1 entries in place of 2"),
        (document(arc={"table": [0.5, "0.5"]}), "'0.5'"),
        (document(arc={"table": [0.5, True]}), "True"),
        (document(arc={"table": [0.5, 0.6]}), "1.1"),
        (document(arc={"table": [0, 10**400]}), "too large"),
        (document(arc={"beta": "big"}), "arcs[0].beta"),
        (document(arc={"alpha": "inf"}), "alpha must be a finite number"),
        (document(arc={"label": 3}), "arcs[0].label"),
        (document().replace("0.5", "NaN"), "NaN is not JSON"),
        (document().replace('"format"', '"model": "pdg", "format"'), "'model' stands twice"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed(text, words):
    with pytest.raises(FileFormatError) as caught:
        json.loads(text, "some.json")
    assert "some.json" in str(caught.value)
    assert words in str(caught.value)


def test_a_state_that_json_cannot_hold():
    with pytest.raises(ModelError, match="state inf"):
        json.dumps(PDG([], [Variable("a", [0.5, float("inf")])]))
    with pytest.raises(ModelError, match="expected a PDG"):
        json.dumps("model")
