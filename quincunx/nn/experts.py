"""A mixture's experts as layers of their own, in the place of tensors of three dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["Experts"]


class Experts(torch.nn.Module):
    """``sum_k p_k down_k(act(gate_k(x)) * up_k(x))`` over the experts that a router chose.

    Children are named 0, 1, ..., each with ``gate_proj``, ``up_proj`` and ``down_proj``: the names
    that files have. ``origin`` is the class of transformers that they stand for.
    """

    def __init__(
        self,
        count: int,
        hidden: int,
        intermediate: int,
        act_fn: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        """Make experts without content.

        Arguments:
            count: how many.
            hidden: size of inputs and outputs.
            intermediate: size within an expert.
            act_fn: the activation.
        """
        super().__init__()
        self.act_fn = act_fn
        for number in range(count):
            expert = torch.nn.Module()
            expert.gate_proj = torch.nn.Linear(hidden, intermediate, bias=False)
            expert.up_proj = torch.nn.Linear(hidden, intermediate, bias=False)
            expert.down_proj = torch.nn.Linear(intermediate, hidden, bias=False)
            self.add_module(str(number), expert)
        self.num_experts = count
        self.origin: type[torch.nn.Module] | None = None

    @classmethod
    def like(cls, fused: torch.nn.Module) -> Experts:
        """Make experts of the sizes of transformers' fused ones; on the meta device."""
        count, hidden, intermediate = fused.down_proj.shape
        with torch.device("meta"):
            experts = cls(count, hidden, intermediate, fused.act_fn)
        experts.origin = type(fused)
        return experts

    @classmethod
    def of(cls, fused: torch.nn.Module) -> Experts:
        """Cut transformers' fused experts apart; weights are views of theirs."""
        experts = cls.like(fused)
        gate, up = fused.gate_up_proj.data.chunk(2, dim=1)
        for number in range(experts.num_experts):
            expert = experts.get_submodule(str(number))
            for name, weights in (
                ("gate_proj", gate),
                ("up_proj", up),
                ("down_proj", fused.down_proj.data),
            ):
                expert.get_submodule(name).weight = torch.nn.Parameter(weights[number])
        return experts

    def fused(self, config: Any) -> torch.nn.Module:
        """Return the experts as transformers has them; all are plain linear layers.

        Arguments:
            config: of the model.
        """
        assert self.origin is not None
        with torch.device("meta"):
            found = self.origin(config)
        children = [self.get_submodule(str(number)) for number in range(self.num_experts)]
        gates = [torch.cat((c.gate_proj.weight, c.up_proj.weight)) for c in children]
        found.gate_up_proj = torch.nn.Parameter(torch.stack(gates).detach())
        found.down_proj = torch.nn.Parameter(
            torch.stack([c.down_proj.weight for c in children]).detach()
        )
        return found

    def forward(
        self, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        """Mix the outputs of the chosen experts.

        Arguments:
            hidden_states: [N, H].
            top_k_index: [N, k].
            top_k_weights: [N, k].
        """
        mixed = torch.zeros_like(hidden_states)
        for number in range(self.num_experts):
            token, place = torch.where(top_k_index == number)
            if not len(token):
                continue
            expert = self.get_submodule(str(number))
            x = hidden_states[token]
            y = expert.down_proj(self.act_fn(expert.gate_proj(x)) * expert.up_proj(x))
            mixed.index_add_(0, token, (y * top_k_weights[token, place, None]).to(mixed.dtype))
        return mixed
