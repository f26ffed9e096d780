"""QEMU's machine protocol (QMP): JSON lines over a UNIX socket. Just enough of it, with time-outs.

A connection is made for each conversation: QEMU serves one client at a time, and a daemon that
died must not keep the next one out.
"""

import asyncio
import contextlib
import json
import socket
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

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: socket.socket
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = connection

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run one command; returns its `return` value. Raises QmpError."""
        self._writer.write(_line(command, arguments))
        await self._writer.drain()
        return await self._answer(command)

    async def hand_over(self, descriptor: int, name: str) -> None:
        """Give QEMU a copy of an open file, which `fd:NAME` then means. Raises QmpError, OSError."""
        # Past the writer, which cannot carry descriptors: everything before has been answered, so that
        # nothing waits in it, and a line this short always fits.
        socket.send_fds(self._connection, [_line("getfd", {"fdname": name})], [descriptor])
        await self._answer("getfd")

    async def _answer(self, command: str) -> Any:
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


def _line(command: str, arguments: dict[str, Any]) -> bytes:
    message: dict[str, Any] = {"execute": command}
    if arguments:
        message["arguments"] = arguments
    return json.dumps(message).encode() + b"\n"


@contextlib.asynccontextmanager
async def session(path: Path, timeout_s: float = TIMEOUT_S) -> AsyncIterator[QmpSession]:
    """Connect and negotiate; everything inside must end within `timeout_s`. Raises QmpError."""
    writer: asyncio.StreamWriter | None = None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        async with asyncio.timeout(timeout_s):
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, str(path))
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_LIMIT)
            qmp = QmpSession(reader, writer, connection)
            await qmp.read()  # the greeting
            await qmp.execute("qmp_capabilities")
            yield qmp
    except TimeoutError:
        raise QmpError(f"QEMU did not answer within {timeout_s:g} s") from None
    except (OSError, ValueError) as error:
        raise QmpError(f"cannot speak to QEMU: {error}") from error
    finally:
        if writer is None:
            connection.close()
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
