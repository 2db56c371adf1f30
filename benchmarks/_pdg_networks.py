"""Posteriors of every variable of published networks, by us, pyAgrum and pgmpy.

Each pair of us and one peer runs in a process of its own, in which the two take turns, under a
limit on memory and on the time of one run; a peer that runs out is recorded as such.
"""

import argparse
import json
import logging
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import quincunx as q
from benchmarks._harness import ROOT, interleave, median, table, timed

PEERS = {
    "pyagrum-1": "pyAgrum, 1 thread",
    "pyagrum": "pyAgrum",
    "pgmpy-ve": "pgmpy VE",
    "pgmpy-bp": "pgmpy BP",
}
# Smallest first; all are in the package pgmpy.
QUICK = ("asia", "alarm", "hailfinder", "win95pts", "hepar2", "andes", "pigs")
LARGE = ("pathfinder", "water", "mildew", "barley", "diabetes", "link", "munin", "munin1")
ROUNDS = 9
BUDGET = 10.0  # seconds after which no further round begins
LOADING = 300.0  # seconds for imports and for handing the network to the peer

Posteriors = dict[str, np.ndarray]


def network_file(name: str) -> Path:
    spec = find_spec("pgmpy")
    if spec is None or spec.origin is None:
        raise SystemExit("these networks come with pgmpy; install the extra: quincunx[pgmpy]")
    return Path(spec.origin).parent / "utils" / "example_models" / f"{name}.bif.gz"


