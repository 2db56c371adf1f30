"""Refusing work that cannot fit into memory, before anything is allocated."""

import os
from pathlib import Path

from quincunx._errors import TooLargeError

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # on Linux, within a container
FRACTION = 0.6  # of physical memory; the rest is for the solver's copies and for other programs


def physical_memory() -> int:
    """Return the memory of the machine or container in bytes; 16 GiB where nothing tells."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 16 * 2**30
    try:
        return min(physical, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no such file, or no limit, which reads "max"
        return physical


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
        # Sizes can exceed what a float holds.
        gib = f"{size / 2**30:.4g}" if size < 2**1000 else f"about 2^{size.bit_length() - 31}"
        raise TooLargeError(
            f"{what} would take {gib} GiB; this machine can give "
            f"{limit / 2**30:.3g} GiB. Ask about fewer variables at once, remove arcs that join "
            "many variables, or assume values for some of them."
        )
