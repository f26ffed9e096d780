"""`scaibunker cp`: files and directories between here and a bunker."""

from dataclasses import asdict
from typing import Annotated

import typer

from scaibunker.cli import copying
from scaibunker.cli.copying import STANDARD
from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.failures import CommandError
from scaibunker.cli.options import UserOption, new_app
from scaibunker.cli.output import write_json
from scaibunker.cli.progress import notice, transfer
from scaibunker.cli.references import bunker_id
from scaibunker.cli.session import Session, connected
from scaibunker.cli.values import Remote, User, place
from scaibunker.sdk import TransferSummary

app = new_app()

_SHOWN = 20
"""Lines for things left out, at most."""


def copy(
    session: Session,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="PATH, BUNKER:PATH or -")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="BUNKER:PATH, PATH or -")],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Copy a directory and what is in it.")
    ] = False,
    user: UserOption = "bunker",
) -> int:
    """Copy files between here and a bunker.

    One of the two is BUNKER:PATH; a relative PATH there begins at the user's home. A target that is
    a directory, or ends with a slash, gets the source under its own name; SOURCE/. means what is in
    SOURCE. `-` is standard input or output. A local path with a colon is written ./a:b

    Nothing is written outside the local target, whatever the files in the bunker are called. Links
    that lead out of the copied directory and special files are left out, with exit code 1.
    """
    begin, end = place(source, user), place(target, user)
    if isinstance(begin, Remote) and isinstance(end, str):
        summary = _download(session, begin, end, recursive=recursive, user=user)
    elif isinstance(begin, str) and isinstance(end, Remote):
        summary = _upload(session, begin, end, recursive=recursive, user=user)
    else:
        raise CommandError(
            "exactly one of SOURCE and TARGET must be BUNKER:PATH",
            hint="a local path with a colon is written ./a:b",
        )
    _report(session, summary, quiet=end == STANDARD)
    return ExitCode.FAILURE if summary.skipped_count else ExitCode.OK


def _upload(
    session: Session, source: str, target: Remote, *, recursive: bool, user: User
) -> TransferSummary:
    files = session.client.files(bunker_id(session.client, target.bunker))
    if source == STANDARD:
        return copying.upload_stdin(files, session.surroundings.stdin, target.path, user=user)
    with transfer() as progress:
        return copying.upload(
            files, source, target.path, recursive=recursive, user=user, progress=progress
        )


def _download(
    session: Session, source: Remote, target: str, *, recursive: bool, user: User
) -> TransferSummary:
    if target == STANDARD and session.json:
        raise CommandError("standard output cannot take both a file and --json")
    files = session.client.files(bunker_id(session.client, source.bunker))
    if target == STANDARD:
        return copying.download_stdout(files, source.path, user=user)
    with transfer() as progress:
        return copying.download(
            files, source.path, target, recursive=recursive, user=user, progress=progress
        )


def _report(session: Session, summary: TransferSummary, *, quiet: bool) -> None:
    shown = summary.skipped[:_SHOWN]
    for item in shown:
        notice(f"left out: {item.path}: {item.reason}")
    if summary.skipped_count > len(shown):
        notice(f"left out: {summary.skipped_count - len(shown)} more; --json names them")
    if session.json and not quiet:
        write_json(asdict(summary))


app.command("cp")(connected(copy))
