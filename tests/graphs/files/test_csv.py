"""Spreadsheets of beliefs."""

import numpy as np
import pytest
from hypothesis import given

from quincunx import PDG, Arc, BayesianNetwork, Variable
from quincunx._errors import FileFormatError, ModelError
from quincunx.graphs.files import csv
from tests.graphs.files.models import PLAIN, pdgs, same

HEAD = "arc,given,event,probability,alpha,beta\n"


@given(pdgs())
def test_round_trip_or_refusal(pdg):
    try:
        text = csv.dumps(pdg)
    except ModelError:
        return
    assert same(csv.loads(text), pdg)


@given(pdgs(names=PLAIN, states=PLAIN))
def test_round_trip_with_plain_names(pdg):
    for arc in pdg.arcs:
        if arc.label == "" or (arc.label or "x").strip() != (arc.label or "x"):
            return
        if arc.table is not None and np.isnan(arc.table).all():
            return
    keys = {(a.label, frozenset(a.source_names), frozenset(a.target_names)) for a in pdg.arcs}
    if len(keys) == len(pdg.arcs):
        assert same(csv.loads(csv.dumps(pdg)), pdg)


def test_a_spreadsheet_as_one_would_write_it():
    pdg = csv.loads(
        HEAD
        + ",,variable: cancer=no|yes|unsure,,,\n"
        + "clinic,smoker=yes; age=old,cancer=yes,0.2,,10\n"
        + "clinic,smoker=yes; age=old,cancer=no,0.7,,\n"
        + "clinic,age=young; smoker=no,cancer=no,1,0.5,\n"
        + ",,smoker=yes,0.3,,inf\n"
        + ",smoker,age,,2,\n"
    )
    assert [v.name for v in pdg.variables] == ["cancer", "smoker", "age"]
    clinic, smoker, age = pdg.arcs
    assert clinic.name == "clinic"
    assert (clinic.alpha, clinic.beta) == (0.5, 10)
    assert clinic.table[0, 0] == pytest.approx([0.7, 0.2, 0.1])
    assert clinic.table[1, 1].tolist() == [1, 0, 0]
    assert np.isnan(clinic.table[0, 1]).all()
    assert smoker.table == pytest.approx([0.3, 0.7])
    assert smoker.beta == np.inf
    assert smoker.label is None
    assert age.table is None
    assert age.alpha == 2


def test_other_separators_order_of_columns_and_notes():
    pdg = csv.loads('Probability;Event;Note\r\n0.25;rain=yes;"heard; twice"\r\n;rain=no;\r\n')
    assert pdg.arcs[0].table.tolist() == [0.25, 0.75]


def test_a_joint_event_and_zeros_left_out():
    pdg = csv.loads("event,probability\na=1; b=1,0.5\nb=2; a=2,0.5\n")
    assert pdg.arcs[0].table.tolist() == [[0.5, 0], [0, 0.5]]


@pytest.mark.parametrize(
    ("rows", "line", "words"),
    [
        (",,rain=yes,half,,\n", 2, "'half'"),
        (",,rain=yes,1.5,,\n", 2, "1.5"),
        (",,rain=yes,nan,,\n", 2, "nan"),
        (",,,0.5,,\n", 2, "event is empty"),
        (",,rain,0.5,,\n", 2, "rain=..."),
        (",,rain=,0.5,,\n", 2, "expected name=state"),
        (",,a=1;a=2,0.5,,\n", 2, "expected name=state"),
        (",,rain=yes,0.5,,\n", 2, "declare the other states"),
        (",,r=y,0.5,,\n,,r=n,0.6,,\n", 2, "sums to 1.1"),
        ("\n,,r=y,0.5,,\n,,r=y,0.5,,\n", 4, "twice"),
        (",,r=y,0.5,,2\n,,r=n,0.5,,3\n", 3, "beta is 3"),
        (",,r=y,0.5,inf,\n,,r=n,0.5,,\n", 2, "alpha must be"),
        (",,variable: r=y|n,,,\n,,r=m,0.5,,\n", 3, "declared state"),
        (",,variable: r=y|y,,,\n", 2, "twice"),
        (",,variable: r=,,,\n", 2, "declaration"),
        (",,a=1,0.2,,\n,,a=2,0.2,,\n,,a=3,,,\n,,a=4,,,\n", 2, "2 of its 4 entries"),
        (",r=y,r=y,0.5,,\n,r=y,r=n,0.5,,\n", 2, "each variable may stand once"),
        (",,a=1,0.5,,,,7\n", 2, "8 cells under 6"),
        (",,a=1,0,25,,2\n", 2, "a decimal point"),
        (',,a=1,"0,25",,\n', 2, "not '0,25'; it has a decimal comma: write 0.25"),
        (",,a=1,70%,,\n", 2, "not '70%'; it has a percent sign: write 0.7"),
        (',,a=1,"62,5 %",,\n', 2, "it has a percent sign and a decimal comma: write 0.625"),
        (',,a=1,0.5,,"2,5"\n', 2, "beta should be a number such as 0.25, not '2,5'"),
        (",,a=1,70,,\n", 2, "if this is a percentage, write 0.7"),
        (',,"a"b,0.5,,\n', 2, "not CSV"),
    ],
)
def test_malformed(rows, line, words):
    with pytest.raises(FileFormatError) as caught:
        csv.loads(HEAD + rows, "some.csv")
    assert str(caught.value).startswith(f"some.csv, line {line}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("cell", ["half", "1,2,3", "%", "7%%", "-3"])
def test_no_remedy_is_made_up(cell):
    with pytest.raises(FileFormatError) as caught:
        csv.loads(f"event;probability\na=1;{cell}\n")
    assert "write" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("event,probabilty\n", "'probabilty'"),
        ("event,beta\n", "'probability'"),
        ("event,probability,event\n", "twice"),
        ("event,probability\na,\n", "no row gives 'a' a state"),
    ],
)
def test_malformed_header(text, words):
    with pytest.raises(FileFormatError, match=words):
        csv.loads(text, "some.csv")


def test_what_a_spreadsheet_cannot_hold():
    a = Variable("a", ["0", "1"])
    for variable in [
        Variable("x=y", "ab".split()),
        Variable("x;y", ["a"]),
        Variable(" x", ["a"]),
        Variable("variable: x", ["a"]),
        Variable("x", ["a|b"]),
        Variable("x", [""]),
        Variable("x", [1, 2]),
    ]:
        with pytest.raises(ModelError, match="spreadsheet"):
            csv.dumps(PDG([], [variable]))
    for arcs in [
        [Arc([], a, [0.5, 0.5]), Arc([], a, [0.2, 0.8])],
        [Arc([], a, [np.nan, np.nan])],
        [Arc([], a, None, label=" ")],
    ]:
        with pytest.raises(ModelError, match="spreadsheet"):
            csv.dumps(PDG(arcs))
    with pytest.raises(ModelError, match="to_pdg"):
        csv.dumps(BayesianNetwork([Arc([], a, [0.5, 0.5])]))
