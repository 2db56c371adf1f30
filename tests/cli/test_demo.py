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
from quincunx.cli import _alarm, app
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
    result = CliRunner().invoke(app, ["demo", "--part", "beliefs", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "pip install 'quincunx[plots]'" in result.output
    assert "pip install 'quincunx[pgmpy]'" in result.output
    assert not list(tmp_path.iterdir())


def test_the_demonstration_shows_what_it_promises(tmp_path):
    # Run in a process of its own: importing pgmpy takes seconds and much memory.
    found = subprocess.run(
        [sys.executable, "-m", "quincunx", "demo", "--part", "beliefs"],
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
    first = CliRunner().invoke(app, ["demo", "--part", "beliefs", "--folder", str(tmp_path)])
    second = CliRunner().invoke(app, ["demo", "--part", "beliefs", "--folder", str(tmp_path)])
    assert "older one" not in first.stdout
    assert "in place of an older one" in " ".join(second.stdout.split())


def test_an_unknown_part_is_said():
    result = CliRunner().invoke(app, ["demo", "--part", "lunch"])
    assert result.exit_code == 2 and "use all, beliefs, compression" in result.output


@pytest.mark.full
def test_the_demonstration_compresses_a_language_model(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "quincunx", "demo", "--part", "compression"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=1200,
    )
    assert found.returncode == 0, found.stderr
    for words in ("2.00", "KL to the original", "same likeliest token", "tokens a second"):
        assert words in found.stdout
    assert "<svg" in (tmp_path / "quincunx-demo.html").read_text()
