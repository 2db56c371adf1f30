"""Row ranges on threads, for compiled loops that release the interpreter's lock."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

LEAST_ROWS = 16  # below this a thread costs more than it saves


def in_rows(function: Callable[[int, int], object], rows: int, *, least: int = LEAST_ROWS) -> None:
    """Call ``function(first, last)`` on consecutive ranges that cover ``range(rows)``.

    The ranges run at once, one a thread, so the function must write to its own rows only, and its
    results must not depend on where ranges end.

    Arguments:
        function: called once a range; mostly a compiled loop, which releases the lock.
        rows: how many rows there are, >= 0.
        least: rows a thread at least; fewer where a row is much work.
    """
    parts = min(_threads(), rows // least)
    if parts <= 1:
        function(0, rows)
        return
    edges = [rows * part // parts for part in range(parts + 1)]
    for _ in _pool().map(function, edges[:-1], edges[1:]):
        pass


@cache
def _pool() -> ThreadPoolExecutor:
    """The threads, started at the first use and kept."""
    return ThreadPoolExecutor(_threads(), thread_name_prefix="quincunx")


def _threads() -> int:
    """How many threads to use: those this process may, or OMP_NUM_THREADS where it is a number."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(asked), allowed or 1) if asked.isdecimal() and int(asked) else allowed or 1
