"""Functions and modules for torch."""

from quincunx._errors import need_extra

need_extra("torch", "nn", "quincunx.nn")

from quincunx.nn.inconsistency import inconsistency  # noqa: E402 - after a clear error without torch

__all__ = ["inconsistency"]
