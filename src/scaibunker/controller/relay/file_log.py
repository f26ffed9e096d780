"""The log of file operations: who did what to which path, and what came of it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert

from scaibunker.controller.bunkers.errors import BunkerNotFound
from scaibunker.controller.relay.tables import file_operations
from scaigrid.db.batch import BatchWriter
from scaigrid.errors import GridError
from scaigrid.ids import new_id
from scaigrid.operation import Operation

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

        Not if the caller finds no such bunker: there is none then that the entry could belong to.
        """
        started, at = op.clock.monotonic(), op.now()
        found = True
        try:
            yield operation
        except BunkerNotFound:
            found = False
            raise
        except GridError as error:
            operation.outcome = error.code
            raise
        except BaseException:
            operation.outcome = BROKEN
            raise
        finally:
            if found:
                self._write(op, operation, at, op.clock.monotonic() - started)

    def _write(
        self, op: Operation, operation: FileOperation, at: datetime, duration_s: float
    ) -> None:
        self._writer.submit(
            _INSERT,
            {
                "id": new_id("fop"),
                "bunker_id": operation.bunker_id,
                "tenant_id": operation.tenant_id or op.user.tenant_id,
                "user_id": op.user.user_id,
                "operation": operation.operation,
                "path": operation.path,
                "target": operation.target,
                "as_user": operation.as_user,
                "bytes": operation.bytes,
                "outcome": operation.outcome,
                "at": at,
                "duration_ms": round(duration_s * 1000),
            },
            urgent=False,
        )
