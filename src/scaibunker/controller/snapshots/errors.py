"""What can be refused about a snapshot."""

from scaibunker.wire.codes import Code
from scaigrid.errors import GridError, Kind


class SnapshotNotFound(GridError):
    """There is no such snapshot."""

    kind = Kind.NOT_FOUND
    code = Code.SNAPSHOT_NOT_FOUND


class SnapshotNotReady(GridError):
    """The snapshot is not ready."""

    kind = Kind.CONFLICT
    code = Code.SNAPSHOT_NOT_READY
    hint = "Wait until its status is ready; of one that has failed nothing can be made."
