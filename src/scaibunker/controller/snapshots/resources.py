"""What operations on snapshots act on."""

from scaibunker.controller.permissions import ADMIN_KEYS
from scaibunker.controller.snapshots.errors import SnapshotNotFound
from scaigrid.http.resources import Reach, Resource

SNAPSHOT = Resource("snapshot_id", Reach.OWNER, SnapshotNotFound, admin=ADMIN_KEYS)
"""A snapshot that somebody asked for."""
