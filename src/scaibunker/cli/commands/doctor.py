"""`scaibunker doctor`: what this host can run, and what to install for the rest.

The looking is done by `scaibunker.worker.doctor:collect() -> list[Finding]`, and taking away what workers have left by
`scaibunker.worker.remains.command:run(workers) -> list[Finding]`.
"""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Annotated, Protocol

import typer

from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.extras import load
from scaibunker.cli.failures import CommandError
from scaibunker.cli.options import JsonOption, new_app
from scaibunker.cli.output import write_json, write_rows
from scaibunker.cli.progress import notice, working
from scaibunker.cli.session import ending


class Finding(Protocol):
    """One thing that was looked at. A `required` one that is not `ok` keeps bunkers from running."""

    name: str
    ok: bool
    value: str
    advice: str | None
    required: bool


app = new_app()


@app.command("doctor")
def doctor(
    context: typer.Context,
    reclaim: Annotated[
        bool,
        typer.Option(
            "--reclaim",
            help="Take away what workers have left here whose data folder is gone.",
        ),
    ] = False,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            metavar="ID",
            help="With --reclaim: of these alone, also where nothing says that they are gone.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Tell what this host can run, and what to install for the rest.

    Exits with 1 if something is missing that bunkers need here; with --reclaim if something is left.
    """
    json = json or context.obj.choice.json
    with ending(json):
        if worker and not reclaim:
            raise CommandError("--worker says whose things to --reclaim")
        collect = load("reclaim" if reclaim else "doctor")
    # What the tier has to log while it looks does not belong among the results.
    doing = "taking away what workers have left" if reclaim else "looking at this host"
    with working(doing), redirect_stdout(sys.stderr):
        findings: Sequence[Finding] = collect(worker or ()) if reclaim else collect()
    if json:
        write_json([_fields(finding) for finding in findings])
    elif findings or not reclaim:
        titles = ("", "WORKER", "DONE", "LEFT") if reclaim else ("", "WHAT", "FOUND", "ADVICE")
        write_rows(titles, [_row(finding) for finding in findings])
    else:
        notice("no worker has left anything here whose data folder is gone")
    if any(finding.required and not finding.ok for finding in findings):
        raise typer.Exit(ExitCode.FAILURE)


def _fields(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name,
        "ok": finding.ok,
        "value": finding.value,
        "advice": finding.advice,
        "required": finding.required,
    }


def _row(finding: Finding) -> tuple[object, ...]:
    verdict = "ok" if finding.ok else "MISSING" if finding.required else "missing"
    return verdict, finding.name, finding.value, finding.advice
