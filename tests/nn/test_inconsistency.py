"""The inconsistency as a loss: values, gradients and what is refused."""

import math
import subprocess
import sys

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import ContradictionError, ModelError, SolveError, UnknownNameError
from tests.problems import random_pdg

torch = pytest.importorskip("torch")
from quincunx.nn import inconsistency  # noqa: E402 - torch is asked for first

A = q.Variable("A", ["a0", "a1"])
B = q.Variable("B", ["b0", "b1", "b2"])
Z = q.Variable("Z", range(3))
X = q.Variable("X", range(4))
CERTAIN = math.inf


def logits(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def gradient_of(loss, *inputs):
    return [g.numpy() for g in torch.autograd.grad(loss, inputs)]


def assert_same_loss(ours, closed, inputs):
    # measured 2e-10 in value and 4e-8 in gradient; the gap asked for is 1e-10
    assert float(ours.detach()) == pytest.approx(float(closed.detach()), abs=1e-8)
    for one, other in zip(gradient_of(ours, *inputs), gradient_of(closed, *inputs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_value_is_that_of_infer():
    for seed in range(8):
        pdg = random_pdg(seed, most_worlds=60, extras=False)
        arcs = [
            q.Arc(a.sources, a.targets, a.table, a.alpha, a.beta, f"arc {i}")
            for i, a in enumerate(pdg.arcs)
        ]
        tables = {a.name: torch.tensor(a.table) for a in arcs}
        bare = [q.Arc(a.sources, a.targets, None, a.alpha, a.beta, a.label) for a in arcs]
        for gamma in (0, 0.3):
            ours = inconsistency(q.PDG(bare, pdg.variables), tables, gamma)
            expected = q.infer(pdg, gamma=gamma, tolerance=1e-10)
            slack = expected.gap + 1e-9
            assert float(ours) == pytest.approx(expected.inconsistency, abs=slack)


@pytest.mark.parametrize("gamma", [0.05, 0.4])
def test_gradients_by_finite_differences(gamma):
    """Soft tables, a hard one, a beta and an alpha, all at once, through softmax."""
    pdg = q.PDG(
        [
            q.Arc([], A, None, label="prior"),
            q.Arc([], B, None, beta=CERTAIN, label="certain"),
            q.Arc(A, B, None, label="channel"),
            q.Arc(B, A, [[0.3, 0.7], [0.9, 0.1], [0.5, 0.5]], label="back"),
        ]
    )

    def loss(prior, certain, channel, beta, alpha):
        tables = {
            "prior": prior.softmax(-1),
            "certain": certain.softmax(-1),
            "channel": channel.softmax(-1),
        }
        return inconsistency(pdg, tables, gamma, betas={"prior": beta}, alphas={"back": alpha})

    confidences = (
        torch.tensor(1.5, dtype=torch.float64, requires_grad=True),
        torch.tensor(0.7, dtype=torch.float64, requires_grad=True),
    )
    inputs = (logits(0, 2), logits(1, 3), logits(2, 2, 3), *confidences)
    # measured 3e-8 with this step, at which the solves' own errors of 1e-12 count 1e-8
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-4, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("beta", [1.0, 2.5])
def test_cross_entropy_and_its_gradient(beta):
    data = np.random.default_rng(0).dirichlet(np.ones(6)).reshape(2, 3)
    pdg = q.PDG(
        [
            q.Arc([], [A, B], data, beta=CERTAIN, label="data"),
            q.Arc(A, B, None, beta=beta, label="model"),
        ]
    )
    model = logits(3, 2, 3)
    weights = torch.tensor(data)
    entropy = -(weights * (weights / weights.sum(1, keepdim=True)).log()).sum()
    closed = beta * (-(weights * model.log_softmax(-1)).sum() - entropy)
    assert_same_loss(inconsistency(pdg, {"model": model.softmax(-1)}, 0), closed, [model])


def test_the_evidence_bound_and_its_gradient():
    """A certain encoder: its gradient comes through the prices of its equations."""
    seen = np.eye(4)[2]
    pdg = q.PDG(
        [
            q.Arc([], Z, None, label="prior"),
            q.Arc(Z, X, None, label="decoder"),
            q.Arc(X, Z, None, beta=CERTAIN, label="encoder"),
            q.Arc([], X, seen, beta=CERTAIN, label="seen"),
        ]
    )
    prior, decoder, encoder = logits(4, 3), logits(5, 3, 4), logits(6, 4, 3)
    model = {"prior": prior, "decoder": decoder}

    def tables(**logits):
        return {name: x.softmax(-1) for name, x in logits.items()}

    def log_joint():
        return prior.log_softmax(-1) + decoder.log_softmax(-1)[:, 2]

    posterior = encoder.log_softmax(-1)[2]
    closed = (posterior.exp() * (posterior - log_joint())).sum()
    ours = inconsistency(pdg, tables(**model, encoder=encoder), 0)
    assert_same_loss(ours, closed, [prior, decoder, encoder])
    # Without the encoder it is the evidence, which the bound can only be above.
    rest = q.PDG([a for a in pdg.arcs if a.name != "encoder"])
    evidence = -torch.logsumexp(log_joint(), 0)
    assert_same_loss(inconsistency(rest, tables(**model), 0), evidence, [prior, decoder])
    assert float(evidence.detach()) < float(closed.detach())


def test_a_step_against_the_gradient_lowers_what_is_not_differentiable():
    """At gamma = 0 the optimum here is not unique, and no gradient is the whole truth."""
    pdg = q.PDG(
        [
            q.Arc(A, B, [[0.8, 0.1, 0.1], [0.2, 0.3, 0.5]], label="one"),
            q.Arc(A, B, None, label="other"),
        ]
    )
    assert q.infer(q.PDG(pdg.arcs[:1]), gamma=0).unique is False
    model = torch.tensor(np.log([[0.8, 0.15, 0.05], [0.1, 0.4, 0.5]]), requires_grad=True)
    values = []
    for _ in range(3):
        loss = inconsistency(pdg, {"other": model.softmax(-1)}, 0)
        values.append(float(loss.detach()))
        (slope,) = torch.autograd.grad(loss, [model])
        model = (model - 0.5 * slope).detach().requires_grad_()
    assert values[0] > values[1] > values[2] > 0


def test_dtype_and_scale_of_the_input():
    pdg = q.PDG([q.Arc([], B, [0.2, 0.3, 0.5], label="fixed"), q.Arc([], B, None, label="given")])
    table = logits(7, 3).softmax(-1).detach()
    exact = inconsistency(pdg, {"given": table}, 0.1)
    assert exact.dtype == torch.float64 and exact.shape == ()
    for dtype, slack in ((torch.float32, 1e-6), (torch.bfloat16, 2e-2)):
        rounded = table.to(dtype).requires_grad_()
        loss = inconsistency(pdg, {"given": rounded}, 0.1)
        assert loss.dtype == dtype
        assert float(loss.detach()) == pytest.approx(float(exact), abs=slack)
        loss.backward()
        assert rounded.grad.dtype == dtype
        # The rows are divided by their sums, so a gradient has no part along the row itself.
        assert abs(float((rounded.grad * rounded.detach()).sum())) < slack
    assert inconsistency(q.PDG(pdg.arcs[:1]), {}, 0.1).dtype == torch.float64


def test_a_second_derivative_is_refused():
    pdg = q.PDG([q.Arc([], B, [0.2, 0.3, 0.5], label="fixed"), q.Arc([], B, None, label="given")])
    model = logits(8, 3)
    loss = inconsistency(pdg, {"given": model.softmax(-1)}, 0)
    with pytest.raises(SolveError, match="create_graph"):
        torch.autograd.grad(loss, [model], create_graph=True)


def test_hard_arcs_that_settle_the_same_numbers_have_no_derivative():
    arcs = [q.Arc([], A, None, beta=CERTAIN, label=name) for name in ("one", "two")]
    table = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    loss = inconsistency(q.PDG([*arcs, q.Arc([], A, [0.5, 0.5])]), {"one": table, "two": table}, 0)
    assert float(loss.detach()) == pytest.approx(0.3 * math.log(0.6) + 0.7 * math.log(1.4))
    with pytest.raises(SolveError, match="arc one"):
        loss.backward()


def test_what_cannot_be_solved_is_said():
    even, odd = torch.tensor([0.5, 0.5]), torch.tensor([0.4, 0.6])
    pdg = q.PDG([q.Arc([], A, None, beta=CERTAIN, label=name) for name in ("one", "two")])
    with pytest.raises(ContradictionError, match="one, two"):
        inconsistency(pdg, {"one": even, "two": odd}, 0)


PAIR = q.PDG([q.Arc(A, B, None, label="a"), q.Arc([], A, None), q.Arc([], A, None)])
EVEN = torch.full((2, 3), 1 / 3)


@pytest.mark.parametrize(
    ("tables", "gamma", "betas", "error", "text"),
    [
        ({"x": EVEN}, 0, {}, UnknownNameError, "no arc 'x'; it has a, "),
        ({"(A)": torch.ones(2)}, 0, {}, ModelError, "several arcs have the name '\\(A\\)'"),
        ({"a": EVEN[0]}, 0, {}, ModelError, r"shape \(2, 3\), not \(3,\)"),
        ({"a": EVEN.numpy()}, 0, {}, ModelError, "floating-point"),
        ({"a": torch.ones(2, 3, dtype=torch.int64)}, 0, {}, ModelError, "floating-point"),
        ({"a": EVEN.T.reshape(2, 3) * 2}, 0, {}, ModelError, "sum to 1"),
        ({"a": torch.eye(3)[:2]}, 0, {}, ModelError, "positive entries; its least is 0"),
        ({"a": EVEN * math.nan}, 0, {}, ModelError, "positive entries"),
        ({"a": EVEN}, None, {}, ModelError, "gamma must be a number"),
        ({"a": EVEN}, -1, {}, ModelError, "gamma must be a number"),
        ({"a": EVEN}, 0, {"a": torch.tensor([1.0])}, ModelError, "beta of arc a must have shape"),
        ({"a": EVEN}, 0, {"a": torch.tensor(-1.0)}, ModelError, "arc a: beta must be in"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input(tables, gamma, betas, error, text):
    with pytest.raises(error, match=text):
        inconsistency(PAIR, tables, gamma, betas=betas)


def test_without_torch_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import quincunx\nfrom quincunx._errors import MissingExtraError\n"
        "try: import quincunx.nn\nexcept MissingExtraError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'quincunx[nn]'" in found.stdout
