"""``quincunx dynamics cycles``: the cycles that orbits end in, and others."""

from typing import Annotated, Any

import typer

from quincunx.cli.dynamics._given import L2, AsJson, Data, Gamma, Seed, Step

CYCLES_HELP = """Find cycles of gradient descent from random starts in the trapping ball.

  [cyan]quincunx dynamics cycles data.csv --gamma 1.5[/cyan]
  [cyan]quincunx dynamics cycles data.csv --step 6 --max-period 30 --starts 10000[/cyan]
  [cyan]quincunx dynamics cycles data.csv --step 6 --all --max-period 3[/cyan]   proved complete

Stable cycles are where orbits end; unstable ones are found by Newton's method.
In one dimension --all finds every cycle up to the period, with a proof (extra
certify).
"""

MaxPeriod = Annotated[int, typer.Option("--max-period", min=1, help="The longest period wanted.")]
Starts = Annotated[int, typer.Option("--starts", min=1, help="How many orbits to follow.")]
Iterations = Annotated[int, typer.Option("--iterations", min=1, help="Of an orbit at most.")]
All = Annotated[bool, typer.Option("--all", help="Prove that there are no others (1-D).")]


def cycles(
    data: Data,
    step: Step = "",
    gamma: Gamma = "",
    max_period: MaxPeriod = 8,
    starts: Starts = 1000,
    iterations: Iterations = 20_000,
    everything: All = False,
    seed: Seed = 0,
    l2: L2 = "0",
    as_json: AsJson = False,
) -> None:
    """Find cycles; :data:`CYCLES_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json):
        import json

        from quincunx.cli._waiting import wait_for
        from quincunx.cli.dynamics._given import problem_of, step_of
        from quincunx.solvers.dynamics import all_cycles, find_cycles

        problem = problem_of(data, l2)
        exact = step_of(problem, step, gamma)
        if everything:
            proved = wait_for(lambda _: all_cycles(problem, exact, max_period), "proving")
            typer.echo(json.dumps(proved.to_json(), indent=1) if as_json else str(proved))
            return
        found = wait_for(
            lambda report: find_cycles(
                problem,
                float(exact),
                max_period=max_period,
                starts=starts,
                iterations=iterations,
                seed=seed,
                report=lambda done, whole: report(f"{done} of {whole} orbits have ended"),
            ),
            "following orbits",
        )
        if as_json:
            typer.echo(json.dumps([_plain(cycle) for cycle in found], indent=1))
            return
        _print(found, float(exact), problem.sharpness, starts)


def _plain(cycle: Any) -> dict[str, Any]:
    return {
        "period": cycle.period,
        "stable": cycle.stable,
        "share": cycle.share,
        "points": cycle.points.tolist(),
        "multipliers": [[m.real, m.imag] for m in cycle.multipliers.tolist()],
    }


def _print(found: Any, step: float, sharpness: float, starts: int) -> None:
    from quincunx.cli._console import make_console, print_note, print_table

    console = make_console()
    console.print(f"step {step:.12g}, gamma {step * sharpness:.12g}")
    rows = [
        (
            str(cycle.period),
            "stable" if cycle.stable else "unstable",
            f"{cycle.share:.1%}" if cycle.share else "",
            _multiplier(cycle.multipliers[0]),
            ", ".join(f"{v:.12g}" for v in cycle.points[0]),
        )
        for cycle in found
    ]
    head = ["period", "", "of starts", "largest multiplier", "through"]
    print_table(console, head, rows, right=(0, 2, 3))
    missing = 1 - sum(cycle.share for cycle in found)
    if missing > 0.5 / starts:
        print_note(
            console,
            f"{missing:.1%} of the orbits have not ended: they are chaotic, slow, or of a longer "
            f"period. Try a larger --iterations or --max-period",
        )


def _multiplier(value: complex) -> str:
    return f"{value.real:.6f}" if not value.imag else f"{value.real:.6f}{value.imag:+.6f}i"
