"""`scaibunker doctor`: what this host can run, and what to install for the rest.

The looking is done by `scaibunker.worker.doctor:collect() -> list[Finding]`.
"""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Protocol

import typer

from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.extras import load
from scaibunker.cli.options import JsonOption, new_app
from scaibunker.cli.output import write_json, write_rows
from scaibunker.cli.progress import working
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
def doctor(context: typer.Context, json: JsonOption = False) -> None:
    """Tell what this host can run, and what to install for the rest.

    Exits with 1 if something is missing that bunkers need here.
    """
    json = json or context.obj.choice.json
    with ending(json):
        collect = load("doctor")
    # What the tier has to log while it looks does not belong among the results.
    with working("looking at this host"), redirect_stdout(sys.stderr):
        findings: Sequence[Finding] = collect()
    if json:
        write_json([_fields(finding) for finding in findings])
    else:
        write_rows(("", "WHAT", "FOUND", "ADVICE"), [_row(finding) for finding in findings])
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
