"""The caps of a quota profile on the command line: as options, and as cells of a table.

Of an option that was not given nothing is said to the API; `none` takes a cap away.
"""

from typing import Annotated, Any, cast

import typer

from scaibunker.cli import values
from scaibunker.cli.values import Cap
from scaibunker.sdk import QuotaCapOptions


def _count(name: str, help_: str) -> Any:
    return typer.Option(name, parser=values.cap(values.count), metavar="N", help=help_)


def _cores(name: str, help_: str) -> Any:
    return typer.Option(name, parser=values.cap(values.millicores), metavar="CORES", help=help_)


def _size(name: str, help_: str) -> Any:
    return typer.Option(name, parser=values.cap(values.mebibytes), metavar="SIZE", help=help_)


BunkersOption = Annotated[
    Cap | None, _count("--bunkers", "Bunkers at once; `none` is no cap, here and below.")
]
PersistentOption = Annotated[Cap | None, _count("--persistent", "Persistent bunkers.")]
CpuCapOption = Annotated[Cap | None, _cores("--cpu", "CPU in all: 0.5, 2 or 1500m.")]
MemoryCapOption = Annotated[Cap | None, _size("--memory", "Memory in all: 512M or 2G.")]
DiskCapOption = Annotated[Cap | None, _size("--disk", "Disk in all: 1024M or 4G.")]
GpusOption = Annotated[Cap | None, _count("--gpus", "GPUs in all.")]
BunkerCpuOption = Annotated[Cap | None, _cores("--per-bunker-cpu", "CPU of each bunker.")]
BunkerMemoryOption = Annotated[Cap | None, _size("--per-bunker-memory", "Memory of each bunker.")]
BunkerDiskOption = Annotated[Cap | None, _size("--per-bunker-disk", "Disk of each bunker.")]
BunkerGpusOption = Annotated[Cap | None, _count("--per-bunker-gpus", "GPUs of each bunker.")]


def given(**caps: Cap | None) -> QuotaCapOptions:
    """The caps that were given, under their names in the API."""
    return cast("QuotaCapOptions", {name: cap.most for name, cap in caps.items() if cap})


def count_of(most: int | None) -> str | None:
    """Things, or nothing."""
    return None if most is None else str(most)


def cores_of(millicores: int | None) -> str | None:
    """Cores as people write them."""
    return None if millicores is None else f"{millicores / 1000:g}"


def size_of(mebibytes: int | None) -> str | None:
    """A size as people write it."""
    return None if mebibytes is None else f"{mebibytes} MiB"
