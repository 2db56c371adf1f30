"""What every benchmark shares: timing, the machine, and files with the results."""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from quincunx._atomic import atomic_write

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def options(description: str, quick: str) -> argparse.ArgumentParser:
    """Make a parser with the options of every benchmark; ``quick`` says what --quick does."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--note", default="", help="a line about the machine for the results")
    return parser


def lacks_gpu() -> bool:
    """Say whether a benchmark of a GPU cannot run here, and tell why."""
    reason = ""
    try:
        import torch
        import triton  # noqa: F401

        if not torch.cuda.is_available() or torch.version.hip is not None:
            reason = "torch finds no GPU of NVIDIA here"
    except ImportError as error:
        reason = str(error)
    if reason:
        print(f"This benchmark needs a GPU of NVIDIA, torch and triton: {reason}.", file=sys.stderr)
    return bool(reason)


def in_processes(work: Callable[[Any], Any], cases: Sequence[Any]) -> list[Any]:
    """Return what work makes of each case, done in a process a core: compiling kernels takes long.

    Arguments:
        work: a function of a module.
        cases: its arguments, one a call.
    """
    with ProcessPoolExecutor(min(_cores(), len(cases)), get_context("spawn")) as pool:
        return list(pool.map(work, cases))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Run some work and return its wall time in seconds, and what it returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def interleave(
    works: Mapping[str, Callable[[], Any]], repeats: int, budget: float = math.inf
) -> dict[str, list[float]]:
    """Time several works in turn, so that a busy moment of the machine hits all of them.

    Arguments:
        works: what to time, by name.
        repeats: rounds; at least one is run.
        budget: seconds after which no further round begins.

    Returns:
        The seconds of every run, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    begun = time.perf_counter()
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(timed(work)[0])
        if time.perf_counter() - begun > budget:
            break
    return times


def median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def environment(packages: Sequence[str]) -> dict[str, Any]:
    """Describe where and with what a benchmark ran."""
    return {
        "date": date.today().isoformat(),
        "commit": _commit(),
        "processor": _processor(),
        "cores": _cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "load_average": [round(x, 2) for x in os.getloadavg()],
    }


def describe(where: Mapping[str, Any], note: str = "") -> str:
    """Write :func:`environment` as lines of Markdown."""
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    lines = [
        f"- {where['date']}, commit {where['commit']}",
        f"- {where['processor']}, {where['cores']} cores, {where['memory_gib']} GiB; "
        f"load average at the start {where['load_average'][0]}, "
        f"at the end {os.getloadavg()[0]:.2f}",
        f"- {where['system']}, Python {where['python']}; {versions}",
    ]
    return "\n".join([*lines, *([f"- {note}"] if note else [])])


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table; the first column is text, the others are aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def publish(
    module: str,
    title: str,
    given: argparse.Namespace,
    where: Mapping[str, Any],
    sections: Sequence[str],
    data: Mapping[str, Any],
) -> None:
    """Write what ``python -m benchmarks.<module>`` found; a quick run gets a name of its own.

    Arguments:
        module: the module's name.
        title: heading of the page.
        given: what :func:`options` read.
        where: the :func:`environment` before the run.
        sections: the page below the heading and the environment.
        data: the same as numbers, by name.
    """
    made = f"Made by `python -m benchmarks.{module}{' --quick' * given.quick}`."
    page = "\n".join([f"# {title}", "", made, "", describe(where, given.note), *sections])
    name = module.replace("_", "-") + "-quick" * given.quick
    write_results(name, page, {"environment": where, "note": given.note, **data})


def write_results(name: str, markdown: str, data: Mapping[str, Any]) -> None:
    """Write ``results/<name>.md`` and ``results/<name>.json``, each whole or not at all."""
    RESULTS.mkdir(exist_ok=True)
    with atomic_write(RESULTS / f"{name}.md") as file:
        file.write(markdown.rstrip() + "\n")
    with atomic_write(RESULTS / f"{name}.json") as file:
        json.dump(_plain(data), file, indent=1, allow_nan=False)
        file.write("\n")


def _plain(data: Any) -> Any:
    """Write infinities and NaN, which JSON does not know, as strings."""
    if isinstance(data, Mapping):
        return {str(k): _plain(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(v) for v in data]
    if isinstance(data, float) and not math.isfinite(data):
        return str(float(data))
    return data


def _commit() -> str:
    try:
        head = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", "quincunx", "benchmarks/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head} with changes" if changed else head


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
