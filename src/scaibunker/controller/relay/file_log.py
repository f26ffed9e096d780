"""The log of file operations: who did what to which path, and what came of it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import insert

from scaibunker.controller.relay.tables import file_operations
from scaigrid.db.batch import BatchWriter
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.errors import GridError
from scaigrid.ids import new_id
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

_INSERT = insert(file_operations)
OK = "ok"
BROKEN = "BROKEN"


@dataclass(slots=True)
class FileOperation:
    """One operation while it goes on; `tenant_id` (the bunker's), `bytes` and `outcome` are filled
    in as they are known."""

    bunker_id: str
    operation: str
    path: str
    as_user: str
    target: str | None = None
    tenant_id: str | None = None
    bytes: int | None = None
    outcome: str = OK


class FileLog:
    """Writes the log."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer

    @contextlib.contextmanager
    def logged(self, op: Operation, operation: FileOperation) -> Iterator[FileOperation]:
        """Log the operation when the block ends, however it ends.

        Only if the bunker was found, which `tenant_id` says: before that, its id is no more than
        what the caller claims, and no entry may be made under somebody else's bunker.
        """
        started, at = op.clock.monotonic(), op.now()
        try:
            yield operation
        except GridError as error:
            operation.outcome = error.code
            raise
        except BaseException:
            operation.outcome = BROKEN
            raise
        finally:
            if operation.tenant_id is not None:
                self._write(op, operation, at, op.clock.monotonic() - started)

    def _write(
        self, op: Operation, operation: FileOperation, at: datetime, duration_s: float
    ) -> None:
        row = {
            "id": new_id("fop"),
            "bunker_id": operation.bunker_id,
            "tenant_id": operation.tenant_id,
            "user_id": op.user.user_id,
            "operation": operation.operation,
            "path": operation.path,
            "target": operation.target,
            "as_user": operation.as_user,
            "bytes": operation.bytes,
            "outcome": operation.outcome,
            "at": at,
            "duration_ms": round(duration_s * 1000),
        }
        try:
            self._writer.submit(_INSERT, row, urgent=False)
        except DatabaseUnavailable:  # the operation is over, and the caller is to know its outcome
            log.error("a file operation has no place in the queue", **{**row, "at": at.isoformat()})
