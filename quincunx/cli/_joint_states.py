"""Joint states of all variables in an answer: the most probable one, or samples."""

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from quincunx.cli._console import figure, print_table
from quincunx.cli._request import Request

if TYPE_CHECKING:
    from quincunx.graphs import Beliefs

SHOWN = 20  # samples that people are shown


@dataclass(frozen=True, slots=True)
class JointStates:
    """Joint states, one a row.

    Attributes:
        names: the variables.
        rows: a state for each variable.
        probability: of the only row, the most probable one; None: the rows are samples.
        seed: of the samples.
    """

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    probability: float | None
    seed: int


def find_joint_states(beliefs: "Beliefs", request: Request) -> JointStates | None:
    """Find the joint states that were asked for, under beliefs conditioned already."""
    if request.most_probable:
        states, probability = beliefs.most_probable()
        return JointStates(tuple(states), [tuple(states.values())], probability, request.seed)
    if request.sample is None:
        return None
    samples = beliefs.sample(request.sample, request.seed)
    columns = [
        [v.states[i] for i in column.tolist()]
        for v, column in zip(samples.variables, samples.positions.T, strict=True)
    ]
    names = tuple(v.name for v in samples.variables)
    rows = list(zip(*columns, strict=True)) if columns else [()] * len(samples)
    return JointStates(names, rows, None, request.seed)


def joint_states_dict(joint: JointStates) -> dict[str, Any]:
    """Return the entry of the JSON object."""
    if joint.probability is not None:
        states = dict(zip(joint.names, joint.rows[0], strict=True))
        return {"most_probable": {"states": states, "probability": joint.probability}}
    rows = [list(row) for row in joint.rows]
    return {"samples": {"seed": joint.seed, "variables": list(joint.names), "states": rows}}


def joint_states_csv(joint: JointStates) -> str:
    """Write a column a variable and a row a joint state; a most probable one's probability last."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    last = [] if joint.probability is None else [("probability", joint.probability)]
    rows.writerow([*joint.names, *(name for name, _ in last)])
    rows.writerows([*row, *(value for _, value in last)] for row in joint.rows)
    return out.getvalue()


def show_joint_states(console: Console, joint: JointStates, given: str) -> None:
    """Print the most probable state a variable a line, or the first samples a row each."""
    if joint.probability is not None:
        title = f"Most probable state{given}, probability {figure(joint.probability)}"
        rows = [list(map(str, pair)) for pair in zip(joint.names, joint.rows[0], strict=True)]
        print_table(console, ["variable", "state"], _texts(rows), title=title)
        return
    title = f"Samples{given}, seed {joint.seed}"
    shown = [list(map(str, row)) for row in joint.rows[:SHOWN]]
    print_table(console, joint.names, _texts(shown), title=title)
    if len(joint.rows) > SHOWN:
        console.print(f"... {len(joint.rows):,} samples; --csv or --json gives all of them")


def _texts(rows: list[list[str]]) -> list[list[str | Text]]:
    return [[Text(cell) for cell in row] for row in rows]
