"""Whose things are on this host, and whether somebody will come back for them. Reads; changes nothing."""

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

from scaibunker.wire.bounds import WORKER_ID
from scaibunker.worker import cgroups
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import found, links, netns, nft
from scaibunker.worker.network.bridges.names import namespace_prefix
from scaibunker.worker.network.claims import RANGES, Claims
from scaibunker.worker.network.naming import LINK_PREFIX, NAMESPACE_PREFIX, Names
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.remains import note
from scaibunker.worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

GATEWAY = ".gateway"
DATA_DIR = b"SCAIBUNKER_WORKER_DATA_DIR"
_OWNED = re.compile(rf"({WORKER_ID})(?:{note.SUFFIX}|{GATEWAY})?", re.ASCII)
_TAGS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"{NAMESPACE_PREFIX}([0-9a-f]{{6}})-.+",
        rf"{LINK_PREFIX}([0-9a-f]{{6}})[0-9]+",
        r"scaibunker_([0-9a-f]{6})",
    )
)


class Standing(StrEnum):
    """What is to be expected of a worker."""

    RUNNING = "running"
    STOPPED = "stopped"
    """Its data folder is there: its next daemon takes over what there is."""
    LOST = "lost"
    """Its data folder is gone, or is another worker's by now."""
    UNKNOWN = "unknown"
    """Nothing says where its data folder is."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where workers of this host keep what is not in their data folders; `ranges` only tell what is whose."""

    runtime_dir: Path
    claims_dir: Path
    ranges: Ranges

    @classmethod
    def of(cls, settings: WorkerSettings) -> "Places":
        network = settings.network
        ranges = Ranges(network.transfer_v4, network.transfer_v6)
        return cls(settings.runtime_dir, network.claims_dir, ranges)

    def claims(self, worker_id: str) -> Claims:
        return Claims(self.claims_dir, worker_id, self.ranges)

    def note(self, worker_id: str) -> Path:
        return note.path_of(self.runtime_dir, worker_id)


@dataclass(frozen=True, slots=True)
class Worker:
    """One that has something here. `data_dir` is None where nothing says it; `things` for people."""

    id: str
    standing: Standing
    data_dir: Path | None
    things: tuple[str, ...]


def workers(places: Places) -> list[Worker]:
    """All that have something on this host, by id. Raises WorkerFault."""
    all_ = [worker(places, each) for each in sorted(_ids(places))]
    return [each for each in all_ if each.things]


def leaves_something(places: Places, worker_id: str) -> bool:
    """Whether there is anything here of a worker whose daemon ends, but for its note."""
    folders = (worker_id, f"{worker_id}{GATEWAY}")
    if any((places.runtime_dir / folder).exists() for folder in folders):
        return True
    if any(name.startswith(Names.of(worker_id).namespaces) for name in netns.names()):
        return True
    try:
        return bool(places.claims(worker_id).mine())
    except WorkerFault:  # it cannot be told
        return True


def tell_of_lost(settings: WorkerSettings) -> None:
    """In the log of a daemon that starts beside what they have left."""
    try:
        found = workers(Places.of(settings))
    except WorkerFault as fault:
        log.warning("remains_unknown", reason=fault.message)
        return
    for each in found:
        if each.standing is Standing.LOST:
            log.warning(
                "left_by_lost_worker",
                worker=each.id,
                data_dir=str(each.data_dir),
                left=each.things,
                advice="scaibunker doctor --reclaim",
            )


def nameless(places: Places) -> list[str]:
    """Namespaces, interfaces and tables that are named as ours, and of which nothing says whose they are."""
    known = {Names.of(worker_id).tag for worker_id in _ids(places)}
    tables = [name for _, name in _tables()]
    return [
        name
        for name in (*netns.names(), *links.names(), *tables)
        if (tag := _tag(name)) is not None and tag not in known
    ]


def worker(places: Places, worker_id: str) -> Worker:
    """One of them. Raises WorkerFault."""
    path = places.note(worker_id)
    said = note.read(path)
    data_dir = said.data_dir if said else None
    runs = note.is_held(path) or places.claims(worker_id).in_use or worker_id in _at_work()
    standing = Standing.RUNNING if runs else without_daemon(worker_id, data_dir)
    return Worker(worker_id, standing, data_dir, tuple(_things(places, worker_id)))


def without_daemon(worker_id: str, data_dir: Path | None) -> Standing:
    """Whether it can come back, by what is in its data folder."""
    if data_dir is None:
        return Standing.UNKNOWN
    try:
        said = (data_dir / "worker-id").read_text(errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return Standing.LOST
    except OSError:  # a disk that does not answer is not gone
        return Standing.STOPPED
    # One that holds no id at all is damaged: its worker's machines may still be in it.
    another = said != worker_id and re.fullmatch(WORKER_ID, said, re.ASCII)
    return Standing.LOST if another else Standing.STOPPED


def bridges(names: Names) -> list[str]:
    """The namespaces of a worker's bridges."""
    return [name for name in netns.names() if name.startswith(namespace_prefix(names))]


def has_rules(names: Names) -> bool:
    """Whether the host's table for a worker's slots is there."""
    return any(name == names.table for _, name in _tables())


def _at_work() -> set[str]:
    """Workers whose data folder some process has been told of and finds there: also those that keep their sockets elsewhere."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or it has no such folder
            for variable in (process / "environ").read_bytes().split(b"\0"):
                name, _, value = variable.partition(b"=")
                if name == DATA_DIR and value:
                    folder = process / "root" / os.fsdecode(value).lstrip("/")
                    found.add((folder / "worker-id").read_text(errors="replace").strip())
    return found


def _things(places: Places, worker_id: str) -> Iterable[str]:
    names = Names.of(worker_id)
    counts = {
        "control group": len(_groups(worker_id)),
        "network": len(found.numbers(names) | places.claims(worker_id).mine().keys()),
        "bridge": len(bridges(names)),
    }
    for what, count in counts.items():
        if count:
            yield f"{count} {what}{'s' if count > 1 else ''}"
    if has_rules(names):
        yield f"the table {names.table}"
    if (places.runtime_dir / f"{worker_id}{GATEWAY}").exists():
        yield "a gateway"
    if (places.runtime_dir / worker_id).exists():
        yield "sockets"
    if (places.claims_dir / f"{RANGES}{names.tag}").exists():
        yield "ranges of addresses"


def _ids(places: Places) -> set[str]:
    ids = set(_named(places.runtime_dir)) | places.claims("").workers()
    with contextlib.suppress(WorkerFault):  # this host has none
        ids |= {name for name in cgroups.workers() if _OWNED.fullmatch(name)}
    return ids


def _named(folder: Path) -> Iterable[str]:
    try:
        entries = sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for name in entries:
        if owner := _OWNED.fullmatch(name):
            yield owner[1]


def _groups(worker_id: str) -> set[str]:
    try:
        return cgroups.detect(worker_id).names()
    except WorkerFault:
        return set()


def _tables() -> list[tuple[str, str]]:
    try:
        return nft.tables()
    except (WorkerFault, OSError):  # no nftables here, and so no rules
        return []


def _tag(name: str) -> str | None:
    matches = (pattern.fullmatch(name) for pattern in _TAGS)
    return next((match[1] for match in matches if match), None)
