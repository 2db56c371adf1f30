"""``quincunx dynamics describe``: what is known of a data set before any step is made."""

from typing import Any

import typer

from quincunx.cli.dynamics._given import L2, AsJson, Data

DESCRIBE_HELP = """Describe a data set: is it separable, where is the minimiser, how sharp is it.

  [cyan]quincunx dynamics describe data.csv[/cyan]
"""


def describe(data: Data, l2: L2 = "0", as_json: AsJson = False) -> None:
    """Describe a data set; :data:`DESCRIBE_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json):
        import json
        import warnings

        from quincunx.cli._console import make_console, print_pairs
        from quincunx.cli.dynamics._given import problem_of

        problem = problem_of(data, l2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the rank is printed
            facts = _facts(problem)
        if as_json:
            typer.echo(json.dumps(facts, indent=1))
            return
        print_pairs(make_console(), _lines(facts))


def _facts(problem: Any) -> dict[str, Any]:
    kind = problem.separability.kind
    facts: dict[str, Any] = {
        "points": float(problem.multiplicities.sum()),
        "distinct": len(problem.points),
        "dimension": problem.dimension,
        "rank": problem.rank,
        "l2": problem.l2,
        "separability": kind,
    }
    if kind != "overlap" and not problem.l2:
        return facts | {"direction": [float(v) for v in problem.separability.direction]}
    facts |= {
        "minimizer": problem.minimizer().tolist(),
        "sharpness": problem.sharpness,
        "smoothness": problem.smoothness,
        "critical_step": problem.critical_step,
        "trapping_radius": problem.trapping_radius(1 / problem.sharpness),
    }
    if problem.dimension == 1:
        from quincunx.solvers.dynamics import flip_criticality

        facts["flip"] = "supercritical" if flip_criticality(problem) > 0 else "subcritical"
    return facts


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    d, rank = facts["dimension"], facts["rank"]
    span = "" if rank == d else f"; they span {rank}, and the rest never moves"
    lines = [
        ("points", f"{facts['points']:g}, {facts['distinct']} distinct, in {d} dimensions{span}"),
        ("separability", facts["separability"] + ", proved in fractions"),
    ]
    if "minimizer" not in facts:
        way = ", ".join(f"{v:g}" for v in facts["direction"])
        return [*lines, ("minimiser", f"none: the loss falls for ever along ({way})")]
    lines += [
        ("minimiser", ", ".join(f"{v:.15g}" for v in facts["minimizer"])),
        ("sharpness", f"{facts['sharpness']:.15g}, lambda, of the loss at the minimiser"),
        ("smoothness", f"{facts['smoothness']:.15g}, L, the largest sharpness anywhere"),
        ("critical step", f"{facts['critical_step']:.15g}, 2 / lambda: gamma = 2"),
        ("classical step", f"{2 / facts['smoothness']:.15g}, 2 / L: every step descends below it"),
        ("trapping ball", f"|w| <= {facts['trapping_radius']:.6g} at gamma = 1"),
    ]
    if "flip" in facts:
        lines.append(("flip at gamma = 2", facts["flip"]))
    return lines
