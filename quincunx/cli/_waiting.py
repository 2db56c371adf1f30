"""Waiting for a solver: it works in a thread, so that Ctrl-C ends the wait, whatever it does."""

import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

QUIET = 0.7  # seconds before anything is shown: most solves end sooner
TICK = 0.1


def wait_for(work: Callable[[Callable[[str], None]], T], what: str, patience: float = 0.0) -> T:
    """Run ``work`` in a thread, showing what it reports and for how long it has run.

    Arguments:
        work: called with a function that takes short lines about the progress.
        what: what is being done, in a word or two.
        patience: after Ctrl-C, the seconds that ``work`` has to end with the best it has: its next
            report raises KeyboardInterrupt there. A second Ctrl-C ends the wait at once.

    Returns:
        What ``work`` returns; its exception is raised here.

    Raises:
        KeyboardInterrupt: Ctrl-C, and ``work`` had nothing to return in time.
    """
    lines = [""]
    results: list[T] = []
    errors: list[BaseException] = []
    # Not Thread.join: interrupted by Ctrl-C, it takes the thread for ended on Python 3.11.
    stop, done = threading.Event(), threading.Event()

    def report(line: str) -> None:
        lines[0] = line
        if stop.is_set():
            raise KeyboardInterrupt

    def run() -> None:
        try:
            results.append(work(report))
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    started = time.monotonic()
    threading.Thread(target=run, daemon=True).start()
    try:
        if not done.wait(QUIET) and sys.stderr.isatty():
            _show(done, started, lines, what)
        _wait(done, math.inf)
    except KeyboardInterrupt:
        stop.set()
        _wait(done, time.monotonic() + patience)
        if not done.is_set():
            raise
    if errors:
        raise errors[0]
    return results[0]


def _wait(done: threading.Event, deadline: float) -> None:
    while not done.is_set() and time.monotonic() < deadline:
        done.wait(TICK)  # in short steps: on some systems a longer wait holds Ctrl-C back


def _show(done: threading.Event, started: float, lines: list[str], what: str) -> None:
    from rich.console import Console

    console: Any = Console(stderr=True)
    with console.status(what) as status:
        while not done.is_set():
            seconds = time.monotonic() - started
            detail = f"  {lines[0]}" if lines[0] else ""
            status.update(f"{what}  [dim]{seconds:.0f} s{detail}  (Ctrl-C to stop)[/dim]")
            done.wait(TICK)
