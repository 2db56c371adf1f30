"""Row ranges on threads, for compiled loops that release the interpreter's lock."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

LEAST_ROWS = 16  # below this a thread costs more than it saves

_one_each = Lock()  # held while BLAS is kept to one thread, which is so for the whole process


def in_rows(
    function: Callable[[int, int], object],
    rows: int,
    *,
    least: int = LEAST_ROWS,
    products: bool = False,
) -> None:
    """Call ``function(first, last)`` on consecutive ranges that cover ``range(rows)``.

    The ranges run at once, one a thread, so the function must write to its own rows only, and its
    results must not depend on where ranges end.

    Arguments:
        function: called once a range; mostly a compiled loop, which releases the lock.
        rows: how many rows there are, >= 0.
        least: rows a thread at least; fewer where a row is much work.
        products: the function multiplies matrices. BLAS then has one thread a range, not all for
            each: its own would keep the processors busy waiting while the loops between run.
    """
    parts = min(_threads(), rows // least)
    if parts <= 1:
        function(0, rows)
        return
    edges = [rows * part // parts for part in range(parts + 1)]
    alone: AbstractContextManager[object] = _single_blas() if products else nullcontext()
    with alone:
        for _ in _pool().map(function, edges[:-1], edges[1:]):
            pass


@contextmanager
def _single_blas() -> Iterator[None]:
    """Keep BLAS to one thread. That holds for the whole process, so one caller at a time."""
    with _one_each, _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    """The BLAS libraries that are loaded."""
    return ThreadpoolController()


def _forget() -> None:
    """Start anew in a process that was forked, where the threads are not."""
    global _one_each
    _one_each = Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@cache
def _pool() -> ThreadPoolExecutor:
    """The threads, started at the first use and kept."""
    return ThreadPoolExecutor(_threads(), thread_name_prefix="quincunx")


def _threads() -> int:
    """How many threads to use: those this process may, or OMP_NUM_THREADS where it is a number."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(asked), allowed or 1) if asked.isdecimal() and int(asked) else allowed or 1
