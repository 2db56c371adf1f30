"""A quantizer of one's own for torch.nn.Linear: calibrate, round, put back.

Run it: python examples/quantize_linear.py
"""

import torch

from quincunx.solvers.rounding import E8P, ldlq


def second_moments(model, batches):
    """Return E[x x'] of the inputs of every nn.Linear, by name."""
    layers = {k: layer for k, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    sums = {name: 0.0 for name in layers}
    counts = dict.fromkeys(layers, 0)

    def watch(name):
        def hook(layer, inputs):
            x = inputs[0].detach().reshape(-1, layer.in_features).double()
            sums[name], counts[name] = sums[name] + x.T @ x, counts[name] + len(x)

        return layers[name].register_forward_pre_hook(hook)

    hooks = [watch(name) for name in layers]
    with torch.no_grad():
        for batch in batches:
            model(batch)
    for hook in hooks:
        hook.remove()
    return {name: sums[name] / counts[name] for name in layers}


def quantize(model, batches, codebook):
    """Round every nn.Linear of a model in place; returns the roundings, which hold the codes."""
    hessians, found = second_moments(model, batches), {}
    for name, hessian in hessians.items():
        weight = model.get_submodule(name).weight
        found[name] = ldlq(weight.detach(), hessian, codebook)
        weight.data.copy_(found[name].values)
    return found


if __name__ == "__main__":
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 16))
    batches = [torch.randn(256, 64) @ torch.randn(64, 64) for _ in range(4)]
    with torch.no_grad():
        before = model(batches[0])
        found = quantize(model, batches, E8P(2))
        error = (model(batches[0]) - before).square().mean() / before.square().mean()
    for name, rounding in found.items():
        print(name, rounding)
    print(f"relative squared error of the outputs {error:.3g}")
