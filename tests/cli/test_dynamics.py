"""``quincunx dynamics``."""

import json

import pytest
from typer.testing import CliRunner

from quincunx.cli import app


def run(*arguments):
    return CliRunner().invoke(app, ["dynamics", *map(str, arguments)])


@pytest.fixture
def hinge(tmp_path):
    path = tmp_path / "hinge.csv"
    path.write_text("z,count\n1,5100\n-1,4900\n1300,1\n")
    return path


def test_describe(hinge, tmp_path):
    result = run("describe", hinge)
    assert result.exit_code == 0, result.output
    assert "overlap, proved" in result.output and "0.24987501249875" in result.output
    facts = json.loads(run("describe", hinge, "--json").output)
    assert facts["critical_step"] == pytest.approx(8.00400160064025)
    assert facts["flip"] == "supercritical"
    apart = tmp_path / "apart.csv"
    apart.write_text("1\n2\n")
    assert "falls for ever along (1)" in run("describe", apart).output
    flat = tmp_path / "flat.csv"
    flat.write_text("1,2\n-1,-2\n")
    assert "they span 1" in run("describe", flat).output


def test_cycles(hinge):
    result = run("cycles", hinge, "--step", 6, "--max-period", 2, "--starts", 200)
    assert result.exit_code == 0, result.output
    assert "gamma 1.49925007499" in result.output and "0.99856411924" in result.output
    found = json.loads(run("cycles", hinge, "--gamma", "1.2", "--starts", 100, "--json").output)
    assert {(c["period"], c["stable"]) for c in found} >= {(1, True), (2, True), (2, False)}
    proved = run("cycles", hinge, "--step", 6, "--all", "--max-period", 2)
    assert proved.exit_code == 0 and "exactly these cycles" in proved.output


def test_certify_writes_what_verify_proves_again(hinge, tmp_path):
    proof = tmp_path / "proof.json"
    result = run("certify", hinge, "--step", 6, "--start", 1, "-o", proof, "--starts", 200)
    assert result.exit_code == 0, result.output
    assert "It has exactly one cycle of 2 points" in result.output
    again = run("verify", proof)
    assert again.exit_code == 0 and "converges to it" in again.output
    entries = json.loads(proof.read_text())
    entries["step"] = "5.9"
    proof.write_text(json.dumps(entries))
    assert run("verify", proof).exit_code == 2


def test_certify_finds_nothing_below_one(hinge):
    result = run("certify", hinge, "--gamma", "0.9", "--starts", 100)
    assert result.exit_code == 1 and "no stable cycle" in result.output


def test_converges(hinge, tmp_path):
    result = run("converges", hinge, "--gamma", "0.9", "-o", tmp_path / "proof.json")
    assert result.exit_code == 0 and "from every start" in result.output
    again = run("verify", tmp_path / "proof.json")
    assert again.exit_code == 0 and "from every start" in again.output
    assert run("converges", hinge, "--gamma", "1.5").exit_code == 1


def test_construct_makes_data_for_the_other_commands(tmp_path):
    path = tmp_path / "made.csv"
    result = run("construct", "0.5", "--dimension", 2, "-o", path)
    assert result.exit_code == 0, result.output
    made = json.loads(run("construct", "0.5", "--dimension", 2, "--json").output)
    cycles = run("cycles", path, "--step", made["step"], "--max-period", 2, "--json")
    assert [c["period"] for c in json.loads(cycles.output) if c["stable"]] == [1, 2]
    assert run("construct", "0.5").exit_code == 2


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_pictures(hinge, tmp_path, kind):
    pytest.importorskip("matplotlib")
    out = tmp_path / f"out.{kind}"
    for command in (
        ["bifurcation", hinge, "--steps", 50, "--iterations", 100],
        ["cobweb", hinge, "--step", 6, "--start", 1],
        ["trajectory", hinge, "--gamma", "1.5", "--start", 1],
        ["basins", hinge, "--gamma", "1.5", "--low=-2", "--high", 2, "--resolution", 10],
    ):
        result = run(*command, "-o", out)
        assert result.exit_code == 0, result.output
        assert out.stat().st_size > 1000
        out.unlink()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["cycles", "DATA"], "--step or --gamma"),
        (["cycles", "DATA", "--step", "1", "--gamma", "1"], "--step or --gamma"),
        (["cycles", "DATA", "--step", "x"], "'x'"),
        (["cycles", "DATA", "--step", "-1"], "give a number > 0"),
        (["cycles", "absent.csv", "--step", "1"], "No such file"),
        (["bifurcation", "DATA", "-o", "out.txt"], ".png, .svg or .pdf"),
        (["bifurcation", "DATA", "-o", "nowhere/out.png"], "no folder"),
        (["bifurcation", "DATA", "-o", "out.png", "--from", "3", "--to", "1"], "0 < from < to"),
        (["cobweb", "DATA", "-o", "out.png", "--step", "1", "--start", "1,2"], "2 numbers"),
        (["trajectory", "DATA", "-o", "out.png", "--step", "1", "--start", "a"], "with commas"),
        (["verify", "DATA"], ""),
    ],
)
def test_mistakes_are_told(hinge, tmp_path, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    result = run(*(str(hinge) if word == "DATA" else word for word in command))
    assert result.exit_code == 2, result.output
    assert message in result.output
