"""The table of commands, and the options that come before them.

A command is a module of `commands` with an `app`; it is imported when it is used.
"""

from types import MappingProxyType
from typing import Annotated

import typer

from scaibunker import __version__
from scaibunker.cli.lazy import Entry, LazyGroup
from scaibunker.cli.options import (
    ApiKeyFileOption,
    ApiKeyOption,
    EndpointOption,
    IdentityOption,
    JsonOption,
    ProfileOption,
    new_app,
)
from scaibunker.cli.surroundings import Choice, Surroundings

_COMMANDS = "scaibunker.cli.commands"


class Commands(LazyGroup):
    """Every command there is."""

    entries = MappingProxyType(
        {
            "run": Entry(f"{_COMMANDS}.run", "Run a command in a new bunker, and terminate it."),
            "exec": Entry(f"{_COMMANDS}.exec", "Run a command in a bunker."),
            "cp": Entry(f"{_COMMANDS}.cp", "Copy files between here and a bunker."),
            "bunker": Entry(
                f"{_COMMANDS}.bunker",
                "Make, list, show, pause, resume, snapshot and remove bunkers.",
            ),
            "snapshot": Entry(
                f"{_COMMANDS}.snapshot", "List, show and remove snapshots of bunkers."
            ),
            "bridge": Entry(
                f"{_COMMANDS}.bridge", "Make, list, show and remove bridges between bunkers."
            ),
            "image": Entry(f"{_COMMANDS}.image", "List the images that bunkers can be made from."),
            "worker": Entry(
                f"{_COMMANDS}.worker", "List, show, drain and resume the workers that run bunkers."
            ),
            "quota": Entry(
                f"{_COMMANDS}.quota",
                "Set how much users and groups may hold, and see what they do.",
            ),
            "audit": Entry(f"{_COMMANDS}.audit", "Read who changed what, and who was refused."),
            "dev": Entry(
                f"{_COMMANDS}.dev",
                "Run everything on this machine: controller, storage and a worker.",
            ),
            "doctor": Entry(
                f"{_COMMANDS}.doctor",
                "Tell what this host can run, and what to install for the rest.",
            ),
        }
    )


app = new_app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scaibunker {__version__}")
        raise typer.Exit


@app.callback(cls=Commands)
def scaibunker(
    context: typer.Context,
    endpoint: EndpointOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    profile: ProfileOption = None,
    identity: IdentityOption = None,
    json: JsonOption = False,
    version: Annotated[  # noqa: ARG001 (its callback does it)
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Sandboxed compute: Linux machines of their own for code that you do not trust.

    The endpoint and the key come from the options, from SCAIGRID_HOST and SCAIGRID_API_KEY, or from
    a profile file (SCAIBUNKER_PROFILE, else ~/.config/scaibunker/profile.toml). The options may
    stand before the command or behind it.
    """
    surroundings: Surroundings = context.obj
    context.obj = surroundings.choosing(
        Choice(endpoint, api_key, api_key_file, profile, identity, json)
    )
