"""Our rounding in llm-compressor: a function that takes the place of its quantize_weight.

Written for and run with llm-compressor 0.14; put it in place before `oneshot` is called:

    import llmcompressor.modifiers.gptq.base as base
    base.quantize_weight = quantize_weight

For whole-number formats in strategies "channel" and "group", without activation ordering.
"""

import torch
from grouped_scales import in_groups

from quincunx.solvers.rounding import Grid, proxy_loss


def quantize_weight(
    weights, hessians, scale, zero_point, global_scale, quant_args, blocksize=128, percdamp=0.01
):
    """Round weights [B, m, n] on their observers' grids; returns them, losses and flags [B]."""
    if quant_args.type != "int" or quant_args.actorder or global_scale is not None:
        raise ValueError("this rounding is for whole numbers, without activation ordering")
    middle = 1 << (quant_args.num_bits - 1)  # their codes are signed, ours are not
    width = quant_args.group_size if quant_args.strategy == "group" else weights.shape[2]
    values = torch.empty_like(weights)
    losses = torch.zeros(len(weights), device=weights.device)
    for k, (W, H) in enumerate(zip(weights.float(), hessians.float(), strict=True)):
        steps, zeros = scale[k].float(), zero_point[k].float() + middle

        def grid_of(group, target, steps=steps, zeros=zeros):
            step, zero = steps[:, group : group + 1], zeros[:, group : group + 1]
            return Grid(quant_args.num_bits, scale=step, levels="uniform", zero=zero)

        values[k], _ = in_groups(W, H, width, grid_of, damping=percdamp)
        losses[k] = proxy_loss(values[k].float() - W, H) / 2  # in llm-compressor's units
    return values, losses, torch.zeros(len(weights), dtype=torch.bool, device=weights.device)
