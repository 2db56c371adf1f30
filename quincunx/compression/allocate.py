"""Bits of each layer, for a mean that need not be whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quincunx._errors import ModelError

__all__ = ["allocate", "choices"]


def choices(codebook: str) -> Sequence[int]:
    """Return the bits that a codebook has."""
    return {"e8p": (2, 3, 4)}.get(codebook, tuple(range(1, 9)))


def allocate(
    losses: Mapping[str, float], sizes: Mapping[str, int], bits: float, allowed: Sequence[int]
) -> dict[str, int]:
    """Share bits among layers so that the sum of their losses is least.

    A layer's loss at b bits is ``losses[name] 4^-b``, which is what rate-distortion theory says of
    Gaussian weights. That is convex, so that the best layers for one more bit, those whose loss
    falls most for each weight, are those of the Lagrangian, and taking them one by one is exact up
    to the last layer.

    Arguments:
        losses: of each layer, at 0 bits.
        sizes: weights of each.
        bits: the mean over all weights.
        allowed: whole bits that the codebook has, rising by one.

    Returns:
        Bits by layer; their mean is at most ``bits``.

    Raises:
        ModelError: the mean is out of range.

    >>> allocate({"a": 10.0, "b": 1.0}, {"a": 10, "b": 10}, 2.5, (1, 2, 3, 4))
    {'a': 3, 'b': 2}
    """
    least, most = allowed[0], allowed[-1]
    if not least <= bits <= most:
        raise ModelError(f"bits is {bits}; this codebook has {least} to {most}")
    found = dict.fromkeys(losses, least)
    left = (bits - least) * sum(sizes.values())
    open_to = set(losses)
    while open_to:
        name = max(
            sorted(open_to), key=lambda name: losses[name] * 4.0 ** -found[name] / sizes[name]
        )
        if sizes[name] <= left + 1e-9 and found[name] < most:
            found[name] += 1
            left -= sizes[name]
        else:
            open_to.remove(name)
    return found
