"""The module's settings, one class per section."""

from scaibunker.controller.settings.limits import LimitSettings
from scaibunker.controller.settings.reconcile import ReconcileSettings
from scaibunker.controller.settings.relay import RelaySettings
from scaibunker.controller.settings.snapshots import SnapshotSettings
from scaibunker.controller.settings.storage import StorageSettings
from scaibunker.controller.settings.workers import WorkerSettings

__all__ = [
    "LimitSettings",
    "ReconcileSettings",
    "RelaySettings",
    "SnapshotSettings",
    "StorageSettings",
    "WorkerSettings",
]
