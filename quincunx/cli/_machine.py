"""Answers for programs: one JSON object, or the rows of a spreadsheet."""

import csv
import io
import json
import math
from itertools import product
from typing import TYPE_CHECKING, Any

from quincunx.cli._joint_states import joint_states_csv, joint_states_dict
from quincunx.cli._names import write_name
from quincunx.cli._report import Report

if TYPE_CHECKING:
    from quincunx.solvers import Blame


def to_json(report: Report) -> str:
    """Write an answer as one JSON object; numbers without a value in JSON as :func:`plain` says."""
    answer = report.answer
    queries: list[dict[str, Any]] = [
        {
            "variables": list(table.names),
            "states": [list(v.states) for v in table.variables],
            "probabilities": table.values.tolist(),
        }
        for table in (report.tables if report.joint is None else ())
    ]
    for query, bounds in zip(queries, report.bounds, strict=False):
        lower, upper = bounds.lower.values.tolist(), bounds.upper.values.tolist()
        query.update(lower=lower, upper=upper, slack=bounds.slack)
    content = {
        "status": answer.status.name,
        "message": " ".join(report.notes()),
        "gamma": "0+" if answer.gamma is None else answer.gamma,
        "method": answer.method,
        "inconsistency": answer.inconsistency,
        "gap": answer.gap,
        "belief_error": answer.belief_error if answer.gamma else None,
        "idef": answer.idef,
        "idef_lower": answer.idef_lower,
        "residual": answer.residual,
        "unique": answer.unique,
        "given": dict(report.given),
        "assume": dict(report.assume),
        "queries": queries,
        **({} if report.joint is None else joint_states_dict(report.joint)),
        **({} if report.blame is None else {"blame": _blame_rows(report.blame)}),
        "stats": dict(answer.stats),
    }
    return json_lines(content)


def _blame_rows(blame: "Blame") -> list[dict[str, Any]]:
    """Write a row an arc, and one for the entropy of the whole, whose arc is null."""
    rows: list[dict[str, Any]] = [
        {
            "arc": share.arc.name,
            "nats": share.nats,
            "incompatibility": share.incompatibility,
            "deficiency": share.deficiency,
            "price": share.price,
        }
        for share in blame.shares
    ]
    whole = {"incompatibility": 0.0, "deficiency": -blame.entropy, "price": None}
    return [*rows, {"arc": None, "nats": 0.0 - (blame.gamma or 0.0) * blame.entropy, **whole}]


def json_lines(content: dict[str, Any]) -> str:
    """Write a dictionary as a JSON object, a line for each key, and for each object in a list."""
    lines = []
    for key, value in plain(content).items():
        text = json.dumps(value, allow_nan=False)
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            items = (f"    {json.dumps(item, allow_nan=False)}" for item in value)
            text = "[\n" + ",\n".join(items) + "\n  ]"
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}"


def plain(value: Any) -> Any:
    """Make a value fit for JSON: infinities become "inf" and "-inf", NaN becomes null.

    Arrays and NumPy's numbers become lists and numbers; keys become strings.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def to_csv(report: Report) -> str:
    """Write an answer as rows: the query, a state of each of its variables, the probability.

    The query is written as it is typed after --query. There are as many columns of states as the
    longest query has variables; where a query has fewer, the others are empty. Bounds, where they
    were asked for, are two columns more. Joint states have columns of their own.
    """
    if report.joint is not None:
        return joint_states_csv(report.joint)
    width = max((len(t.variables) for t in report.tables), default=1)
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    columns = ["probability", *(["lower", "upper"] if report.bounds else [])]
    rows.writerow(["query", *(f"state_{i + 1}" for i in range(width)), *columns])
    for k, table in enumerate(report.tables):
        query = ",".join(map(write_name, table.names))
        empty = [""] * (width - len(table.variables))
        states = product(*(v.states for v in table.variables))
        limits = (report.bounds[k].lower, report.bounds[k].upper) if report.bounds else ()
        numbers = (part.values.ravel().tolist() for part in (table, *limits))
        for key, *values in zip(states, *numbers, strict=True):
            rows.writerow([query, *key, *empty, *values])
    return out.getvalue()
