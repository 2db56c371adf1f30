"""``quincunx infer --blame``: the arcs' shares, for people and for programs."""

import json
import math

import pytest
from typer.testing import CliRunner

import quincunx
from quincunx import PDG, Arc, Variable
from quincunx.cli import app
from quincunx.graphs.examples import chest_clinic, weather

A = Variable("A", ["no", "yes"])


def run(path, model, *arguments):
    quincunx.write(model, path / "model.json")
    return CliRunner().invoke(app, ["infer", str(path / "model.json"), "--blame", *arguments])


@pytest.mark.parametrize("gamma", ["0", "0+", "0.5"])
def test_json_has_a_row_an_arc_and_adds_up(tmp_path, gamma):
    answer = json.loads(run(tmp_path, weather(), "--json", "-g", gamma).stdout)
    rows = answer["blame"]
    assert sorted(row["arc"] for row in rows[:-1]) == ["barometer", "forecast", "habit", "plan"]
    assert rows[-1]["arc"] is None
    total = sum(row["nats"] for row in rows)
    # The allowance for rounding; measured 3e-13.
    assert total == pytest.approx(answer["inconsistency"], abs=1e-10)
    assert sum(row["deficiency"] for row in rows) == pytest.approx(answer["idef"], abs=1e-10)
    nats = [row["nats"] for row in rows[:-1]]
    assert nats == pytest.approx(sorted(nats, reverse=True), abs=1e-12)


def test_people_see_a_table(tmp_path):
    hard = Arc([], A, [0.3, 0.7], 0, math.inf, "certain")
    model = PDG([hard, Arc([], A, [0.6, 0.4], label="doubtful")])
    lines = run(tmp_path, model, "-g", "0.5").stdout.splitlines()
    at = lines.index("Blame")
    assert lines[at + 1].split() == ["arc", "nats", "beta", "KL", "alpha", "H", "price"]
    found = {line.split()[0]: line.split()[1:] for line in lines[at + 2 : at + 5]}
    direct = quincunx.infer(model, gamma=0.5).blame()
    share = direct.shares[0]
    assert found["doubtful"] == [
        f"{x:.6g}" for x in (share.nats, share.incompatibility, share.deficiency)
    ]
    assert found["certain"][:3] == ["0", "0", "0"]
    assert float(found["certain"][3]) == pytest.approx(direct.shares[1].price, rel=1e-5)
    assert found["(entropy"][3] == f"{-0.5 * direct.entropy:.6g}"


def test_a_network_has_blame_in_structure_only(tmp_path):
    rows = json.loads(run(tmp_path, chest_clinic(), "--json").stdout)["blame"]
    assert len(rows) == 9 and all(row["incompatibility"] < 1e-14 for row in rows)


@pytest.mark.parametrize("other", ["--csv", "--describe"])
def test_where_it_has_no_place_it_is_refused(tmp_path, other):
    result = run(tmp_path, weather(), other)
    assert result.exit_code == 2 and "--blame goes with neither" in result.stderr
