"""The command ``quincunx infer``: what it prints, in every form, and how it refuses."""

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import quincunx
from quincunx import PDG, Arc, Variable
from quincunx._types import Status
from quincunx.cli import app
from quincunx.cli._console import at_most
from quincunx.cli._names import parse_names, parse_states, write_name
from quincunx.cli._text import _deficiency
from quincunx.graphs.examples import chest_clinic, weather, weather_clash

COMMAND = [sys.executable, "-m", "quincunx"]
TEXTS = ["a", "a b", "a,b", "a=b", '"', "\\", ' "a\\, =b" ', "[bold]", "ü,日本", " lead", "trail "]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Model files: a PDG, a network, a clash, odd names, and a certainty."""
    path = tmp_path_factory.mktemp("models")
    quincunx.write(weather(), path / "weather.json")
    quincunx.write(chest_clinic(), path / "clinic.bif")
    quincunx.write(weather_clash(), path / "clash.json")
    odd = Variable("cost, total", ["a=b", "[bold]x", 'q"'])
    number = Variable("n", [1, 2.5, False])
    quincunx.write(
        PDG([Arc([], odd, [0.2, 0.3, 0.5]), Arc([], number, [0.2, 0.3, 0.5])]), path / "odd.json"
    )
    certain, free = Variable("A", ["no", "yes"]), Variable("B", ["no", "yes"])
    quincunx.write(PDG([Arc([], certain, [1, 0])], [free]), path / "certain.json")
    return path


def run(folder: Path, *arguments: str) -> Result:
    """Run the command in this process; an exception that escapes fails the test."""
    file, *rest = arguments
    result = CliRunner().invoke(app, ["infer", str(folder / file), *rest])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def test_json_holds_the_answer_and_its_certificate(folder):
    result = run(folder, "weather.json", "--json", "-q", "rain", "-q", "umbrella,rain")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    direct = quincunx.infer(weather())
    assert answer["status"] == "OPTIMAL" and answer["gamma"] == "0+"
    assert answer["inconsistency"] == direct.inconsistency and answer["gap"] == direct.gap
    assert answer["belief_error"] is None
    first, second = answer["queries"]
    assert first["variables"] == ["rain"] and first["states"] == [["no", "yes"]]
    np.testing.assert_array_equal(first["probabilities"], direct.query("rain").values)
    expected = direct.query(["umbrella", "rain"]).values
    np.testing.assert_array_equal(second["probabilities"], expected)


def test_json_has_infinities_as_strings_and_no_nan(folder):
    text = run(folder, "weather.json", "--json", "--gamma", "0.5").stdout
    answer = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert answer["idef_lower"] == "-inf"
    assert 0 < answer["belief_error"] < 1e-3
    assert [q["variables"] for q in answer["queries"]] == [["rain"], ["umbrella"], ["picnic"]]


def test_csv_has_a_row_an_entry(folder):
    result = run(folder, "weather.json", "--csv", "-q", "rain,umbrella", "-q", "picnic")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0]) == ["query", "state_1", "state_2", "probability"]
    assert [r["query"] for r in rows] == ["rain,umbrella"] * 4 + ["picnic"] * 2
    assert [r["state_2"] for r in rows] == ["no", "yes", "no", "yes", "", ""]
    joint = quincunx.infer(weather()).query(["rain", "umbrella"]).values.ravel()
    assert [float(r["probability"]) for r in rows[:4]] == joint.tolist()


def test_people_see_inconsistency_gap_and_all_variables(folder):
    result = run(folder, "clinic.bif")
    assert result.exit_code == 0
    for text in ("Bayesian network, 8 variables, 8 arcs", "inconsistency  0 nats", "proved within"):
        assert text in result.stdout
    for name, p in (("lung", 0.055), ("bronc", 0.45), ("xray", 0.11029), ("dysp", 0.435971)):
        (line,) = (x for x in result.stdout.splitlines() if x.startswith(f"{name} "))
        assert line.endswith(f"yes {p:.6f}")


@pytest.mark.parametrize(
    ("bound", "text"),
    [(0, "0"), (1e-8, "1e-08"), (2.01e-7, "3e-07"), (0.1, "0.1"), (0.31, "0.4"), (0.95, "1")],
)
def test_a_bound_is_rounded_up(bound, text):
    assert at_most(bound) == text


def shown_deficiency(*, idef, **known):
    """Return the line on IDef of an answer."""
    answer = quincunx.Inference(status=Status.OPTIMAL, idef=idef, **known)
    return _deficiency(answer)


def test_of_the_deficiency_only_certain_digits_are_shown():
    limit = {"gamma": None, "gap": 7e-12}
    less = "(the optimum has at most 3e-07 less)"
    assert shown_deficiency(idef=1e-17, idef_lower=-2.98604e-07, **limit) == f"0 nats  {less}"
    assert shown_deficiency(idef=-4e-9, idef_lower=-2.98e-07, **limit) == f"0 nats  {less}"
    assert shown_deficiency(idef=0.25, idef_lower=0.2501, **limit).endswith("has no less)")
    known = shown_deficiency(idef=math.pi, idef_lower=math.pi - 2.5e-6, **limit)
    assert known == "3.141593 nats  (the optimum has at most 3e-06 less)"
    assert shown_deficiency(idef=math.pi, gamma=0.5, gap=1e-10) == "3.14159 nats"
    assert shown_deficiency(idef=math.pi, gamma=0.5, gap=1e-16) == "3.14159265 nats"
    assert shown_deficiency(idef=math.pi, gamma=0.0, gap=9e-12) == "3.141593 nats"
    assert shown_deficiency(idef=-1e-17, gamma=0.0, gap=0.0) == "0 nats"
    assert shown_deficiency(idef=math.pi, gamma=9.0, gap=2.0) == "3.1416 nats"


def test_the_certificate_is_shown(folder):
    text = run(folder, "weather.json").stdout
    direct = quincunx.infer(weather())
    assert f"(proved within {at_most(direct.gap)})" in text
    (line,) = (x for x in text.splitlines() if x.startswith("IDef "))
    assert float(line.split()[1]) == pytest.approx(direct.idef, abs=1e-6)
    assert line.endswith(f"at most {at_most(direct.idef - direct.idef_lower)} less)")


def test_states_of_several_kinds(folder):
    line = next(x for x in run(folder, "odd.json").stdout.splitlines() if x.startswith("n "))
    assert line.split() == ["n", "1", "0.200000", "2.5", "0.300000", "False", "0.500000"]


@pytest.mark.parametrize(
    "given", [["-e", "asia=yes", "-e", "dysp=yes"], ["-e", "asia=yes,dysp=yes"]]
)
def test_evidence_conditions_the_answer(folder, given):
    answer = json.loads(run(folder, "clinic.bif", "--json", "-q", "lung", *given).stdout)
    expected = quincunx.infer(chest_clinic()).query("lung", {"asia": "yes", "dysp": "yes"})
    np.testing.assert_array_equal(answer["queries"][0]["probabilities"], expected.values)
    assert answer["given"] == {"asia": "yes", "dysp": "yes"}


def test_assuming_is_another_question_than_conditioning(folder):
    assumed = json.loads(
        run(folder, "weather.json", "--json", "-q", "rain", "--assume", "umbrella=yes").stdout
    )
    expected = quincunx.infer(weather(), assume={"umbrella": "yes"})
    assert assumed["inconsistency"] == expected.inconsistency > 1
    np.testing.assert_array_equal(
        assumed["queries"][0]["probabilities"], expected.query("rain").values
    )


def test_the_limit_of_a_network_can_be_asked_for(folder):
    own = json.loads(run(folder, "clinic.bif", "--json", "-q", "lung").stdout)
    limit = json.loads(run(folder, "clinic.bif", "--json", "-q", "lung", "-g", "0+").stdout)
    assert own["gamma"] == 1 and limit["gamma"] == "0+"
    np.testing.assert_allclose(
        own["queries"][0]["probabilities"], limit["queries"][0]["probabilities"], atol=1e-12
    )


@pytest.mark.parametrize("text", TEXTS)
def test_names_are_read_back_as_written(text):
    assert parse_names(write_name(text), "--query") == (text,)
    pair = f"{write_name(text)}={write_name(text)}"
    assert parse_states([f"{pair} , x=y"], "--given") == {text: text, "x": "y"}


def test_names_with_commas_and_equals_signs_are_quoted_or_escaped(folder):
    quoted = run(folder, "odd.json", "--json", "-q", '"cost, total"', "-e", '"cost, total"="a=b"')
    escaped = run(folder, "odd.json", "--json", "-q", r"cost\, total", "-e", r"cost\, total=a\=b")
    for result in (quoted, escaped):
        assert result.exit_code == 0
        answer = json.loads(result.stdout)
        assert answer["given"] == {"cost, total": "a=b"}
        assert answer["queries"][0]["probabilities"] == [1, 0, 0]
    rows = list(csv.reader(io.StringIO(run(folder, "odd.json", "--csv").stdout)))
    assert parse_names(rows[1][0], "--query") == ("cost, total",)
    assert "[bold]x" in run(folder, "odd.json").stdout  # not taken for markup


def test_states_are_matched_by_their_written_form(folder):
    answer = json.loads(run(folder, "odd.json", "--json", "-q", "n", "-e", "n=2.5").stdout)
    assert answer["queries"][0]["probabilities"] == [0, 1, 0]


def test_describe_solves_nothing(folder, monkeypatch):
    monkeypatch.setattr("quincunx.solvers.infer", lambda *_, **__: pytest.fail("solved"))
    text = run(folder, "weather.json", "--describe")
    assert text.exit_code == 0
    for word in ("treewidth", "clusters", "cells", "memory", "largest gamma", "interior point"):
        assert word in text.stdout
    found = json.loads(run(folder, "clinic.bif", "--describe", "--json").stdout)
    assert found["variables"] == found["arcs"] == 8
    assert found["treewidth"] == 2 and found["clusters"] == 6 and found["cells"] == 40
    assert found["largest_gamma"] == 1 and found["method"] == "sum-product"


def test_describe_tells_what_would_be_refused(folder):
    beyond = ("weather.json", "--describe", "--json", "-g", "2")
    found = json.loads(run(folder, *beyond).stdout)
    assert "outside the convex regime" in found["message"] and "local" in found["message"]
    assert "convex-concave" in found["method"] and "beta/alpha on forecast" in found["reason"]
    found = json.loads(run(folder, *beyond, "--engine", "clarabel").stdout)
    assert "would be refused" in found["message"]
    assert json.loads(run(folder, "certain.json", "--describe", "--json").stdout)[
        "largest_gamma"
    ] in (1, "inf")


def test_at_gamma_zero_it_is_said_that_others_fit_as_well(folder):
    # Nothing joins umbrella and picnic but the rain, so no table settles how they go together.
    joint = run(folder, "weather.json", "-g", "0", "-q", "umbrella,picnic")
    assert "--gamma 0+" in joint.stdout
    single = run(folder, "certain.json", "-g", "0", "--csv")
    assert "--gamma 0+" in single.stderr and "--gamma 0+" not in single.stdout


BAD_INPUT = [
    (["weather.json", "-q", "snow"], "no variable 'snow'"),
    (["weather.json", "-q", "rain,rain"], "each variable once"),
    (["weather.json", "-q", "rain,"], "expected a name"),
    (["weather.json", "-q", '"rain'], "closing double quote"),
    (["weather.json", "-q", "rain\\"], "after the backslash"),
    (["weather.json", "-q", "rain=yes"], "names only"),
    (["weather.json", "-e", "rain"], "name=state"),
    (["weather.json", "-e", "rain=maybe"], "no state 'maybe'"),
    (["weather.json", "-e", "rain=yes", "-e", "rain=no"], "one state"),
    (["weather.json", "--assume", "snow=yes"], "no variable 'snow'"),
    (["weather.json", "--gamma", "much"], "a number or 0+"),
    (["weather.json", "--gamma", "-1"], "gamma must be"),
    (["weather.json", "--gamma", "nan"], "a number or 0+"),
    (["weather.json", "--tolerance", "0"], "tolerance must be"),
    (["weather.json", "--time-limit", "soon"], "seconds"),
    (["weather.json", "--time-limit", "-1"], "time_limit must be"),
    (["weather.json", "--engine", "magic"], "engine must be"),
    (["weather.json", "--csv", "--describe"], "--csv goes with neither"),
    (["missing.bif"], "no file"),
    (["model.docx"], "unknown kind of file"),
    (["."], "unknown kind of file"),
]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("arguments", "text"), BAD_INPUT)
def test_bad_input_ends_with_one_message_and_code_2(folder, arguments, text, as_json):
    result = run(folder, *arguments, *(["--json"] if as_json else []))
    assert result.exit_code == 2
    if as_json:
        error = json.loads(result.stdout)
        assert error["status"] == "BAD_INPUT"
        assert text in error["message"] or "--csv goes with neither" in error["message"]
    else:
        assert result.stdout == ""
        assert text in result.stderr and result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["clash.json"], "CONTRADICTION", "clouds, habit, full stand"),
        (["weather.json", "-g", "2", "--engine", "clarabel"], "NOT_CONVEX", "allowed is 1;"),
        (["certain.json", "-e", "A=yes"], "IMPOSSIBLE_EVENT", "probability zero"),
        (["certain.json", "--assume", "A=yes"], "CONTRADICTION", "assume A=yes"),
    ],
)
def test_without_an_answer_the_code_is_1(folder, arguments, status, text):
    plain = run(folder, *arguments)
    assert plain.exit_code == 1 and text in plain.stderr and plain.stdout == ""
    program = run(folder, *arguments, "--json")
    assert program.exit_code == 1
    error = json.loads(program.stdout)
    assert error["status"] == status and text in error["message"]


def test_at_the_time_limit_the_best_point_is_shown(folder):
    # Clarabel looks at the clock between iterations only, and gets a millisecond at least.
    hard = Variable("a", range(40)), Variable("b", range(40)), Variable("c", range(3))
    rng = np.random.default_rng(0)
    model = PDG(
        [Arc([], v, rng.dirichlet(np.ones(len(v)))) for v in hard for _ in range(2)]
        + [Arc(hard[:2], hard[2], rng.dirichlet(np.ones(3), size=(40, 40)))]
    )
    quincunx.write(model, folder / "slow.json")
    result = run(folder, "slow.json", "--time-limit", "0.001", "-q", "c", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["status"] == "TIME_LIMIT" and "Time limit" in answer["message"]
    assert math.isclose(sum(answer["queries"][0]["probabilities"]), 1)


def test_what_was_not_foreseen_is_one_message_too(folder, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr("quincunx.solvers.infer", fail)
    monkeypatch.delenv("QUINCUNX_TRACEBACK", raising=False)
    result = run(folder, "weather.json")
    assert result.exit_code == 1 and "nobody thought of this" in result.stderr
    monkeypatch.setenv("QUINCUNX_TRACEBACK", "1")
    result = CliRunner().invoke(app, ["infer", str(folder / "weather.json")])
    assert isinstance(result.exception, ZeroDivisionError)


def process(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, **options
    )


def test_help_teaches_and_is_quick():
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        found = process("--help", env={**os.environ, "COLUMNS": "100"})
        seconds.append(time.perf_counter() - started)
    assert found.returncode == 0 and "quincunx demo" in found.stdout
    # measured 0.15 s of processor time; the rest is for a busy machine
    assert min(seconds) < 2
    for command in ("infer", "demo"):
        text = process(command, "--help", env={**os.environ, "COLUMNS": "100"}).stdout
        assert f"quincunx {command}" in text


def test_help_loads_no_solver():
    code = (
        "import sys\nfrom quincunx.cli import app\n"
        "try: app(['infer', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'scipy', 'networkx', 'clarabel', 'numba'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_the_version_is_that_of_the_package():
    assert process("--version").stdout == f"quincunx {quincunx.__version__}\n"


def test_a_reader_that_leaves_early_gets_no_traceback(folder):
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run(
        [*COMMAND, "infer", str(folder / "clinic.bif")],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert found.stderr == ""
    assert found.returncode != 0


def test_letters_that_the_output_lacks_are_escaped(folder):
    quincunx.write(PDG([Arc([], Variable("日本", ["ü"]), [1.0])]), folder / "letters.json")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    found = process("infer", str(folder / "letters.json"), env=environment)
    assert found.returncode == 0 and r"\u65e5\u672c" in found.stdout and found.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX does")
def test_ctrl_c_ends_a_solve_at_once(folder, tmp_path):
    rng = np.random.default_rng(0)
    variables = [Variable(f"v{i}", range(5)) for i in range(60)]
    arcs = [Arc([], v, rng.dirichlet(np.ones(5))) for v in variables]
    for i in range(3, 60):
        table = rng.dirichlet(np.ones(5), size=(5, 5, 5))
        arcs.append(Arc(variables[i - 3 : i], variables[i], table))
    quincunx.write(PDG(arcs), tmp_path / "long.json")
    # A shell's background jobs, and so their children, ignore SIGINT unless told otherwise.
    obey = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    run = obey + "runpy.run_module('quincunx', run_name='__main__')"
    path = str(tmp_path / "long.json")
    command = [sys.executable, "-c", run, "infer", path, "--gamma", "0.5"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(4)  # long enough to be in the solver, which needs much longer
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert err == "" and "proved" in out and "Interrupted: Ctrl-C" in out
