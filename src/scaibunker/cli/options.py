"""Options that several commands share, and how a `typer` application of ours is set up."""

from pathlib import Path
from typing import Annotated, Any

import typer

from scaibunker.cli import values
from scaibunker.cli.values import User


def new_app() -> typer.Typer:
    """An application, or a part of one; its help is its callback's or its only command's."""
    return typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help, four times as fast
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def moment_option(name: str, help_: str) -> Any:
    """An option that is a point in time, or how long ago it was."""
    return typer.Option(name, parser=values.moment, metavar="TIME", help=help_)


def _size(name: str, help_: str) -> Any:
    """An option that is a size, in mebibytes."""
    return typer.Option(name, parser=values.mebibytes, metavar="SIZE", help=help_)


EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", help="The API's address [env: SCAIGRID_HOST]."),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="The key itself; others on this machine can see it. [env: SCAIGRID_API_KEY]",
    ),
]
ApiKeyFileOption = Annotated[
    Path | None,
    typer.Option("--api-key-file", metavar="FILE", help="A file that holds the key."),
]
ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="FILE",
        help="A profile, or a credentials.json of `scaibunker dev` [env: SCAIBUNKER_PROFILE].",
    ),
]
IdentityOption = Annotated[
    str | None,
    typer.Option("--identity", metavar="NAME", help="Which key of a credentials.json [user]."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON: results on stdout, an error on stderr.")
]

BunkerArgument = Annotated[
    str, typer.Argument(metavar="BUNKER", help="Its id, or the name of one that still exists.")
]
BunkersArgument = Annotated[
    list[str], typer.Argument(metavar="BUNKER", help="Ids, or names of ones that still exist.")
]
WorkerArgument = Annotated[str, typer.Argument(metavar="WORKER", help="Its id or its name.")]
WorkersArgument = Annotated[list[str], typer.Argument(metavar="WORKER", help="Ids or names.")]
QuotaProfileArgument = Annotated[
    str, typer.Argument(metavar="QUOTA", help="A quota profile's id or name.")
]
QuotaProfilesArgument = Annotated[
    list[str], typer.Argument(metavar="QUOTA", help="Ids or names of quota profiles.")
]
SnapshotArgument = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Its id or its name.")]
SnapshotsArgument = Annotated[list[str], typer.Argument(metavar="SNAPSHOT", help="Ids or names.")]
BridgeArgument = Annotated[str, typer.Argument(metavar="BRIDGE", help="Its id or its name.")]
BridgesArgument = Annotated[list[str], typer.Argument(metavar="BRIDGE", help="Ids or names.")]
ImageArgument = Annotated[
    str | None,
    typer.Argument(metavar="IMAGE", help="An image's name or id; none with --snapshot."),
]
CommandArgument = Annotated[
    list[str],
    typer.Argument(metavar="CMD", help="The command and its arguments, after --; no shell."),
]

FromSnapshotOption = Annotated[
    str | None,
    typer.Option("--snapshot", metavar="SNAPSHOT", help="Make it of this snapshot: id or name."),
]
SnapshotKindOption = Annotated[
    str | None,
    typer.Option(
        "--snapshot-kind",
        metavar="KIND",
        help="disk: boot from a full snapshot's disk, instead of going on with its memory.",
    ),
]
NameOption = Annotated[str | None, typer.Option("--name", help="A name for the bunker.")]
CpuOption = Annotated[
    int | None,
    typer.Option(
        "--cpu",
        parser=values.millicores,
        metavar="CORES",
        help="0.5, 2 or 1500m [the image's or snapshot's].",
    ),
]
MemoryOption = Annotated[int | None, _size("--memory", "512M or 2G [the image's or snapshot's].")]
DiskOption = Annotated[int | None, _size("--disk", "1024M or 4G [the image's or snapshot's].")]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", metavar="K[=V]", help="A variable; K alone takes it from here."),
]
LabelOption = Annotated[
    list[str] | None, typer.Option("--label", "-l", metavar="K=V", help="A label.")
]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="PROFILE",
        help="isolated, registry, allowlisted, unrestricted or transit [isolated, or the memory's].",
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="HOST",
        help="A host that `--network allowlisted` may reach: a name, or *.name.",
    ),
]
BandwidthOption = Annotated[
    int | None,
    typer.Option(
        "--bandwidth",
        min=1,
        max=10_000,
        metavar="MBIT",
        help="Mbit/s each way, with a network [the worker's default].",
    ),
]
InterfaceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--interface",
        metavar="INTERFACE",
        help=f"What `--network transit` plugs in: {values.INTERFACE_FORM}.",
    ),
]
UserOption = Annotated[
    User,
    typer.Option(
        "--user", "-u", parser=values.user, metavar="USER", help="bunker (uid 1000) or root."
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout",
        "-t",
        min=1,
        max=86_400,
        metavar="SECONDS",
        help="Kill the command after this long, with exit code 124.",
    ),
]
CwdOption = Annotated[
    str | None,
    typer.Option(
        "--cwd",
        "-w",
        parser=values.absolute,
        metavar="DIR",
        help="Where to run it, an absolute path [the user's home].",
    ),
]
KeepOption = Annotated[
    bool, typer.Option("--keep", help="Leave the bunker running; its id is on stderr.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Show this many at most.")
]
DEFAULT_TIMEOUT_S = 3600.0
"""A person can interrupt: the API's own minute is for programs that forget."""
