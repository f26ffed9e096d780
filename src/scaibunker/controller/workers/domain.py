"""A worker's record, and when it counts as gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
    """One worker, as its last heartbeat described it. `address` never leaves the controller."""

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


@dataclass(frozen=True, slots=True)
class Used:
    """What the live bunkers of a worker hold."""

    bunkers: int = 0
    cpu_millicores: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    gpus: int = 0


class Presence:
    """Whether a worker counts as there.

    A controller that has just started has missed heartbeats through its own fault, so silence
    counts from its start at the earliest.
    """

    def __init__(self, offline_after_s: float, since: datetime) -> None:
        self._offline_after_s = offline_after_s
        self._since = since

    def is_online(self, worker: Worker, now: datetime) -> bool:
        """Whether it has reported recently enough for new bunkers."""
        return (now - worker.last_heartbeat_at).total_seconds() < self._offline_after_s

    def is_lost(self, worker: Worker, now: datetime) -> bool:
        """Whether it has been silent for so long that its work is given to others."""
        heard = max(worker.last_heartbeat_at, self._since)
        return (now - heard).total_seconds() >= self._offline_after_s

    def status(self, worker: Worker, now: datetime) -> WorkerStatus:
        """What an operator sees."""
        if not self.is_online(worker, now):
            return WorkerStatus.OFFLINE
        return WorkerStatus.DRAINING if worker.draining else WorkerStatus.ONLINE
