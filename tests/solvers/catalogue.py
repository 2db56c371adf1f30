"""Dependency graphs whose inconsistency and marginals are known in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import quincunx as q


@dataclass(frozen=True)
class Known:
    """A graph, the gamma, the least score in nats, and marginals; gamma None is the limit 0+."""

    name: str
    pdg: q.PDG
    gamma: float | None
    value: float
    marginals: dict = field(default_factory=dict)
    idef: float | None = None

    def __str__(self) -> str:
        return f"{self.name}, gamma={'0+' if self.gamma is None else self.gamma}"


def boolean(name: str) -> q.Variable:
    return q.Variable(name, ["t", "f"])


def distribution(p: float) -> list[float]:
    return [p, 1 - p]


A, B, C, D = (boolean(n) for n in "ABCD")


def geometric(priors: list, betas: list) -> tuple[float, np.ndarray]:
    """Weighted geometric mean: value -(sum beta) log Z, marginal prod p^(beta/sum)/Z."""
    total = sum(betas)
    mean = np.prod([np.array(p) ** (b / total) for p, b in zip(priors, betas, strict=True)], axis=0)
    return -total * math.log(mean.sum()), mean / mean.sum()


def conflicting_priors() -> list[Known]:
    value, mean = geometric([distribution(0.3), distribution(0.6)], [1, 1])
    pdg = q.PDG([q.Arc([], A, distribution(0.3)), q.Arc([], A, distribution(0.6))])
    assert math.isclose(value, -2 * math.log(math.sqrt(0.18) + math.sqrt(0.28)))
    found = [Known("two priors", pdg, gamma, value, {"A": mean}) for gamma in (0.0, None)]
    # With gamma, IDef adds alpha H(A) twice and takes H(A) once: mu minimises
    # sum_j E log(mu/p_j) + gamma H(mu), so mu is prod p_j^(1/(2-gamma)), up to scale.
    for gamma in (0.1, 0.5, 1.0):
        power = (np.array(distribution(0.3)) * np.array(distribution(0.6))) ** (1 / (2 - gamma))
        found.append(
            Known(
                "two priors",
                pdg,
                gamma,
                -(2 - gamma) * math.log(power.sum()),
                {"A": power / power.sum()},
            )
        )
    return found


def weighted_priors() -> list[Known]:
    X = q.Variable("X", ["r", "g", "b"])
    priors = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]
    betas = [0.5, 2.0, 1.25]
    value, mean = geometric(priors, betas)
    arcs = [q.Arc([], X, p, 0.0, b) for p, b in zip(priors, betas, strict=True)]
    return [Known("three weighted priors", q.PDG(arcs), g, value, {"X": mean}) for g in (0.0, None)]


def uniform_cycle() -> list[Known]:
    """A cycle of deterministic negations over three bits contradicts itself by certainty."""
    flip = 0.1  # each arc says: the next bit differs, with probability 0.9
    table = [[flip, 1 - flip], [1 - flip, flip]]
    pdg = q.PDG([q.Arc(A, B, table), q.Arc(B, C, table), q.Arc(C, A, table)])
    # By symmetry the optimum makes each neighbour pair differ with one probability d <= 2/3 (an
    # odd cycle has at most two changes), and 3 KL(d || 0.9) falls up to d = 2/3.
    d = 2 / 3
    divergence = d * math.log(d / 0.9) + (1 - d) * math.log((1 - d) / 0.1)
    half = np.array([0.5, 0.5])
    return [
        Known("odd cycle", pdg, 0.0, 3 * divergence),
        # In the limit the six worlds with two changes share the mass evenly.
        Known(
            "odd cycle",
            pdg,
            None,
            3 * divergence,
            {"A": half, "B": half, "C": half},
            idef=-math.log(6) + 3 * -(d * math.log(d) + (1 - d) * math.log(1 - d)),
        ),
    ]


def three_arc_cycle() -> list[Known]:
    """The cycle of four arcs for which published code gives these values (rounded to 1e-6)."""
    pdg = q.PDG(
        [
            q.Arc([], A, distribution(0.3)),
            q.Arc([], A, distribution(0.6)),
            q.Arc(A, B, [[0.9, 0.1], [0.2, 0.8]]),
            q.Arc(B, C, [[0.7, 0.3], [0.1, 0.9]]),
            q.Arc(C, A, [[0.8, 0.2], [0.3, 0.7]]),
        ]
    )
    return [
        Known("cycle", pdg, 0.0, 0.100815902),
        Known("cycle", pdg, None, 0.100815902, idef=1.259526),
        Known("cycle", pdg, 0.01, 0.113405420),
        Known("cycle", pdg, 1.0, 1.284460055),
    ]


def network() -> list[Known]:
    bn = q.BayesianNetwork(
        [
            q.Arc([], A, distribution(0.2)),
            q.Arc(A, B, [[0.9, 0.1], [0.3, 0.7]]),
            q.Arc([A, B], C, [[[0.5, 0.5], [0.1, 0.9]], [[0.8, 0.2], [0.4, 0.6]]]),
        ]
    )
    joint = np.einsum("a,ab,abc->abc", *(np.asarray(a.table) for a in bn.arcs))
    marginals = {"A": joint.sum((1, 2)), "B": joint.sum((0, 2)), "C": joint.sum((0, 1))}
    return [
        Known("network", bn.to_pdg(beta=beta), gamma, 0.0, marginals, idef=0.0)
        for beta, gamma in ((1.0, None), (1.0, 0.3), (2.0, 0.5), (1.0, 1.0))
    ]


def factor_graph() -> list[Known]:
    rng = np.random.default_rng(1)
    phi = [rng.random((2, 2)) * 3 for _ in range(3)]
    theta = [1.0, 0.5, 2.0]
    fg = q.FactorGraph(
        [q.Table([A, B], phi[0]), q.Table([B, C], phi[1]), q.Table([C, A], phi[2])], theta
    )
    joint = np.einsum("ab,bc,ca->abc", *(p**t for p, t in zip(phi, theta, strict=True)))
    z = joint.sum()
    constant = sum(t * math.log(p.sum()) for p, t in zip(phi, theta, strict=True))
    marginals = {"A": joint.sum((1, 2)) / z, "C": joint.sum((0, 1)) / z}
    return [
        Known("factor graph", fg.to_pdg(g), g, g * (-math.log(z) + constant), marginals)
        for g in (1.0, 0.3)
    ]


def disconnected() -> list[Known]:
    value, mean = geometric([distribution(0.3), distribution(0.6)], [1, 1])
    pdg = q.PDG(
        [
            q.Arc([], A, distribution(0.3), alpha=0.0),
            q.Arc([], A, distribution(0.6), alpha=0.0),
            q.Arc([], B, distribution(0.1), alpha=0.0),
        ],
        [D],
    )
    even = np.array([0.5, 0.5])
    deficiency = -(entropy(mean) + entropy(distribution(0.1)) + math.log(2))
    marginals = {"A": mean, "B": np.array(distribution(0.1)), "D": even}
    return [Known("disconnected", pdg, None, value, marginals, idef=deficiency)]


def deterministic() -> list[Known]:
    """B copies A for certain; two beliefs about A and B clash: their geometric mean."""
    copy = [[1.0, 0.0], [0.0, 1.0]]
    value, mean = geometric([distribution(0.3), distribution(0.6)], [1, 1])
    known = []
    for beta in (1.0, math.inf):
        pdg = q.PDG(
            [
                q.Arc([], A, distribution(0.3), alpha=0.0),
                q.Arc([], B, distribution(0.6), alpha=0.0),
                q.Arc(A, B, copy, alpha=1.0, beta=beta),
            ]
        )
        marginals = {"A": mean, "B": mean}
        known += [Known(f"copy, beta={beta}", pdg, g, value, marginals) for g in (0.0, None)]
    return known


def hard_prior() -> list[Known]:
    """A hard prior wins: what remains is beta KL(hard || soft), plus gamma alpha H of each."""
    hard, soft = distribution(0.25), distribution(0.6)
    kl = sum(h * math.log(h / s) for h, s in zip(hard, soft, strict=True))
    pdg = q.PDG(
        [q.Arc([], A, hard, alpha=1.0, beta=math.inf), q.Arc([], A, soft, alpha=0.5, beta=2.0)]
    )
    known = []
    for gamma in (0.0, None, 0.7, 4.0):
        value = 2 * kl + (gamma or 0.0) * (1 + 0.5 - 1) * entropy(hard)
        known.append(Known("hard prior", pdg, gamma, value, {"A": np.array(hard)}))
    return known


def silent_row() -> list[Known]:
    """A row that says nothing leaves its conditional to maximum entropy in the limit."""
    table = [[0.9, 0.1], [math.nan, math.nan]]
    pdg = q.PDG([q.Arc([], A, distribution(0.5), alpha=0.0), q.Arc(A, B, table, alpha=0.0)])
    marginals = {"A": np.array([0.5, 0.5]), "B": np.array([0.7, 0.3])}
    return [Known("silent row", pdg, None, 0.0, marginals)]


def structure_only() -> list[Known]:
    """Structure alone, alpha = 0, changes nothing; no arcs at all gives the uniform."""
    even = np.array([0.5, 0.5])
    empty = q.PDG([], [A, B])
    bare = q.PDG([q.Arc(A, B, None, alpha=0.0)])
    marginals = {"A": even, "B": even}
    return [
        Known("no arcs", empty, None, 0.0, marginals, idef=-math.log(4)),
        Known("no arcs", empty, 0.5, -0.5 * math.log(4), marginals),
        Known("bare arc", bare, None, 0.0, marginals, idef=-math.log(4)),
    ]


def entropy(p) -> float:
    return -sum(x * math.log(x) for x in p if x > 0)


MAKERS: list[Callable[[], list[Known]]] = [
    conflicting_priors,
    weighted_priors,
    uniform_cycle,
    three_arc_cycle,
    network,
    factor_graph,
    disconnected,
    deterministic,
    hard_prior,
    silent_row,
    structure_only,
]
CATALOGUE = [known for make in MAKERS for known in make()]
