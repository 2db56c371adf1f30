"""The demonstration's last part: the network alarm, by Quincunx and by pgmpy."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from quincunx.cli._console import print_prose, print_table

if TYPE_CHECKING:
    from quincunx.graphs import BayesianNetwork

T = TypeVar("T")

RUNS = 20
INSTALL = "For a comparison with pgmpy on the network alarm: pip install 'quincunx[pgmpy]'."


@dataclass(frozen=True, slots=True)
class Comparison:
    """Posteriors of all single variables by two libraries.

    Attributes:
        variables: how many there are.
        difference: the largest difference of a probability.
        ours: seconds that Quincunx takes, from the network to all posteriors.
        theirs: seconds that pgmpy takes for the same.
        reading: seconds that our reader takes for the file.
    """

    variables: int
    difference: float
    ours: float
    theirs: float
    reading: float


def show_alarm(console: Console) -> None:
    """Compare with pgmpy, or say how to get it."""
    from quincunx.cli._waiting import wait_for

    path = alarm_file()
    if path is None:
        console.print(f"{INSTALL}\n")
        return
    try:
        found = wait_for(lambda _: compare(path), "Asking pgmpy")
    except Exception as error:  # a broken installation of theirs is no reason to stop here
        console.print(f"pgmpy is installed but fails: {type(error).__name__}: {error}\n")
        return
    rows = [
        ["Quincunx, one pass over the cluster tree", f"{found.ours * 1000:,.1f} ms"],
        ["pgmpy, variable elimination", f"{found.theirs * 1000:,.1f} ms"],
    ]
    print_table(console, [f"posteriors of {found.variables} variables", "time"], rows, right=(1,))
    console.print()
    print_prose(
        console,
        f"""The network alarm (37 variables) comes with pgmpy; our reader took
        {found.reading * 1000:.1f} ms for its file. The largest difference between the two
        libraries' posteriors is {found.difference:.0e}. Times are the best of {RUNS} runs; pgmpy
        took {found.theirs / found.ours:.2g} times as long.""",
    )


def alarm_file() -> Path | None:
    """Find the file of the network in pgmpy's installation, without importing it."""
    spec = find_spec("pgmpy")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "utils" / "example_models" / "alarm.bif.gz"
    return path if path.is_file() else None


def compare(path: Path) -> Comparison:
    """Compute all posteriors of a network by both libraries."""
    from quincunx.graphs import BayesianNetwork, read
    from quincunx.solvers import infer

    network, reading = _timed(lambda: read(path))
    assert isinstance(network, BayesianNetwork)

    def solve() -> dict[str, dict[Any, float]]:
        answer = infer(network)
        return {v.name: answer.query(v).to_dict() for v in network.variables}

    ours, own = _timed(solve)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pgmpy's about itself
        engine = _engine(network)
        theirs, other = _timed(lambda: {n: engine.query([n], show_progress=False) for n in ours})
    difference = max(
        abs(float(p) - ours[name][state])
        for name, factor in theirs.items()
        for state, p in zip(factor.state_names[name], factor.values, strict=True)
    )
    return Comparison(len(ours), difference, own, other, reading)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return a result and the least time of :data:`RUNS` runs, in seconds."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return result, min(times)


def _engine(network: "BayesianNetwork") -> Any:
    from pgmpy.inference import VariableElimination

    from quincunx.graphs.files.pgmpy import to_pgmpy

    return VariableElimination(to_pgmpy(network))
