"""Our standard input, on its way to a command in a bunker.

What ends soon and is of moderate size is sent along with the command. Anything else is fed while the
command runs, so that a pipe which nobody ever closes keeps nothing waiting. Reading begins at once,
while the bunker is still being made; by the time that it runs, most input has ended.
"""

import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue

from scaibunker.sdk import Conflict, Execution, NotFound, ScaiBunkerError, TransferFailed

INLINE_BYTES = 8 * 1024 * 1024
"""Bytes that are sent along; the API would take twice as many."""
PATIENCE_S = 0.2
"""Seconds that a command waits for its input to end, before it is started without."""
_READ_BYTES = 64 * 1024
_WAITING_CHUNKS = 64


class Input:
    """Something to read, and a thread that reads it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # The end is None, or why the reading ended otherwise.
        self._queue: Queue[bytes | OSError | None] = Queue(_WAITING_CHUNKS)
        self._head = bytearray()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def whole(self) -> bytes | None:
        """All of it, if it has ended or does so soon, and is not too much."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self._head) <= INLINE_BYTES:
            try:
                item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return None
            if item is None:
                return bytes(self._head)
            self._head += _chunk(item)
        return None

    def chunks(self) -> Iterator[bytes]:
        """What `whole` has seen already, and the rest as it comes."""
        if self._head:
            yield bytes(self._head)
        while (item := self._queue.get()) is not None:
            yield _chunk(item)

    def _read(self) -> None:
        try:
            while chunk := os.read(self._descriptor, _READ_BYTES):
                self._queue.put(chunk)
            self._queue.put(None)
        except OSError as error:
            self._queue.put(error)


def opened(descriptor: int) -> Input | None:
    """Our input; None if it is a terminal, /dev/null, or not open at all."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return None
    return None if stat.S_ISCHR(mode) else Input(descriptor)


class Feeder(threading.Thread):
    """Feeds a detached command. If that fails, the command is killed: a part of the input must not
    be taken for the whole. `error` says why."""

    def __init__(self, execution: Execution, source: Input) -> None:
        super().__init__(name="feeder", daemon=True)
        self._execution = execution
        self._source = source
        self._over = threading.Event()
        self.error: ScaiBunkerError | None = None

    def forget(self) -> None:
        """The command has ended, or is about to: what happens to its input matters no more."""
        self._over.set()

    def run(self) -> None:
        """Until the end of the input, or of the command."""
        try:
            self._feed()
        except Exception:  # the client may be closed under us while we wait for input
            if not self._over.is_set():
                raise

    def _feed(self) -> None:
        try:
            for chunk in self._source.chunks():
                self._execution.write_stdin(chunk)
            self._execution.close_stdin()
        except (Conflict, NotFound):
            return  # the command has ended, or wants no more
        except ScaiBunkerError as error:
            self.error = error
            with suppress(ScaiBunkerError):
                self._execution.signal("SIGKILL")


def _chunk(item: bytes | OSError) -> bytes:
    if isinstance(item, OSError):
        raise TransferFailed(f"cannot read standard input: {item.strerror}")
    return item
