"""Doing one thing to several things that were named."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import typer
from pydantic import BaseModel

from scaibunker.cli import failures
from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.output import as_json, write_json
from scaibunker.cli.progress import notice, working
from scaibunker.cli.session import Session
from scaibunker.sdk import ScaiBunkerError


def each(
    session: Session,
    references: Sequence[str],
    doing: str | None,
    verb: Callable[[str], BaseModel],
) -> int:
    """Do it to every one, whatever becomes of the others, and print ids or records; the first
    error's code is ours. Without `doing` it is the verb that shows what is being done."""
    code: int = ExitCode.OK
    done = []
    for reference in references:
        try:
            with working(f"{doing} {reference}") if doing else nullcontext():
                record = as_json(verb(reference))
        except ScaiBunkerError as error:
            if len(references) > 1 and not session.json:
                notice(reference)
            failures.show(error, as_json=session.json)
            code = code or failures.exit_code(error)
            continue
        done.append(record)
        if not session.json:
            typer.echo(record["id"])
    if session.json:
        write_json(done)
    return code
