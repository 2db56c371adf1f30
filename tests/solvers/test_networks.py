"""Exact inference on published networks, against pyAgrum given the very same tables."""

import gzip
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import quincunx as q

pgmpy = pytest.importorskip("pgmpy", reason="needs pgmpy, whose package carries the networks")
gum = pytest.importorskip("pyagrum", reason="needs pyagrum, the peer compared with")

FOLDER = Path(pgmpy.__file__).parent / "utils" / "example_models"
FAST = ["asia", "cancer", "earthquake", "sachs", "survey", "child", "alarm", "insurance",
        "hailfinder", "win95pts", "hepar2", "andes"]  # fmt: skip
SLOW = ["pigs", "pathfinder", "water", "mildew", "barley", "diabetes", "munin1", "munin2", "munin3"]
NETWORKS = [*FAST, *(pytest.param(name, marks=pytest.mark.full) for name in SLOW)]


def in_pyagrum(bn):
    """Build the network in pyAgrum; its own reader takes numbers in single precision."""
    net = gum.BayesNet()
    for v in bn.variables:
        net.add(gum.LabelizedVariable(v.name, v.name, [f"s{i}" for i in range(len(v))]))
    for arc in bn.arcs:
        for parent in arc.source_names:
            net.addArc(parent, arc.target_names[0])
    for arc in bn.arcs:
        # A table of pyAgrum's has the variables of its names in reverse as axes.
        cpt = net.cpt(arc.target_names[0])
        names = [v.name for v in arc.scope]
        axes = [names.index(n) for n in reversed(cpt.names)]
        cpt[:] = np.ascontiguousarray(arc.table.transpose(axes))
    return net


def read(name):
    return q.read(FOLDER / f"{name}.bif.gz")


@pytest.mark.parametrize("name", NETWORKS)
def test_posteriors_equal_pyagrum(name):
    bn = read(name)
    answer = q.infer(bn)
    assert abs(answer.inconsistency) <= answer.gap + 1e-12
    peer = gum.LazyPropagation(in_pyagrum(bn))
    peer.makeInference()
    for v in bn.variables:
        ours, theirs = answer.query(v.name).values, peer.posterior(v.name).toarray()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["asia", "alarm", "insurance", "hailfinder", "win95pts"])
def test_posteriors_given_evidence_equal_pyagrum(name):
    bn = read(name)
    rng = np.random.default_rng(5)
    chosen = rng.permutation(len(bn.variables))[:4]
    answer = q.infer(bn)
    evidence, beliefs = {}, answer.beliefs
    for i in chosen:
        v = bn.variables[int(i)]
        likely = int(np.argmax(beliefs.marginal(v.name).values))
        evidence[v.name] = v.states[likely]
        beliefs = answer.beliefs.condition(evidence)
    peer = gum.LazyPropagation(in_pyagrum(bn))
    positions = {n: bn.variable(n).index(s) for n, s in evidence.items()}
    peer.setEvidence(positions)
    peer.makeInference()
    for v in bn.variables:
        if v.name not in evidence:
            np.testing.assert_allclose(
                beliefs.marginal(v.name).values, peer.posterior(v.name).toarray(), atol=1e-9
            )
    assert answer.beliefs.probability(evidence) == pytest.approx(
        peer.evidenceProbability(), rel=1e-9
    )
    assumed = q.infer(bn, assume=evidence)
    assert assumed.inconsistency == pytest.approx(-math.log(peer.evidenceProbability()), abs=1e-9)


@pytest.mark.parametrize("name", ["asia", "survey", "sachs", "child"])
@pytest.mark.parametrize("gamma", [None, 0.3, 1.0])
def test_networks_as_graphs_by_cone_programs(name, gamma):
    """The PDG of a network has inconsistency 0 and the network's posteriors at every gamma."""
    bn = read(name)
    exact = q.infer(bn)
    answer = q.infer(bn.to_pdg(), gamma=gamma, solver=q.Conic())
    assert -1e-9 <= answer.inconsistency <= 1e-6
    assert answer.inconsistency - answer.gap <= 1e-9
    for v in bn.variables:
        difference = answer.query(v.name).values - exact.query(v.name).values
        # Total variation; measured at most 2e-5 over these, at gamma = 0.3 on child.
        assert 0.5 * np.abs(difference).sum() <= max(answer.belief_error, 1e-4)


def test_reading_through_gzip_or_not(tmp_path):
    plain = tmp_path / "asia.bif"
    with gzip.open(FOLDER / "asia.bif.gz") as packed, plain.open("wb") as out:
        shutil.copyfileobj(packed, out)
    assert q.read(plain) == read("asia")
