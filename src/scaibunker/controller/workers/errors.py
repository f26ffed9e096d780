"""What can go wrong with a worker."""

from scaibunker.wire.codes import Code
from scaigrid.errors import GridError, Kind


class WorkerNotFound(GridError):
    """There is no such worker."""

    kind = Kind.NOT_FOUND
    code = Code.WORKER_NOT_FOUND


class WorkerUnreachable(GridError):
    """The bunker's worker did not answer."""

    kind = Kind.UPSTREAM
    code = Code.WORKER_UNREACHABLE
    hint = "Look at the bunker's status; try again if the operation can be repeated."


class ProtocolMismatch(GridError):
    """The worker speaks a version of the worker protocol that this controller does not."""

    kind = Kind.CONFLICT
    code = Code.PROTOCOL_MISMATCH
    hint = "Upgrade whichever of the two is older; the worker's machines run on meanwhile."


class WorkerIdTaken(GridError):
    """Another daemon of this worker id reports from another address, and still answers there."""

    kind = Kind.CONFLICT
    code = Code.NAME_CONFLICT
    hint = "Each host needs a worker id of its own: start the copy with an empty data directory."


class WorkerRefused(Exception):
    """A worker answered with an error. Never leaves the controller as it is."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        """What of the request is at fault, if that is said: a guest may have made it up."""
        self.size = size
        """Bytes of the content that a range is not within."""
