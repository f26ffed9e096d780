"""`scaibunker dev`: everything in one command.

The work is done by `scaibunker.dev.main:run(data_dir, host, port, keep_bunkers, as_json) -> int`, which prints
the `ready` line, handles its own signals, and gives the exit code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from scaibunker.cli.extras import load
from scaibunker.cli.options import JsonOption, new_app
from scaibunker.cli.session import ending

app = new_app()


@app.command("dev")
def dev(
    context: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Where everything is kept [~/.local/share/scaibunker/dev].",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", min=1, max=65_535, help="Port to listen on.")
    ] = 8000,
    keep_bunkers: Annotated[
        bool,
        typer.Option(
            "--keep-bunkers", help="Leave the bunkers running at the end, and find them again."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run everything on this machine: controller, storage and a worker.

    Prints `ready http://HOST:PORT` when a bunker can be created; the keys are then in
    DIR/credentials.json. SIGTERM or Ctrl-C stops it, and leaves nothing behind.
    """
    json = json or context.obj.choice.json
    with ending(json):
        run = load("dev")
    folder = data_dir or _default_folder(context.obj.environ)
    raise typer.Exit(run(folder, host, port, keep_bunkers, json))


def _default_folder(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local/share") / "scaibunker" / "dev"
