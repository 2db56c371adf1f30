"""Refusing work that cannot fit into memory, before anything is allocated."""

import os

from quincunx._errors import TooLargeError

FRACTION = 0.6  # of physical memory; the rest is for the solver's copies and for other programs


def physical_memory() -> int:
    """Return the machine's physical memory in bytes (16 GiB where the system does not tell)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 16 * 2**30


def require_memory(size: int, what: str) -> None:
    """Raise if ``what`` needs more bytes than this machine can give.

    Arguments:
        size: bytes needed.
        what: what needs them, the subject of the message.

    Raises:
        TooLargeError: ``size`` exceeds 60 % of the physical memory.
    """
    limit = int(FRACTION * physical_memory())
    if size > limit:
        raise TooLargeError(
            f"{what} would take {size / 2**30:.4g} GiB; this machine can give "
            f"{limit / 2**30:.3g} GiB. Ask about fewer variables at once, remove arcs that join "
            "many variables, or assume values for some of them."
        )
