"""``quincunx dynamics certify``, ``converges`` and ``verify``: theorems, and their check."""

from typing import Annotated, Any

import typer

from quincunx.cli.dynamics._given import L2, AsJson, Data, Gamma, Seed, Step

CERTIFY_HELP = """Find the stable cycles of gradient descent, and prove them (extra certify).

  [cyan]quincunx dynamics certify data.csv --step 6[/cyan]
  [cyan]quincunx dynamics certify data.csv --step 6 --start 1 -o proof.json[/cyan]

Proved are existence, uniqueness near by, the exact period, stability, a ball that
is attracted, and the value of gamma, for the data and the step as fractions. With
--start also that gradient descent from there converges to the cycle.
The minimiser itself is a cycle of period 1, and is left out.
"""

CONVERGES_HELP = """Prove that gradient descent converges to the minimiser from every start (1-D).

  [cyan]quincunx dynamics converges data.csv --gamma 0.9[/cyan]

Needs the extra certify. Where it is false or not proved, the reason is printed
and the exit code is 1.
"""

VERIFY_HELP = """Prove again what a certificate says, from its file alone (extra certify).

  [cyan]quincunx dynamics verify proof.json[/cyan]
"""

Output = Annotated[str, typer.Option("-o", "--output", help="A JSON file for the certificate.")]
Start = Annotated[str, typer.Option("--start", help="Where a run begins, such as 0.5,1/3.")]
MaxPeriod = Annotated[
    int, typer.Option("--max-period", min=1, help="The longest period looked for.")
]
Starts = Annotated[int, typer.Option("--starts", min=1, help="How many orbits to follow.")]
Proof = Annotated[
    str, typer.Argument(metavar="PROOF", help="A file that certify or converges wrote.")
]


def certify(
    data: Data,
    step: Step = "",
    gamma: Gamma = "",
    start: Start = "",
    output: Output = "",
    max_period: MaxPeriod = 32,
    starts: Starts = 2000,
    seed: Seed = 0,
    l2: L2 = "0",
    as_json: AsJson = False,
) -> None:
    """Prove cycles; :data:`CERTIFY_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json):
        from quincunx._errors import need_extra

        need_extra("flint", "certify", "quincunx dynamics certify")
        from quincunx._errors import SolveError
        from quincunx.cli._waiting import wait_for
        from quincunx.cli.dynamics._given import numbers_of, problem_of, step_of
        from quincunx.solvers.dynamics import certify as prove
        from quincunx.solvers.dynamics import find_cycles

        problem = problem_of(data, l2)
        exact = step_of(problem, step, gamma)
        begin = numbers_of(start, "--start") if start else None

        def work(report: Any) -> list[Any]:
            found = find_cycles(
                problem,
                float(exact),
                max_period=max_period,
                starts=starts,
                seed=seed,
                report=lambda done, whole: report(f"{done} of {whole} orbits have ended"),
            )
            wanted = [cycle for cycle in found if cycle.stable and cycle.period > 1]
            if not wanted:
                raise SolveError(
                    f"no stable cycle but fixed points was found from {starts} starts; try a "
                    f"larger --starts, another step, or quincunx dynamics construct"
                )
            return [prove(problem, exact, cycle, start=begin) for cycle in wanted]

        proofs = wait_for(work, "proving")
        _tell(proofs, output, as_json)


def converges(
    data: Data,
    step: Step = "",
    gamma: Gamma = "",
    output: Output = "",
    l2: L2 = "0",
    as_json: AsJson = False,
) -> None:
    """Prove convergence; :data:`CONVERGES_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json):
        from quincunx._errors import need_extra

        need_extra("flint", "certify", "quincunx dynamics converges")
        from quincunx.cli._waiting import wait_for
        from quincunx.cli.dynamics._given import problem_of, step_of
        from quincunx.solvers.dynamics import converges_globally

        problem = problem_of(data, l2)
        exact = step_of(problem, step, gamma)
        found = wait_for(lambda _: converges_globally(problem, exact), "proving")
        _tell([found], output, as_json)


def verify(proof: Proof, as_json: AsJson = False) -> None:
    """Check a certificate; :data:`VERIFY_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json):
        from quincunx._errors import need_extra

        need_extra("flint", "certify", "quincunx dynamics verify")
        from quincunx.cli._waiting import wait_for
        from quincunx.solvers.dynamics import verify as check

        found = wait_for(lambda _: check(proof), "proving")
        _tell([found], "", as_json)


def _tell(proofs: list[Any], output: str, as_json: bool) -> None:
    """Print certificates, write the first, and end with code 1 where one is not proved."""
    import json

    from quincunx.cli._console import make_console, print_note

    if output:
        proofs[0].save(output)
    if as_json:
        found = [proof.to_json() for proof in proofs]
        typer.echo(json.dumps(found if len(found) > 1 else found[0], indent=1))
    else:
        console = make_console()
        for proof in proofs:
            console.print(str(proof), soft_wrap=True)
            console.print()
        if output:
            console.print(f"Certificate written to {output}.")
        if output and len(proofs) > 1:
            print_note(console, f"{len(proofs)} cycles were proved; the file has the first")
    if not all(proof.valid for proof in proofs):
        raise typer.Exit(1)