def compare(
    names: Iterable[str], limit: float, memory: float, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Time us against each peer on each network: one record a network.

    Arguments:
        names: networks.
        limit: seconds for one run of one method.
        memory: GiB of address space for each process.
        say: called with a line about each result.
    """
    records = []
    for name in names:
        record: dict[str, Any] = {"network": name, "peers": {}}
        for peer in PEERS:
            found = _run_worker(name, peer, limit, memory)
            record.update(found.pop("network", {}))
            record["peers"][peer] = found
            say(
                f"{name}, {peer}: ours {_shown(found.get('ours_s'))}, "
                f"peer {_shown(found.get('peer_s', found['outcome']))}"
            )
        records.append(record)
    return records


def _run_worker(name: str, peer: str, limit: float, memory: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks._pdg_networks", name, peer]
    command += ["--limit", str(limit), "--memory", str(memory)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        worker = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT)
        try:
            code = worker.wait(LOADING + 2 * (ROUNDS + 1) * limit)
        except subprocess.TimeoutExpired:
            worker.kill()
            code = worker.wait()
        out.seek(0)
        err.seek(0)
        found: dict[str, Any] = {}
        for line in out:
            found.update(json.loads(line))
        if "outcome" not in found:
            found["outcome"] = _outcome(code, err.read())
    return found


def _outcome(code: int, errors: str) -> str:
    if code == -signal.SIGALRM:
        return "timeout"
    if "bad_alloc" in errors or "MemoryError" in errors or code == -signal.SIGKILL:
        return "memory"
    last = errors.strip().splitlines()[-1:] or [f"exit code {code}"]
    return f"error: {last[0][:200]}"


def ours(network: q.BayesianNetwork) -> Posteriors:
    answer = q.infer(network)
    return {v.name: answer.query(v.name).values for v in network.variables}


def pyagrum(network: q.BayesianNetwork, threads: int) -> Callable[[], Posteriors]:
    """Hand the network over table by table: pyAgrum reads the numbers of a file as float32."""
    import pyagrum

    model = pyagrum.BayesNet()
    for v in network.variables:
        model.add(pyagrum.LabelizedVariable(v.name, v.name, [str(s) for s in v.states]))
    for arc in network.arcs:
        for source in arc.source_names:
            model.addArc(source, arc.target_names[0])
        # Its tables vary fastest in the child, then in the parents in the order they were added.
        sources = reversed(range(len(arc.sources)))
        flat = arc.table.transpose([*sources, len(arc.sources)]).ravel()
        model.cpt(arc.target_names[0]).fillWith(flat.tolist())
    names = [v.name for v in network.variables]

    def work() -> Posteriors:
        engine = pyagrum.LazyPropagation(model)
        if threads:
            engine.setNumberOfThreads(threads)
        engine.makeInference()
        return {n: engine.posterior(n).toarray() for n in names}

    return work


def pgmpy(network: q.BayesianNetwork, method: str) -> Callable[[], Posteriors]:
    logging.disable(logging.WARNING)
    from pgmpy.inference import BeliefPropagation, VariableElimination

    from quincunx.graphs.files.pgmpy import to_pgmpy

    model = to_pgmpy(network)
    kind = {"ve": VariableElimination, "bp": BeliefPropagation}[method]

    def work() -> Posteriors:
        engine = kind(model)
        if method == "bp":
            engine.calibrate()
        found = {}
        for v in network.variables:
            factor = engine.query([v.name], show_progress=False)
            states = factor.state_names[v.name]
            found[v.name] = factor.values[[states.index(s) for s in v.states]]
        return found

    return work


def worker(name: str, peer: str, limit: float, memory: float) -> None:
    """Time us and a peer in turn; print what is known, a line of JSON at a time."""
    warnings.simplefilter("ignore")
    network = q.read(network_file(name))
    assert isinstance(network, q.BayesianNetwork)
    tree = q.plan(network).tree
    _say(network={"variables": len(network.variables), "cells": sum(tree.sizes)})
    load: dict[str, Callable[[], Callable[[], Posteriors]]] = {
        "pyagrum-1": lambda: pyagrum(network, 1),
        "pyagrum": lambda: pyagrum(network, 0),
        "pgmpy-ve": lambda: pgmpy(network, "ve"),
        "pgmpy-bp": lambda: pgmpy(network, "bp"),
    }
    try:
        theirs = load[peer]()
        size = int(memory * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        first, mine = _limited(limit, lambda: ours(network))
        _say(ours_s=first, ours_runs=1)
        first, reference = _limited(limit, theirs)
        off = max(float(np.abs(mine[n] - reference[n]).max()) for n in mine)
        _say(peer_s=first, peer_runs=1, difference=off)
        if first < BUDGET:
            works = {"ours": lambda: ours(network), "peer": theirs}
            times = interleave(works, ROUNDS, BUDGET)
            _say(ours_s=median(times["ours"]), ours_runs=len(times["ours"]))
            _say(peer_s=median(times["peer"]), peer_runs=len(times["peer"]))
        _say(outcome="done")
    except MemoryError:
        _say(outcome="memory")
    except Exception as error:
        word = "memory" if "bad_alloc" in str(error) else f"error: {type(error).__name__}: {error}"
        _say(outcome=word[:200])


def _limited(limit: float, work: Callable[[], Any]) -> tuple[float, Any]:
    """Run some work; the process ends where it takes longer, even inside compiled code."""
    signal.setitimer(signal.ITIMER_REAL, limit)
    result = timed(work)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return result


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def networks_table(records: list[dict[str, Any]]) -> str:
    head = ["network", "variables", "cells", "ours (ms)"]
    for title in PEERS.values():
        head += [f"{title} (ms)", "ratio"]
    rows = []
    for record in records:
        peers = record["peers"]
        runs = [p["ours_s"] for p in peers.values() if "ours_s" in p]
        mine = f"{1e3 * median(runs):.1f}" if runs else peers["pyagrum-1"]["outcome"]
        row = [record["network"], record.get("variables", "?"), f"{record.get('cells', 0):,}", mine]
        for peer in PEERS:
            found = peers[peer]
            if "peer_s" in found:
                ratio = found["peer_s"] / found["ours_s"]
                row += [f"{1e3 * found['peer_s']:.1f}", f"**{ratio:.2f}x**"]
            else:
                row += [found["outcome"].split(":")[0], ""]
        rows.append(row)
    return table(head, rows)


def difference_table(records: list[dict[str, Any]]) -> str:
    rows = []
    for record in records:
        found = [record["peers"][p].get("difference") for p in PEERS]
        rows.append([record["network"], *("" if x is None else f"{x:.0e}" for x in found)])
    return table(["network", *PEERS.values()], rows)


def _shown(value: Any) -> str:
    return f"{1e3 * value:.2f} ms" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time one network against one peer.")
    parser.add_argument("name")
    parser.add_argument("peer", choices=list(PEERS))
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--memory", type=float, default=12.0)
    given = parser.parse_args()
    worker(given.name, given.peer, given.limit, given.memory)
