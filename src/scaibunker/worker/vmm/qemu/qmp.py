"""QEMU's machine protocol (QMP): JSON lines over a UNIX socket. Just enough of it, with time-outs.

A connection is made for each conversation: QEMU serves one client at a time, and a daemon that
died must not keep the next one out.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from scaibunker.worker.errors import WorkerFault

TIMEOUT_S = 10.0
LINE_LIMIT = 4 * 1024 * 1024


class QmpError(WorkerFault):
    """QEMU refused a command, or did not answer it in time."""


class QmpSession:
    """An open conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run one command; returns its `return` value. Raises QmpError."""
        message: dict[str, Any] = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        self._writer.write(json.dumps(message).encode() + b"\n")
        await self._writer.drain()
        while True:
            answer = await self.read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QmpError(f"QEMU refused {command}: {answer['error'].get('desc')}")
            # Anything else is an event; nobody here waits for one.

    async def read(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise QmpError("QEMU closed its control socket")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise QmpError("QEMU said something that is no QMP message")
        return answer


@contextlib.asynccontextmanager
async def session(path: Path, timeout_s: float = TIMEOUT_S) -> AsyncIterator[QmpSession]:
    """Connect and negotiate; everything inside must end within `timeout_s`. Raises QmpError."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LINE_LIMIT)
            qmp = QmpSession(reader, writer)
            await qmp.read()  # the greeting
            await qmp.execute("qmp_capabilities")
            yield qmp
    except TimeoutError:
        raise QmpError(f"QEMU did not answer within {timeout_s:g} s") from None
    except (OSError, ValueError) as error:
        raise QmpError(f"cannot speak to QEMU: {error}") from error
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
