"""``quincunx infer`` with --most-probable, --sample and --bounds, in every form."""

import csv
import io
import json

import numpy as np
import pytest

import quincunx
from quincunx import PDG, Arc, Variable
from quincunx.cli._console import at_most
from quincunx.graphs.examples import chest_clinic, weather
from tests.cli.test_infer import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A PDG in conflict, a network, states of several kinds, and a certainty."""
    path = tmp_path_factory.mktemp("models")
    quincunx.write(weather(), path / "weather.json")
    quincunx.write(chest_clinic(), path / "clinic.bif")
    kinds = Variable("kind", [1, 2.5, False, "a,b"])
    other = Variable("probability", ["[bold]x", "y"])
    quincunx.write(PDG([Arc([], kinds, [0.1, 0.1, 0.1, 0.7])], [other]), path / "kinds.json")
    return path


def test_the_most_probable_state(folder):
    expected, probability = quincunx.infer(chest_clinic()).most_probable({"dysp": "yes"})
    arguments = ("clinic.bif", "--most-probable", "-e", "dysp=yes")
    answer = json.loads(run(folder, *arguments, "--json").stdout)
    assert answer["most_probable"] == {"states": expected, "probability": probability}
    assert answer["queries"] == [] and answer["given"] == {"dysp": "yes"}
    (row,) = csv.DictReader(io.StringIO(run(folder, *arguments, "--csv").stdout))
    assert float(row.pop("probability")) == probability
    assert row == expected
    text = run(folder, *arguments).stdout
    assert f"Most probable state, given dysp = yes, probability {probability:.6f}" in text
    assert "bronc     yes" in text.splitlines() and "proved within" in text


def test_samples(folder):
    drawn = quincunx.infer(weather()).sample(30, 7, {"rain": "yes"})
    arguments = ("weather.json", "--sample", "30", "--seed", "7", "-e", "rain=yes")
    rows = list(csv.reader(io.StringIO(run(folder, *arguments, "--csv").stdout)))
    assert rows[0] == ["rain", "umbrella", "picnic"] and len(rows) == 31
    names = np.array([["no", "yes"][i] for i in drawn.positions.ravel()]).reshape(30, 3)
    assert rows[1:] == names.tolist()
    found = json.loads(run(folder, *arguments, "--json").stdout)["samples"]
    assert found == {"seed": 7, "variables": rows[0], "states": rows[1:]}
    text = run(folder, *arguments).stdout
    assert "Samples, given rain = yes, seed 7" in text and "... 30 samples" in text
    assert len([line for line in text.splitlines() if line.startswith("yes")]) == 20


def test_samples_without_a_seed_are_the_same_every_time(folder):
    texts = {run(folder, "weather.json", "--sample", "40", "--csv").stdout for _ in range(2)}
    assert len(texts) == 1
    other = run(folder, "weather.json", "--sample", "40", "--csv", "--seed", "1").stdout
    assert other not in texts
    assert run(folder, "weather.json", "--sample", "0", "--csv").stdout == "rain,umbrella,picnic\n"


def test_states_keep_their_kinds(folder):
    answer = json.loads(run(folder, "kinds.json", "--most-probable", "--json").stdout)
    assert answer["most_probable"]["states"] == {"kind": "a,b", "probability": "[bold]x"}
    rows = json.loads(run(folder, "kinds.json", "--sample", "50", "--json").stdout)["samples"]
    column = rows["variables"].index("kind")
    assert {type(row[column]) for row in rows["states"]} == {int, float, bool, str}
    assert "[bold]x" in run(folder, "kinds.json", "--most-probable").stdout


def test_bounds(folder):
    bounds = quincunx.infer(weather(), gamma=0).bounds(["umbrella", "picnic"])
    arguments = ("weather.json", "--bounds", "-q", "umbrella,picnic")
    answer = json.loads(run(folder, *arguments, "--json").stdout)
    (query,) = answer["queries"]
    assert answer["gamma"] == 0 and answer["message"] == ""
    assert query["lower"] == bounds.lower.values.tolist()
    assert query["upper"] == bounds.upper.values.tolist() and query["slack"] == bounds.slack
    rows = list(csv.DictReader(io.StringIO(run(folder, *arguments, "--csv").stdout)))
    assert [float(r["upper"]) for r in rows] == bounds.upper.values.ravel().tolist()
    assert all(float(r["lower"]) < float(r["probability"]) < float(r["upper"]) for r in rows)
    text = run(folder, *arguments).stdout
    assert "p(umbrella, picnic), over all that fit the tables best" in text
    line = next(x for x in text.splitlines() if x.startswith("yes       yes"))
    low, high = bounds.lower.values[1, 1], bounds.upper.values[1, 1]
    assert line.split()[-2:] == [f"{low:.6f}", f"{high:.6f}"]
    meaning = "'at least' may be too low and 'at most' too high, by about"
    assert f"{meaning} {at_most(bounds.slack)}." in text
    given = run(folder, "weather.json", "--bounds", "-q", "umbrella", "-e", "rain=yes").stdout
    assert "divided by the probability of rain = yes." in given
    assert meaning not in run(folder, "kinds.json", "--bounds").stdout  # no conflict


def test_bounds_of_every_variable_and_given_evidence(folder):
    answer = json.loads(run(folder, "kinds.json", "--bounds", "--json").stdout)
    limits = {q["variables"][0]: (q["lower"], q["upper"]) for q in answer["queries"]}
    assert limits["probability"] == ([0, 0], [1, 1])
    np.testing.assert_allclose(limits["kind"], [[0.1, 0.1, 0.1, 0.7]] * 2, rtol=0, atol=1e-9)
    arguments = ("clinic.bif", "--bounds", "-q", "xray", "-e", "lung=yes", "--json")
    (query,) = json.loads(run(folder, *arguments).stdout)["queries"]
    # The X-rays that miss "either", 0.02 of at most 0.055 + 0.0104, can all be of lung cancer.
    missed = 0.02 * (0.055 + 0.0104) / 0.055
    np.testing.assert_allclose(query["lower"], [0, 1 - missed], rtol=0, atol=1e-9)
    np.testing.assert_allclose(query["upper"], [missed, 1], rtol=0, atol=1e-9)


def test_bounds_of_the_limit_contain_it(folder):
    answer = json.loads(
        run(
            folder, "weather.json", "--bounds", "-g", "0+", "-q", "umbrella,picnic", "--json"
        ).stdout
    )
    (query,) = answer["queries"]
    low, p, high = (np.array(query[key]) for key in ("lower", "probabilities", "upper"))
    assert answer["gamma"] == "0+" and (low < p).all() and (p < high).all()


def test_at_gamma_zero_joint_states_come_with_a_warning(folder):
    text = run(folder, "weather.json", "-g", "0", "--most-probable").stdout
    assert "need not determine how all variables go together" in text and "--bounds" in text
    assert "Note" not in run(folder, "weather.json", "--most-probable").stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--sample", "many"], "--sample 'many': expected a whole number"),
        (["--sample", "-3"], "whole number"),
        (["--sample", "3", "--seed", "1.5"], "--seed '1.5'"),
        (["--seed", "1"], "--seed is for --sample"),
        (["--bounds", "-g", "0.5"], "--bounds is about gamma = 0"),
        (["--most-probable", "-q", "rain"], "--query and --most-probable are different questions"),
        (["--most-probable", "--sample", "3"], "--most-probable and --sample"),
        (["--most-probable", "--bounds"], "--bounds and --most-probable"),
        (["--sample", "3", "-q", "rain", "--bounds"], "--query and --bounds and --sample"),
    ],
)
def test_options_that_do_not_go_together(folder, arguments, text):
    result = run(folder, "weather.json", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert text in result.stderr


def test_impossible_evidence_has_no_joint_state(folder):
    quincunx.write(PDG([Arc([], Variable("A", ["n", "y"]), [1, 0])]), folder / "certain.json")
    for question in (["--most-probable"], ["--sample", "2"], ["--bounds"]):
        result = run(folder, "certain.json", *question, "-e", "A=y")
        assert result.exit_code == 1 and "probability zero" in result.stderr
