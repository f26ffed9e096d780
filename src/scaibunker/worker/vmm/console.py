"""A machine's serial console, captured to a file that cannot grow without bound.

The guest writes what it likes, as fast as it likes: we keep the last of it, and read no faster than
a bound (the VMM then holds the guest's port back).
"""

import asyncio
import contextlib
from pathlib import Path

KEEP_BYTES = 64 * 1024
"""Bytes of the tail that are kept."""
FILE_LIMIT = 4 * KEEP_BYTES
"""The file is cut back to its tail when it is longer than this."""
READ_BYTES = 16 * 1024
PAUSE_S = 0.02
"""Pause after each read: what comes meanwhile is taken together, and at most 0.8 MB a second."""
TAIL_BYTES = 4 * 1024
"""Bytes that go into a status."""


class Console:
    """Reads the console's socket into `log` until the VMM closes it."""

    def __init__(self, socket: Path, log: Path) -> None:
        self._socket = socket
        self._log = log
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Take what is left (the VMM has ended) and stop."""
        if self._task is None:
            return
        task, self._task = self._task, None
        await asyncio.wait([task], timeout=0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(
                str(self._socket), limit=2 * READ_BYTES
            )
            try:
                while data := await reader.read(READ_BYTES):
                    self._append(data)
                    await asyncio.sleep(PAUSE_S)
            finally:
                writer.close()

    def _append(self, data: bytes) -> None:
        with self._log.open("ab") as file:
            file.write(data)
            long = file.tell() > FILE_LIMIT
        if long:
            kept = self._log.read_bytes()[-KEEP_BYTES:]
            self._log.write_bytes(kept)


def read_tail(log: Path) -> str:
    """The last `TAIL_BYTES` of a console file; control characters but newline and tab removed."""
    try:
        data = log.read_bytes()[-TAIL_BYTES:]
    except OSError:
        return ""
    text = data.decode(errors="replace").replace("\r\n", "\n")
    return "".join(c for c in text if c in "\n\t" or c.isprintable()).strip()
