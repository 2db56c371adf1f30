"""The pictures of ``quincunx infer``: which are saved, what they show, and how they are refused."""

import itertools
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import quincunx
from quincunx import PDG, Arc, Variable
from quincunx.cli import app
from quincunx.graphs import draw
from quincunx.graphs.examples import chest_clinic, weather

pytestmark = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which the command runs, with a PDG, a network and a graph too large to draw."""
    quincunx.write(weather(), tmp_path / "weather.json")
    quincunx.write(chest_clinic(), tmp_path / "clinic.bif")
    names = [f"v{i}" for i in range(70)]
    arcs = [Arc(a, b, [[0.7, 0.3], [0.2, 0.8]]) for a, b in itertools.pairwise(names)]
    doubt = [Arc([], "v40", [0.5, 0.5], label="one"), Arc([], "v40", [0.1, 0.9], label="two")]
    chain = PDG(arcs + doubt, [Variable(name, ["no", "yes"]) for name in names])
    quincunx.write(chain, tmp_path / "chain.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """What pictures are made of: the arguments of each function that draws."""
    calls = {}

    def recorded(name, paint):
        def record(*arguments):
            calls[name] = arguments
            return paint(*arguments)

        return record

    for name in ("draw_pdg", "draw_posteriors", "draw_cluster_tree", "draw_path", "titled"):
        monkeypatch.setattr(draw, name, recorded(name, getattr(draw, name)))
    return calls


def run(*arguments: str):
    result = CliRunner().invoke(app, ["infer", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_a_graph_is_drawn_with_its_blame_and_the_answers(folder, drawn, kind):
    result = run("weather.json", "-q", "rain", "-q", "rain,umbrella", "--plot", f"a.{kind}")
    assert result.exit_code == 0 and Path(f"a.{kind}").stat().st_size > 1000
    answer = quincunx.infer(weather())
    pdg, blame = drawn["draw_pdg"]
    assert pdg.arcs == weather().arcs
    for arc in weather().arcs:
        # At 0+ an arc's share is its part of Inc; the command solved anew, so a little off.
        assert abs(blame[arc.name] - PDG([arc]).inc(answer.beliefs)) < 1e-6
    assert blame["forecast"] > 0.02
    (tables,) = drawn["draw_posteriors"]
    assert [t.names for t in tables] == [("rain",), ("rain", "umbrella")]
    np.testing.assert_allclose(tables[0].values, answer.query("rain").values, atol=1e-6)
    assert drawn["titled"][1] == (
        f"weather.json\ngamma: 0+, the limit; inconsistency: {answer.inconsistency:.4g} nats"
    )


def test_evidence_is_shown_beside_what_was_before(folder, drawn):
    run("clinic.bif", "--given", "asia=yes,dysp=yes", "--plot", "clinic.svg")
    (answers,) = drawn["draw_posteriors"]
    assert list(answers) == ["before", "given asia = yes, dysp = yes"]
    before, after = answers.values()
    assert [t.names[0] for t in before] == [v.name for v in chest_clinic().variables]
    lung = next(i for i, t in enumerate(before) if t.names == ("lung",))
    assert abs(before[lung].values[1] - 0.055) < 1e-9
    expected = quincunx.infer(chest_clinic()).query("lung", {"asia": "yes", "dysp": "yes"})
    np.testing.assert_allclose(after[lung].values, expected.values, atol=1e-12)
    # A network agrees with itself: nobody is to blame, whatever gamma its method works at.
    assert max(drawn["draw_pdg"][1].values()) < 1e-9


def test_at_a_gamma_blame_has_the_structures_share_too(folder, drawn):
    run("weather.json", "--gamma", "0.5", "--plot", "a.svg")
    answer = quincunx.infer(weather(), gamma=0.5)
    for share in answer.blame().shares:
        assert abs(drawn["draw_pdg"][1][share.arc.name] - share.nats) < 1e-6
    assert max(s.nats - s.incompatibility for s in answer.blame().shares) > 0.1


def test_what_is_assumed_is_an_arc_of_the_picture(folder, drawn):
    run("weather.json", "--assume", "umbrella=yes", "--plot", "a.svg")
    assert drawn["draw_pdg"][0].arcs[-1].name == "assume umbrella=yes"
    assert "assuming umbrella = yes" in drawn["titled"][1]


def test_of_a_large_graph_the_part_around_the_query_is_drawn(folder, drawn):
    result = run("chain.json", "-q", "v5", "--plot", "a.svg", "--json")
    assert json.loads(result.stdout)["status"] == "OPTIMAL"
    assert "shows 60 of 70 variables" in result.stderr
    part, blame = drawn["draw_pdg"]
    names = [v.name for v in part.variables]
    assert len(names) == 60 and {"v0", "v5", "v59"} <= set(names) and "v60" not in names
    assert set(blame) == {arc.name for arc in part.arcs}


def test_of_a_large_graph_without_a_query_the_part_around_the_clash_is_drawn(folder, drawn):
    run("chain.json", "--plot", "a.svg")
    names = {v.name for v in drawn["draw_pdg"][0].variables}
    assert {"v40", "v69", "v11"} <= names and "v5" not in names
    assert {t.names[0] for t in drawn["draw_posteriors"][0]} == names


def test_the_tree_is_drawn_before_anything_is_solved(folder, drawn, monkeypatch):
    monkeypatch.setattr("quincunx.solvers.infer", lambda *_, **__: pytest.fail("solved"))
    assert run("clinic.bif", "--describe", "--plot-tree", "tree.png").exit_code == 0
    assert Path("tree.png").read_bytes().startswith(b"\x89PNG")
    assert drawn["draw_cluster_tree"] == (quincunx.plan(chest_clinic()).tree,)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--plot", "a.gif"], ".svg, .png or .pdf"),
        (["--plot-tree", "tree"], ".svg, .png or .pdf"),
        (["--plot", "none/a.svg"], "there is no folder none"),
        (["--describe", "--plot", "a.svg"], "solves nothing"),
        (["--describe", "--plot-gamma", "a.svg"], "solves nothing"),
        (["--plot", "a.svg", "--plot-tree", "./a.svg"], "different names"),
    ],
)
def test_what_could_not_be_saved_is_refused_before_any_work(folder, monkeypatch, arguments, text):
    monkeypatch.setattr("quincunx.graphs.read", lambda *_: pytest.fail("read the model"))
    before = sorted(folder.iterdir())
    result = run("weather.json", *arguments)
    assert result.exit_code == 2 and text in result.stderr and result.stdout == ""
    assert sorted(folder.iterdir()) == before


def test_without_matplotlib_the_extra_is_named_before_any_work(folder, monkeypatch):
    monkeypatch.setattr("quincunx._errors.find_spec", lambda _: None)
    monkeypatch.setattr("quincunx.graphs.read", lambda *_: pytest.fail("read the model"))
    result = run("weather.json", "--plot", "a.svg")
    assert result.exit_code == 2 and "pip install 'quincunx[plots]'" in result.stderr


def test_a_tree_that_cannot_be_read_is_refused_before_solving(folder, monkeypatch):
    monkeypatch.setattr("quincunx.solvers.infer", lambda *_, **__: pytest.fail("solved"))
    names = [f"v{i}" for i in range(200)]
    arcs = [Arc(a, b, np.full((2, 2), 0.5)) for a, b in itertools.pairwise(names)]
    quincunx.write(PDG(arcs, [Variable(name, [0, 1]) for name in names]), "long.json")
    result = run("long.json", "--plot-tree", "tree.svg")
    assert result.exit_code == 2 and "199 clusters" in result.stderr
    assert not Path("tree.svg").exists()


def test_a_path_along_gamma_has_the_answers_of_each_gamma(folder, drawn):
    arguments = ["weather.json", "-q", "rain", "-q", "rain,picnic", "-e", "umbrella=yes"]
    assert run(*arguments, "--plot-gamma", "path.svg").exit_code == 0
    gammas, values, gaps, lines = drawn["draw_path"]
    assert (
        gammas[0] == 1 and gammas[-1] is None and sorted(gammas[:-1], reverse=True) == gammas[:-1]
    )
    assert next(iter(lines)) == "rain = yes" and len(lines) == 5
    for i, gamma in [(0, 1.0), (4, 0.2), (-1, None)]:
        answer = quincunx.infer(weather(), gamma=gamma)
        assert abs(values[i] - answer.inconsistency) <= max(gaps[i], answer.gap)
        expected = answer.query(["rain", "picnic"], {"umbrella": "yes"}).values
        found = [
            lines[f"rain = {r}, picnic = {p}"][i] for r in ("no", "yes") for p in ("no", "yes")
        ]
        np.testing.assert_allclose(found, expected.ravel(), atol=1e-5)
    # Known in closed form at both ends.
    assert abs(values[0] + np.log(0.7 * 0.4 + 0.3 * 0.6)) < 1e-8
    assert abs(values[-1] + 2 * np.log(np.sqrt(0.28) + np.sqrt(0.18))) < 1e-8


def test_a_path_has_no_more_lines_than_can_be_told_apart(folder, drawn):
    variable = Variable("n", range(12))
    quincunx.write(PDG([Arc([], variable, np.full(12, 1 / 12))]), "many.json")
    result = run("many.json", "-q", "n", "--plot-gamma", "path.svg")
    assert "first 8 of 12 probabilities" in result.stderr
    assert list(drawn["draw_path"][3]) == [f"n = {i}" for i in range(8)]
