"""A worker's record, and when it counts as gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from scaibunker.wire.worker.protocol import SPOKEN, Versions

AMOUNTS = ("cpu_millicores", "memory_mb", "disk_mb")
"""What every bunker needs some of, by the names of a request's fields."""


class WorkerStatus(StrEnum):
    """What an operator sees."""

    ONLINE = "online"
    DRAINING = "draining"  # online, and takes no new bunkers
    OFFLINE = "offline"  # three intervals without a heartbeat


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a worker may give to bunkers in all: thousandths of a core, MiB, devices by type."""

    cpu_millicores: int
    memory_mb: int
    disk_mb: int
    gpus: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker, as its last heartbeat described it. `address` never leaves the controller. `templates` are named as
    by `wire.worker.templates.template_of`. `emptied_since`: an operator wants its bunkers passivated, those
    that can be. `network_addresses`: of its host, as it says; neither do they leave the controller, but to workers."""

    id: str
    name: str
    address: str
    protocol: int
    version: str
    acceleration: str
    network_profiles: Sequence[str]
    capacity: Capacity
    cached_images: Sequence[str]
    draining: bool
    last_heartbeat_at: datetime
    held: "Held" = field(default_factory=lambda: Held())
    emptied_since: datetime | None = None
    templates: Sequence[str] = ()
    registry_hosts: Sequence[str] = ()
    default_bandwidth_mbit: int | None = None
    network_addresses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What bunkers hold of a worker; of devices how many of each type."""

    bunkers: int = 0
    cpu_millicores: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    gpus: Mapping[str, int] = field(default_factory=dict)

    def more(self, other: "Held", sign: int = 1) -> "Held":
        """This and the other; with a `sign` of -1 this without the other."""
        gpus = dict(self.gpus)
        for kind, count in other.gpus.items():
            gpus[kind] = gpus.get(kind, 0) + sign * count
        return Held(
            self.bunkers + sign * other.bunkers,
            self.cpu_millicores + sign * other.cpu_millicores,
            self.memory_mb + sign * other.memory_mb,
            self.disk_mb + sign * other.disk_mb,
            gpus,
        )


class Presence:
    """Whether a worker counts as there.

    Silence counts only while this controller could have heard: one that has just started, was stopped
    for a while or could not use its database has missed heartbeats through its own fault. After such
    an interruption silence counts anew. `listening` is called again and again while all is well.
    """

    def __init__(self, offline_after_s: float, since: datetime, spoken: Versions = SPOKEN) -> None:
        self._spoken = spoken
        self._offline_after = timedelta(seconds=offline_after_s)
        self._deaf_after = self._offline_after / 3
        self._since = since
        self._listened_at = since
        self._deaf_from: datetime | None = None

    def listening(self, now: datetime) -> None:
        """Heartbeats can be taken now."""
        self._since, self._deaf_from = self._state(now)
        self._listened_at = now

    def missed(self, now: datetime) -> None:
        """A heartbeat came and could not be recorded."""
        self._since, self._deaf_from = now, self._first_deaf(now)
        self._listened_at = now

    def listening_since(self, now: datetime) -> datetime:
        """Since when this controller has missed nothing: `now` while it cannot listen."""
        return self._state(now)[0]

    def interrupted_until(self, now: datetime) -> datetime | None:
        """When the last interruption ended; `now` while it lasts, None if there was none."""
        since, deaf_from = self._state(now)
        return since if deaf_from is not None else None

    def understands(self, protocol: int) -> bool:
        """Whether this controller speaks a version of the worker protocol."""
        return protocol in self._spoken

    def is_online(self, worker: Worker, now: datetime) -> bool:
        """Whether it has reported recently enough for new bunkers."""
        return self.understands(worker.protocol) and self.was_heard(worker.last_heartbeat_at, now)

    def was_heard(self, heard: datetime, now: datetime) -> bool:
        """Whether a worker that reported last then counts as online. One that was when an
        interruption began still is when it ends."""
        since, deaf_from = self._state(now)
        if deaf_from is not None and deaf_from - heard < self._offline_after:
            heard = max(heard, since)
        return now - heard < self._offline_after

    def is_lost(self, worker: Worker, now: datetime) -> bool:
        """Whether it has been silent for so long that its work is given to others."""
        heard = max(worker.last_heartbeat_at, self.listening_since(now))
        return now - heard >= self._offline_after

    def status(self, worker: Worker, now: datetime) -> WorkerStatus:
        """What an operator sees."""
        if not self.is_online(worker, now):
            return WorkerStatus.OFFLINE
        return WorkerStatus.DRAINING if worker.draining else WorkerStatus.ONLINE

    def _state(self, now: datetime) -> tuple[datetime, datetime | None]:
        """Since when silence counts, and when the interruption before that began."""
        if now - self._listened_at < self._deaf_after:
            return self._since, self._deaf_from
        return now, self._first_deaf(self._listened_at)

    def _first_deaf(self, began: datetime) -> datetime:
        """When the interruptions began that follow each other too closely for a worker to be heard
        between them."""
        if self._deaf_from is not None and began - self._since < self._offline_after:
            return self._deaf_from
        return began
