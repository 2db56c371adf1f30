"""The command ``quincunx demo``, its models, and the drawings that it makes."""

import math
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from typer.testing import CliRunner

import quincunx
from quincunx import PDG, Arc, Variable
from quincunx.cli import _alarm, app
from quincunx.graphs.draw import draw_cluster_tree, draw_pdg, save_drawing
from quincunx.graphs.examples import chest_clinic, weather, weather_clash

HAS_MATPLOTLIB = find_spec("matplotlib") is not None
needs_matplotlib = pytest.mark.skipif(not HAS_MATPLOTLIB, reason="matplotlib is not installed")


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("tub", 0.0104),
        ("lung", 0.055),
        ("bronc", 0.45),
        ("either", 0.064828),
        ("xray", 0.11029004),
        ("dysp", 0.4359706),
    ],
)
def test_the_chest_clinic_has_its_published_probabilities(name, published):
    answer = quincunx.infer(chest_clinic())
    # the literature gives these rounded to at most eight places
    assert abs(answer.query(name).to_dict()["yes"] - published) < 5e-8
    assert answer.inconsistency <= answer.gap


def test_the_weather_has_the_answers_of_its_closed_form():
    forecast, barometer = np.array([0.7, 0.3]), np.array([0.4, 0.6])
    mean, product = np.sqrt(forecast * barometer), forecast * barometer
    for gamma, weights, value in (
        (0, mean, -2 * math.log(mean.sum())),
        (None, mean, -2 * math.log(mean.sum())),
        (1, product, -math.log(product.sum())),
    ):
        answer = quincunx.infer(weather(), gamma=gamma)
        # measured 3e-9 in probabilities; the engine stops at a gap of 1e-9
        assert abs(answer.inconsistency - value) < 1e-8
        np.testing.assert_allclose(answer.query("rain").values, weights / weights.sum(), atol=1e-5)


def test_the_clash_names_the_arcs_that_cannot_all_hold():
    with pytest.raises(quincunx._errors.ContradictionError) as error:
        quincunx.infer(weather_clash())
    for label in ("clouds", "habit", "full stand"):
        assert label in str(error.value)
    assert "forecast" not in str(error.value)


def test_the_demonstration_runs_without_optional_libraries(tmp_path, monkeypatch):
    monkeypatch.setattr(_alarm, "find_spec", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = CliRunner().invoke(app, ["demo", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "pip install 'quincunx[plots]'" in result.output
    assert "pip install 'quincunx[pgmpy]'" in result.output
    assert not list(tmp_path.iterdir())


def test_the_demonstration_shows_what_it_promises(tmp_path):
    # Run in a process of its own: importing pgmpy takes seconds and much memory.
    found = subprocess.run(
        [sys.executable, "-m", "quincunx", "demo"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
    )
    assert found.returncode == 0 and found.stderr == "", found.stderr
    text = found.stdout
    assert re.search(r"^ +0\+ +0\.095411 .* 0\.4450", text, re.MULTILINE)
    assert re.search(r"^ +1 +0\.776529 .* 0\.3913", text, re.MULTILINE)
    assert "ContradictionError" in text and "clouds, habit, full stand" in " ".join(text.split())
    assert re.search(r"^xray +0\.110290 +0\.219539 +seen", text, re.MULTILINE)
    assert "either, bronc, dysp" in text
    assert "Traceback" not in text
    if HAS_MATPLOTLIB:
        assert (tmp_path / "quincunx-demo-cluster-tree.png").read_bytes().startswith(b"\x89PNG")
        assert "quincunx-demo-cluster-tree.png" in text
    if _alarm.alarm_file() is not None:
        (difference,) = re.findall(r"posteriors is (\S+)\.\s", text)
        # measured 4e-16
        assert float(difference) < 1e-12


def test_a_folder_that_is_missing_is_said_first(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--folder", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert result.stdout == "" and "there is no folder" in result.stderr


@needs_matplotlib
def test_an_older_picture_is_not_replaced_in_silence(tmp_path, monkeypatch):
    monkeypatch.setattr(_alarm, "alarm_file", lambda: None)
    first = CliRunner().invoke(app, ["demo", "--folder", str(tmp_path)])
    second = CliRunner().invoke(app, ["demo", "--folder", str(tmp_path)])
    assert "older one" not in first.stdout
    assert "in place of an older one" in " ".join(second.stdout.split())


def odd_graph() -> PDG:
    """A graph with a cycle, a hard arc, one without a table, and names that need care."""
    a, b, c, d = (Variable(name, [0, 1]) for name in ("$a$", "b" * 60, "c", "d"))
    even = np.full((2, 2), 0.5)
    return PDG(
        [
            Arc(a, b, even),
            Arc(b, c, even, beta=3, label="from b to c"),
            Arc(c, a, even, alpha=0),
            Arc([a, b], d, None, alpha=0.5),
            Arc([], [a, d], even / 2, beta=math.inf),
        ],
        [Variable("alone", [0])],
    )


@needs_matplotlib
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_drawings_are_saved_as_their_name_says(tmp_path, kind):
    models = [weather(), odd_graph(), PDG(), chest_clinic().to_pdg()]
    models += [quincunx.plan(model).tree for model in models]
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    for i, model in enumerate(models):
        save_drawing(model, tmp_path / f"{i}.{kind}")
        assert (tmp_path / f"{i}.{kind}").read_bytes().startswith(start)


@needs_matplotlib
def test_a_drawing_of_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(quincunx._errors.ModelError, match=r"\.png, \.svg or \.pdf"):
        save_drawing(weather(), tmp_path / "picture.xyz")
    assert not list(tmp_path.iterdir())


@needs_matplotlib
def test_drawings_show_every_name_and_stay_in_given_axes():
    from matplotlib.figure import Figure

    ax = Figure(figsize=(4, 3)).add_subplot()
    assert draw_pdg(weather(), ax) is ax
    written = {text.get_text() for text in ax.texts}
    names = {"rain", "umbrella", "picnic", "forecast", "barometer", "habit", "plan"}
    assert names <= written
    tree = quincunx.plan(chest_clinic()).tree
    ax = draw_cluster_tree(tree, Figure().add_subplot())
    written_tree = " ".join(text.get_text() for text in ax.texts)
    assert all(v.name in written_tree for v in tree.variables)
