"""The same program for every engine; MOSEK's is compared entry for entry, without a licence."""

import subprocess
import sys

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import MissingExtraError, ModelError, SolveError
from quincunx._types import Status
from quincunx.solvers.inference import mosek as mosek_engine
from quincunx.solvers.inference.cone_program import cone_program
from quincunx.solvers.inference.objective import objective
from quincunx.solvers.inference.problem import compile_problem
from tests.problems import random_pdg


def program_of(seed, gamma):
    work = q.plan(random_pdg(seed), gamma=gamma)
    problem = compile_problem(work.pdg, work.tree)
    target = objective(problem, gamma)
    equations = problem.hard_equations()
    return cone_program(problem, target.linear, target.slope, gamma, equations)


def read_cbf(path):
    """Read the sections of a conic benchmark format file into lists of words."""
    titles = {"VER", "OBJSENSE", "VAR", "CON", "OBJACOORD", "OBJBCOORD", "ACOORD", "BCOORD"}
    sections, name = {}, None
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line in titles:
            name = line
            sections[name] = []
        else:
            sections[name].append(line.split())
    return sections


@pytest.mark.parametrize("seed", [0, 4, 7, 61])
@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_mosek_gets_the_same_program(tmp_path, seed, gamma):
    mosek = pytest.importorskip("mosek")
    program = program_of(seed, gamma)
    path = tmp_path / "task.cbf"
    with mosek.Env() as env, env.Task() as task:
        mosek_engine.fill_task(task, program)
        task.writedata(str(path))
    cbf = read_cbf(path)
    n, n_equal, n_rows = len(program.cost), len(program.right), len(program.offset)
    assert cbf["OBJSENSE"] == [["MIN"]]
    assert int(cbf["VAR"][0][0]) == n
    free = [(kind, int(count)) for kind, count in cbf["VAR"][1:]]
    assert sum(count for kind, count in free if kind == "L+") == program.nonnegative
    cost = np.zeros(n)
    for j, value in cbf["OBJACOORD"][1:]:
        cost[int(j)] = float(value)
    np.testing.assert_array_equal(cost, program.cost)
    # Rows in CBF: A x + b in cones; equalities as "L=", then triples (c, b, a) of "EXP".
    assert int(cbf["CON"][0][0]) == n_equal + n_rows
    matrix = np.zeros((n_equal + n_rows, n))
    for i, j, value in cbf["ACOORD"][1:]:
        matrix[int(i), int(j)] = float(value)
    right = np.zeros(n_equal + n_rows)
    for i, value in cbf.get("BCOORD", [[0]])[1:]:
        right[int(i)] = float(value)
    order = np.arange(n_rows).reshape(-1, 3)[:, ::-1].ravel()
    np.testing.assert_array_equal(matrix[:n_equal], program.equalities.toarray())
    np.testing.assert_array_equal(right[:n_equal], -program.right)
    np.testing.assert_array_equal(matrix[n_equal:], program.cones.toarray()[order])
    np.testing.assert_array_equal(right[n_equal:], program.offset[order])
    kinds = [(kind, int(count)) for kind, count in cbf["CON"][1:]]
    assert kinds[0] == ("L=", n_equal)
    assert sum(count for kind, count in kinds if kind == "EXP") == n_rows


def test_an_engine_that_nobody_knows():
    with pytest.raises(ModelError, match="'clarabel', 'cvxpy' or 'mosek', not 'ecos'"):
        q.Conic(engine="ecos")


def test_a_solver_that_cvxpy_lacks():
    A = q.Variable("A", ["t", "f"])
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4])])
    for name in ("NOSUCH", "OSQP"):  # the second has no exponential cone
        with pytest.raises(SolveError, match=f"solver '{name}' did not solve"):
            q.infer(pdg, solver=q.Conic(engine="cvxpy", cvxpy_solver=name))
        failed = q.infer(pdg, solver=q.Conic(engine="cvxpy", cvxpy_solver=name), throw=False)
        assert failed.status is Status.ENGINE_FAILED and name in failed.message


@pytest.mark.parametrize(("engine", "extra"), [("cvxpy", "cvxpy"), ("mosek", "mosek")])
def test_a_missing_engine_names_its_extra(monkeypatch, engine, extra):
    monkeypatch.setattr("quincunx._errors.find_spec", lambda name: None)
    A = q.Variable("A", ["t", "f"])
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4])])
    with pytest.raises(MissingExtraError, match=rf"quincunx\[{extra}\]"):
        q.infer(pdg, solver=q.Conic(engine=engine))


def test_same_bits_twice():
    """A fresh process gives the same bits: nothing depends on hashing or on time."""
    code = (
        "import quincunx as q; from tests.problems import random_pdg\n"
        "r = [q.infer(random_pdg(s), gamma=g) for s in (0, 5) for g in (0, None, 0.1)]\n"
        "print([(a.inconsistency.hex(), a.gap.hex(), a.beliefs.clusters[0].tobytes().hex())"
        " for a in r])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1 and runs.pop().strip()
