"""The caps of a quota profile on the command line: as options, and as cells of a table.

Of an option that was not given nothing is said to the API; `none` takes a cap away.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from scaibunker.cli import values
from scaibunker.cli.session import Session
from scaibunker.cli.values import Cap


def _count(name: str, help_: str) -> Any:
    return typer.Option(name, parser=values.cap(values.count), metavar="N", help=help_)


def _cores(name: str, help_: str) -> Any:
    return typer.Option(name, parser=values.cap(values.millicores), metavar="CORES", help=help_)


def _size(name: str, help_: str) -> Any:
    return typer.Option(name, parser=values.cap(values.mebibytes), metavar="SIZE", help=help_)


_OPTIONS: Mapping[str, Any] = {
    "max_concurrent_bunkers": _count(
        "--bunkers", "Bunkers at once; `none` is no cap, here and below."
    ),
    "max_persistent_bunkers": _count("--persistent", "Persistent bunkers."),
    "max_cpu_millicores": _cores("--cpu", "CPU in all: 0.5, 2 or 1500m."),
    "max_memory_mb": _size("--memory", "Memory in all: 512M or 2G."),
    "max_disk_mb": _size("--disk", "Disk in all: 1024M or 4G."),
    "max_gpu_count": _count("--gpus", "GPUs in all."),
    "per_bunker_max_cpu": _cores("--per-bunker-cpu", "CPU of each bunker."),
    "per_bunker_max_memory": _size("--per-bunker-memory", "Memory of each bunker."),
    "per_bunker_max_disk": _size("--per-bunker-disk", "Disk of each bunker."),
    "per_bunker_max_gpu": _count("--per-bunker-gpus", "GPUs of each bunker."),
}
"""By what the API calls them."""


def taking_caps(verb: Any) -> Any:
    """A `Verb` with an option for each cap, where `verb` takes `caps`: those that were given, under their names in
    the API."""

    def command(session: Session, **given: Any) -> int | None:
        caps = {name: given.pop(name) for name in _OPTIONS}
        code: int | None = verb(
            session, caps={name: cap.most for name, cap in caps.items() if cap}, **given
        )
        return code

    own = inspect.signature(verb).parameters.values()
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=Annotated[Cap | None, option],
        )
        for name, option in _OPTIONS.items()
    ]
    parameters = [each for item in own for each in (options if item.name == "caps" else (item,))]
    functools.update_wrapper(command, verb)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def count_of(most: int | None) -> str | None:
    """Things, or nothing."""
    return None if most is None else str(most)


def cores_of(millicores: int | None) -> str | None:
    """Cores as people write them."""
    return None if millicores is None else f"{millicores / 1000:g}"


def size_of(mebibytes: int | None) -> str | None:
    """A size as people write it."""
    return None if mebibytes is None else f"{mebibytes} MiB"
