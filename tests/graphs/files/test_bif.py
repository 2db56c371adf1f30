"""BIF: the syntax, its faults, and the published networks against pyAgrum."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

import quincunx
from quincunx import Arc, BayesianNetwork, Variable
from quincunx._errors import FileFormatError, ModelError, TooLargeError
from quincunx.graphs.files import bif
from tests.graphs.files.models import PLAIN, networks, same

# Nodes and arcs of each network, as the bnlearn repository of networks lists them.
SIZES = {
    "alarm": (37, 46),
    "andes": (223, 338),
    "asia": (8, 8),
    "barley": (48, 84),
    "cancer": (5, 4),
    "child": (20, 25),
    "diabetes": (413, 602),
    "earthquake": (5, 4),
    "hailfinder": (56, 66),
    "hepar2": (70, 123),
    "insurance": (27, 52),
    "link": (724, 1125),
    "mildew": (35, 46),
    "munin": (1041, 1397),
    "munin1": (186, 273),
    "munin2": (1003, 1244),
    "munin3": (1041, 1306),
    "munin4": (1038, 1388),
    "pathfinder": (109, 195),
    "pigs": (441, 592),
    "sachs": (11, 17),
    "survey": (6, 6),
    "water": (32, 66),
    "win95pts": (76, 112),
}


def published() -> Path:
    spec = find_spec("pgmpy")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("pgmpy is not installed: its package holds the published networks")
    return Path(spec.submodule_search_locations[0]) / "utils" / "example_models"


@pytest.mark.parametrize("name", SIZES)
def test_published_networks(name, tmp_path):
    network = quincunx.read(published() / f"{name}.bif.gz")
    arcs = sum(len(arc.sources) for arc in network.arcs)
    assert (len(network.variables), arcs) == SIZES[name]
    for arc in network.arcs:
        assert abs(arc.rows.sum(axis=1) - 1).max() < 1e-12
    if name == "child":
        return  # pyAgrum does not read it: states such as <5
    gum = pytest.importorskip("pyagrum")
    path = tmp_path / f"{name}.bif"
    path.write_bytes(gzip.decompress((published() / f"{name}.bif.gz").read_bytes()))
    theirs = gum.loadBN(str(path))
    assert (theirs.size(), theirs.sizeArcs()) == SIZES[name]
    for arc in network.arcs:
        table = theirs.cpt(arc.target_names[0])
        # toarray has the axes of names, backwards; pyAgrum reads numbers in single precision.
        order = [list(reversed(table.names)).index(v.name) for v in arc.scope]
        assert np.abs(table.toarray().transpose(order) - arc.table).max() < 1e-6
        for variable in arc.scope:
            assert theirs.variable(variable.name).labels() == variable.states


def test_every_published_network_is_listed():
    assert {p.name.removesuffix(".bif.gz") for p in published().glob("*.bif.gz")} == set(SIZES)


@pytest.mark.parametrize("name", ["asia", "child", "sachs", "hepar2", "water"])
def test_published_networks_round_trip(name):
    network = quincunx.read(published() / f"{name}.bif.gz")
    assert same(bif.loads(bif.dumps(network)), network)


@given(networks())
def test_round_trip_or_refusal(network):
    try:
        text = bif.dumps(network)
    except ModelError:
        return
    assert same(bif.loads(text), network)


@given(networks(names=PLAIN, states=PLAIN))
def test_round_trip_of_plain_names(network):
    assert same(bif.loads(bif.dumps(network)), network)


def test_what_the_format_cannot_hold():
    a = Variable("a", ["n", "y"])
    for variable in [Variable('"', ["a"]), Variable("a", ["x\ny"])]:
        with pytest.raises(ModelError, match="BIF cannot hold the name"):
            bif.dumps(BayesianNetwork([Arc([], variable, [1])]))
    with pytest.raises(ModelError, match="state 0 of 'b'"):
        bif.dumps(BayesianNetwork([Arc([], Variable("b", [0, 1]), [0.5, 0.5])]))
    with pytest.raises(ModelError, match="not a PDG"):
        bif.dumps(BayesianNetwork([Arc([], a, [0.5, 0.5])]).to_pdg())


HEAD = """network unknown {
}
variable a {
  type discrete [ 2 ] { n, y };
}
variable "b 1" {
  type discrete[3] { "u, 1" "v" w } ;
  property position = (73, 165) ;
}
"""
A = "probability ( a ) { table 0.25, 0.75; }\n"
B = 'probability ( "b 1" | a ) {\n  (n) 0.1, 0.2, 0.7;\n  (y) 0.3, 0.4, 0.3;\n}\n'


def test_everything_the_syntax_allows():
    network = bif.loads(
        '// "a\n/* probability\n{ */\nnetwork "dog // x" { property "x { } // y"; }\n'
        + "  # a remark\n"
        + HEAD.replace("{ n, y }", "{ n, /* no */ y } // yes")
        + A
        + 'probability(a2|a,"b 1"){\n  default 0.5 0.5;\n  (y, "u, 1") 1e-1, .9 ;\n'
        + "  ( n  w ) 0 1;\n}\n"
        + "variable a2 { type discrete [2] { http:\\\\x, <5 }; }\n"
        + 'probability ( "b 1" a ) { property "p; q"; table 0.1 0.3\n 0.2 0.4\n 0.7 0.3; }'
    )
    first, second, third = network.arcs
    assert [v.name for v in network.variables] == ["a", "b 1", "a2"]
    assert network.variables[1].states == ("u, 1", "v", "w")
    assert first.table.tolist() == [0.25, 0.75]
    assert second.target_names == ("a2",)
    assert second.table[1].tolist() == [[0.1, 0.9], [0.5, 0.5], [0.5, 0.5]]
    assert second.table[0].tolist() == [[0.5, 0.5], [0.5, 0.5], [0, 1]]
    # The child's state changes slowest in a table.
    assert third.table == pytest.approx(np.array([[0.1, 0.2, 0.7], [0.3, 0.4, 0.3]]))


def test_rows_that_miss_one_by_rounding():
    near = HEAD + A.replace("0.25", "0.2500001") + B
    assert bif.loads(near).arcs[0].table.sum() == pytest.approx(1, abs=1e-15)
    off = HEAD + A.replace("0.25", "0.2501") + B.replace("0.1,", "0.105,")
    with pytest.warns(UserWarning, match=r"x\.bif: rows of 2 tables .* 'b 1', misses it by 0\.005"):
        network = bif.loads(off, "x.bif")
    for arc in network.arcs:
        assert abs(arc.rows.sum(axis=1) - 1).max() < 1e-15


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("networks {\n}", 1, "expected a block"),
        ("network x {\n}\n", 3, "expected a block"),
        ("network x {", 1, "never closed"),
        (HEAD.replace("discrete [ 2 ]", "continuous"), 3, "'a' lacks its type"),
        (HEAD.replace("[ 2 ]", "[ 3 ]"), 4, "announces 3 states, not 2"),
        (HEAD.replace("n, y", "n, n"), 4, "twice"),
        (HEAD.replace('"b 1"', "a"), 6, "'a' comes twice"),
        (HEAD.replace('"b 1"', '"b 1'), 6, "quote"),
        (HEAD.replace('"b 1"', '""'), 7, "non-empty"),
        (HEAD + A + "probability ( c ) { table 1; }", 11, "'c' is not a variable"),
        (HEAD + A + "probability ( ) { table 1; }", 11, "'' is not a variable"),
        (HEAD + A + "what is this", 11, "what is this"),
        (HEAD + A.replace("0.75", "0.75, 0.1"), 10, "expected 2 numbers; found 3"),
        (HEAD + A.replace("0.75", "x"), 10, "expected 2 numbers; could not convert"),
        (HEAD + A.replace("table", "tables"), 10, "expected 2 numbers"),
        (HEAD + A.replace("table", "values"), 10, "expected a row"),
        (HEAD + A.replace("0.75", "0.8"), 10, "sums to 1.05"),
        (HEAD + A.replace("0.25, 0.75", "-0.25, 1.25"), 10, "numbers >= 0"),
        (HEAD + A.replace("0.25, 0.75", "nan, 1"), 10, "sums to nan"),
        (HEAD + A + A, 11, "'a' comes twice"),
        (HEAD + A, 11, "no arc gives 'b 1'"),
        (HEAD + A + B.replace("(y) 0.3, 0.4", "(y) 0.3, "), 13, "expected 3 numbers"),
        (HEAD + A + B.replace("0.7;", "0.7"), 12, "expected 3 numbers"),
        (HEAD + A + B.replace("(y)", "(x)"), 13, "'x' is not a state of 'a'"),
        (HEAD + A + B.replace("(y)", "(n)"), 13, "(n) comes twice"),
        (HEAD + A + B.replace("| a", '| "b 1"').replace("(n)", "(v)"), 13, "'y' is not a state"),
        (HEAD + A + B.replace("(y)", "(y, y)"), 13, "the states of 1 parents"),
        (HEAD + A + B.replace("(y)", "table"), 13, "nothing may stand beside"),
        (HEAD + A + B.replace("  (y) 0.3, 0.4, 0.3;\n", ""), 11, "lacks 1 of its 2 rows"),
        (HEAD + A + B.replace("| a", '| a, "b 1"'), 12, "states of 2 parents"),
        (HEAD + A + B[:-2], 11, "never closed"),
        (HEAD + "/* never closed\n" + A, 10, "expected a block"),
    ],
)
def test_malformed(text, line, words):
    with pytest.raises(FileFormatError) as caught:
        bif.loads(text, "some.bif")
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"some.bif, line {line}: ")


def test_a_table_too_large_is_refused_before_it_is_made():
    names = [f"v{i}" for i in range(60)]
    text = "".join(f"variable {n} {{ type discrete [2] {{ n, y }}; }}\n" for n in names)
    with pytest.raises(TooLargeError, match="'v0'"):
        bif.loads(text + f"probability ( v0 | {', '.join(names[1:])} ) {{ default 0.5, 0.5; }}")
