"""Why no worker takes a bunker."""

from scaibunker.wire.codes import Code
from scaigrid.errors import GridError, Kind


class WorkerUnavailable(GridError):
    """No worker has the free capacity."""

    kind = Kind.UNAVAILABLE
    code = Code.WORKER_UNAVAILABLE
    hint = "Try again later, ask for less, or end bunkers that are not needed."


class EveryWorkerFailed(WorkerUnavailable):
    """Every worker that could take the bunker has failed to build it."""


class NoSuitableWorker(GridError):
    """No worker can run this bunker, however much is free."""

    kind = Kind.UNAVAILABLE
    code = Code.NO_SUITABLE_WORKER
    hint = "`details` says what is missing; another image or network profile may do."
