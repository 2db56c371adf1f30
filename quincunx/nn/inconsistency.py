"""The inconsistency of a dependency graph as a loss: a function of torch tensors."""

import math
from collections import Counter
from collections.abc import Mapping
from numbers import Real
from typing import Any, TypeAlias

import torch

from quincunx._errors import ModelError, SolveError, UnknownNameError
from quincunx.graphs.arc import Arc
from quincunx.graphs.pdg import PDG
from quincunx.solvers.infer import infer
from quincunx.solvers.inference.sensitivity import ArcSensitivity, derivatives

Tensor: TypeAlias = torch.Tensor
Place: TypeAlias = tuple[int, str]  # an arc's place in the graph; "table", "beta" or "alpha"

TOLERANCE = 1e-10  # the certified gap asked for, in nats; the gradient is off by about its root
ROW_SUM = 1e-2  # how far a row's sum may be from one: softmax in half precision is off by 1e-3


def inconsistency(
    pdg: PDG,
    tables: Mapping[str, Tensor],
    gamma: float,
    *,
    betas: Mapping[str, Tensor] | None = None,
    alphas: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return the inconsistency ``<<M>>_gamma`` in nats, differentiable in tables and confidences.

    Forward, the tensors take their places in the graph, which :func:`quincunx.infer` solves in
    float64. Backward, the envelope theorem gives all derivatives at the optimum without another
    solve, as in :meth:`quincunx.Inference.sensitivity`. Once differentiable.

    At ``gamma = 0`` several distributions can be optimal, and the inconsistency has directional
    derivatives only: in each direction the least of those distributions'. The gradient is that of
    one of them, so that a small enough step against it, where it is not zero, lowers the
    inconsistency; a ``gamma > 0`` in the convex regime makes it the only one.

    Arguments:
        pdg: the graph; it need not have tables, or numbers that mean anything, where tensors are
            given.
        tables: by the arcs' names, float tensors of shape (states of sources..., states of
            targets...), all entries > 0, such as softmax gives; each row is divided by its sum.
        gamma: the trade-off, >= 0. For the limit 0+, whose inconsistency is that at 0, give 0.
        betas: by the arcs' names, float tensors of shape ().
        alphas: likewise.

    Returns:
        A tensor of shape (), of the widest dtype given and on the device of the first tensor given.

    Raises:
        UnknownNameError: no arc has that name.
        ModelError: several arcs have it, a tensor has a wrong shape or dtype, an entry is not
            positive, a row's sum is not near 1, or gamma is out of range.
        SolveError: there is no answer, such as a contradiction (see :func:`quincunx.infer`); or, at
            the backward pass, a table of a hard arc has no derivative, as other hard arcs settle
            the same numbers, or a second derivative is asked for.

    Example:
        >>> coin = Variable("coin", ["heads", "tails"])
        >>> data = Arc([], coin, [0.75, 0.25], beta=float("inf"), label="data")
        >>> model = Arc([], coin, None, label="model")
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> loss = inconsistency(PDG([data, model]), {"model": logits.softmax(-1)}, gamma=0)
        >>> loss.backward()  # the gradient of a cross-entropy: softmax less data
        >>> logits.grad
        tensor([-0.2500,  0.2500])

    Reference:
        O. E. Richardson, "Loss as the Inconsistency of a Probabilistic Dependency Graph: Choose
        Your Model, Not Your Loss Function", AISTATS 2022.
    """
    if not (isinstance(gamma, Real) and 0 <= gamma < math.inf):
        raise ModelError(f"gamma must be a number in [0, inf), not {gamma!r}; for the limit, 0")
    given: dict[Place, Tensor] = {}
    for kind, tensors in (("table", tables), ("beta", betas or {}), ("alpha", alphas or {})):
        for name, tensor in tensors.items():
            place = _place(pdg, name)
            shape = _shape(pdg.arcs[place]) if kind == "table" else ()
            given[place, kind] = _checked(tensor, shape, f"{kind} of arc {name}")
    dtype, device = _common(list(given.values()))
    values = [
        _rows_scaled(pdg.arcs[place], tensor.to("cpu", torch.float64))
        if kind == "table"
        else tensor.to("cpu", torch.float64)
        for (place, kind), tensor in given.items()
    ]
    value: Tensor = _Inconsistency.apply(pdg, float(gamma), tuple(given), *values)
    return value.to(device, dtype)


class _Inconsistency(torch.autograd.Function):
    """The solve, and its derivatives by the envelope theorem, on float64 tensors of the CPU."""

    @staticmethod
    def forward(
        ctx: Any, pdg: PDG, gamma: float, places: tuple[Place, ...], *values: Tensor
    ) -> Tensor:
        """Put the values in their places and solve."""
        model = _filled(pdg, dict(zip(places, values, strict=True)))
        ctx.answer = infer(model, gamma=gamma, tolerance=TOLERANCE)
        ctx.places = places
        return torch.tensor(ctx.answer.inconsistency, dtype=torch.float64)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Read the derivatives off the optimum."""
        # torch's own once_differentiable lets second derivatives of such functions pass as 0.
        if torch.is_grad_enabled():
            raise SolveError(
                "the inconsistency can be differentiated once only; leave out create_graph=True"
            )
        answer = ctx.answer
        found = derivatives(answer.pdg, answer.beliefs, answer.gamma, answer.multipliers)
        parts = (_derivative(found.arcs[place], kind) for place, kind in ctx.places)
        return None, None, None, *(gradient * part for part in parts)


