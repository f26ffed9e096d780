"""Our standard input, on its way to a command in a bunker.

A file of moderate size is sent along with the command. Anything else, a pipe above all, is fed while
the command runs, so that a pipe which nobody ever closes keeps nothing waiting.
"""

import os
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from scaibunker.sdk import Conflict, Execution, NotFound, ScaiBunkerError, TransferFailed

INLINE_BYTES = 4 * 1024 * 1024
"""Bytes of a file that are sent along; the API would take four times as many."""
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inline:
    """Input that is known."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Live:
    """Input that comes as it comes."""

    descriptor: int


Source = Inline | Live | None


def source(descriptor: int) -> Source:
    """What there is to read; None if it is a terminal, /dev/null, or not open at all."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    if stat.S_ISCHR(status.st_mode):
        return None
    if stat.S_ISREG(status.st_mode):
        left = status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR)
        if left <= INLINE_BYTES:
            return Inline(_read_all(descriptor, INLINE_BYTES))
    return Live(descriptor)


class Feeder(threading.Thread):
    """Feeds a detached command. If that fails, the command is killed: a part of the input must not
    be taken for the whole. `error` says why."""

    def __init__(self, execution: Execution, descriptor: int) -> None:
        super().__init__(name="stdin", daemon=True)
        self._execution = execution
        self._descriptor = descriptor
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
            while chunk := os.read(self._descriptor, _READ_BYTES):
                self._execution.write_stdin(chunk)
            self._execution.close_stdin()
        except (Conflict, NotFound):
            return  # the command has ended, or wants no more
        except OSError as error:
            self._give_up(TransferFailed(f"cannot read standard input: {error.strerror}"))
        except ScaiBunkerError as error:
            self._give_up(error)

    def _give_up(self, error: ScaiBunkerError) -> None:
        self.error = error
        with suppress(ScaiBunkerError):
            self._execution.signal("SIGKILL")


def _read_all(descriptor: int, limit: int) -> bytes:
    content = bytearray()
    while len(content) < limit and (chunk := os.read(descriptor, limit - len(content))):
        content += chunk
    return bytes(content)
