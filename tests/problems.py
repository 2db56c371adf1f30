"""Random dependency graphs and graphs whose answers are known in closed form."""

import math

import numpy as np

import quincunx as q


def random_pdg(seed, *, most_worlds=700, width=4, extras=True):
    """Draw a PDG over a random k-tree: 2 to 8 variables of 2 to 4 states.

    With ``extras``, some draws have zeros, undefined rows, unequal confidences, a hard arc, or a
    variable that no arc mentions.
    """
    rng = np.random.default_rng(seed)
    while True:
        n = int(rng.integers(2, 9))
        sizes = rng.integers(2, 5, size=n)
        if math.prod(sizes.tolist()) <= most_worlds:
            break
    variables = [q.Variable(f"X{i}", [f"s{j}" for j in range(k)]) for i, k in enumerate(sizes)]
    k = int(rng.integers(1, min(width, n - 1) + 1))
    clusters = [list(range(min(k + 1, n)))]
    for v in range(k + 1, n):
        base = rng.choice(clusters[int(rng.integers(len(clusters)))], k, replace=False)
        clusters.append([*map(int, base), v])
    arcs = []
    for _ in range(int(rng.integers(n, 2 * n + 1))):
        cluster = clusters[int(rng.integers(len(clusters)))]
        n_targets = int(rng.integers(1, 3))
        n_sources = int(rng.integers(0, min(3, len(cluster) - n_targets) + 1))
        chosen = [variables[int(i)] for i in rng.permutation(cluster)[: n_sources + n_targets]]
        arcs.append(random_arc(rng, chosen[:n_sources], chosen[n_sources:], extras))
    if extras and rng.random() < 0.3:
        variables = [*variables, q.Variable("idle", ["a", "b"])]
    if extras and rng.random() < 0.25:
        arc = arcs[int(rng.integers(len(arcs)))]
        arcs.append(random_arc(rng, arc.sources[:1], arc.targets[:1], False, beta=math.inf))
    return q.PDG(arcs, variables)


def random_arc(rng, sources, targets, extras, beta=None):
    """Draw an arc; with ``extras``, perhaps with zeros, undefined rows or odd confidences."""
    shape = [len(v) for v in (*sources, *targets)]
    rows = rng.random((math.prod(shape[: len(sources)]), math.prod(shape[len(sources) :]))) + 0.02
    alpha = 1.0
    if extras and rng.random() < 0.1:
        at = rng.integers(len(rows))
        rows[at, rng.integers(rows.shape[1])] = 0.0
    rows /= rows.sum(axis=1, keepdims=True)
    if extras and rng.random() < 0.4:
        alpha = float(rng.choice([0.0, 0.5, 1.0, 2.0]))
    if beta is None:
        beta = float(rng.uniform(0.5, 3)) if extras and rng.random() < 0.5 else 1.0
    if extras and sources and rng.random() < 0.1:
        rows[rng.integers(len(rows))] = np.nan
        alpha = 0.0
    return q.Arc(sources, targets, rows.reshape(shape), alpha, beta)
