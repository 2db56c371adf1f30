"""Where tensors live."""

from __future__ import annotations

import torch

from quincunx._errors import ModelError

__all__ = ["device_of"]


def device_of(asked: str | torch.device | None) -> torch.device:
    """Return the device asked for, or a GPU if there is one.

    Raises:
        ModelError: there is no such device here.
    """
    if not asked:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"device is {str(asked)!r}, which this machine does not have ({reason}); use 'cpu', or "
            f"leave it out"
        ) from None
    return device