def _derivative(arc: ArcSensitivity, kind: str) -> Tensor:
    if kind == "table":
        part = torch.tensor(arc.per_table, dtype=torch.float64)
        if part.isnan().any():
            raise SolveError(
                f"the inconsistency has no derivative in the table of arc {arc.arc.name}: it is "
                "hard (beta = inf), and other hard arcs settle the same numbers; give it a finite "
                "beta, or remove what says the same"
            )
        return part
    return torch.tensor(arc.per_beta if kind == "beta" else arc.per_alpha, dtype=torch.float64)


def _filled(pdg: PDG, values: Mapping[Place, Tensor]) -> PDG:
    """Return the graph with numbers in the places named."""
    arcs = []
    for i, arc in enumerate(pdg.arcs):
        table = values[i, "table"].numpy() if (i, "table") in values else arc.table
        beta = values[i, "beta"].item() if (i, "beta") in values else arc.beta
        alpha = values[i, "alpha"].item() if (i, "alpha") in values else arc.alpha
        arcs.append(Arc(arc.sources, arc.targets, table, alpha, beta, arc.label))
    return PDG(arcs, pdg.variables)


def _place(pdg: PDG, name: str) -> int:
    """Find the one arc of a name."""
    names = [arc.name for arc in pdg.arcs]
    if name not in names:
        known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise UnknownNameError(f"the graph has no arc {name!r}; it has {known or 'none'}")
    if Counter(names)[name] > 1:
        raise ModelError(f"several arcs have the name {name!r}; give them labels that differ")
    return names.index(name)


def _shape(arc: Arc) -> tuple[int, ...]:
    return tuple(len(variable) for variable in arc.scope)


def _checked(tensor: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        raise ModelError(f"the {what} must be a tensor of floating-point numbers, not {tensor!r}")
    if tuple(tensor.shape) != shape:
        raise ModelError(f"the {what} must have shape {shape}, not {tuple(tensor.shape)}")
    return tensor


def _rows_scaled(arc: Arc, table: Tensor) -> Tensor:
    """Divide rows by their sums, so that autograd takes the gradient along rows that sum to one."""
    if not bool((table > 0).all()):
        raise ModelError(
            f"the table of arc {arc.name} must have positive entries; its least is "
            f"{float(table.detach().min()):g}. Where softmax underflows, add a little to every "
            "entry, or take fixed zeros into the graph's own table"
        )
    axes = tuple(range(len(arc.sources), table.ndim))
    sums = table.sum(axes, keepdim=True)
    worst = float((sums.detach() - 1).abs().max())
    if not worst <= ROW_SUM:
        raise ModelError(
            f"the table of arc {arc.name} must have rows that sum to 1 over the targets; one is "
            f"off by {worst:g}. Apply softmax over the targets' axes"
        )
    return table / sums


def _common(tensors: list[Tensor]) -> tuple[torch.dtype, torch.device]:
    """Return the widest dtype, and the first tensor's device; float64 and the CPU for none."""
    if not tensors:
        return torch.float64, torch.device("cpu")
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype, tensors[0].device
