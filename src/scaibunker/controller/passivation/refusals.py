"""Why a bunker was not woken, as it is kept in its row: whoever waits, at whatever replica, is told the same."""

from collections.abc import Mapping
from typing import Any

from scaibunker.controller.bunkers.errors import BunkerNotRunning
from scaibunker.controller.objects.errors import StorageUnavailable
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.controller.workers.errors import WorkerUnreachable
from scaigrid.errors import GridError

REFUSALS: tuple[type[GridError], ...] = (
    BunkerQuotaExceeded,
    WorkerUnavailable,
    NoSuitableWorker,
    StorageUnavailable,
    WorkerUnreachable,
)
"""What a call that wakes a bunker may be answered with, beside what it may be answered with anyway."""
_KNOWN: tuple[type[GridError], ...] = (*REFUSALS, BunkerNotRunning)
_BY_CODE = {error.code: error for error in _KNOWN}


def written(error: GridError) -> dict[str, Any]:
    """As JSON."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "details": error.details,
        "retry_after": error.retry_after,
    }


def read(refusal: Mapping[str, Any]) -> GridError:
    """What was written."""
    error = _BY_CODE.get(refusal["code"], BunkerNotRunning)
    return error(
        refusal["message"],
        hint=refusal["hint"],
        details=refusal["details"],
        retry_after=refusal["retry_after"],
    )
