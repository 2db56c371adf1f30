"""Answers for programs: one JSON object, or the rows of a spreadsheet."""

import csv
import io
import json
import math
from itertools import product
from typing import Any

from quincunx.cli._names import write_name
from quincunx.cli._report import Report


def to_json(report: Report) -> str:
    """Write an answer as one JSON object; numbers without a value in JSON as :func:`plain` says."""
    answer = report.answer
    queries = [
        {
            "variables": list(table.names),
            "states": [list(v.states) for v in table.variables],
            "probabilities": table.values.tolist(),
        }
        for table in report.tables
    ]
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
        "stats": dict(answer.stats),
    }
    return json_lines(content)


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
    longest query has variables; where a query has fewer, the others are empty.
    """
    width = max((len(t.variables) for t in report.tables), default=1)
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["query", *(f"state_{i + 1}" for i in range(width)), "probability"])
    for table in report.tables:
        query = ",".join(map(write_name, table.names))
        empty = [""] * (width - len(table.variables))
        states = product(*(v.states for v in table.variables))
        for key, value in zip(states, table.values.ravel().tolist(), strict=True):
            rows.writerow([query, *key, *empty, value])
    return out.getvalue()
