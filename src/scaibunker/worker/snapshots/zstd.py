"""The zstd program, which compresses and decompresses in a process of its own, on another core.

It runs as nobody: what it decompresses is verified while it comes, not before.
"""

import os
import subprocess
from types import TracebackType
from typing import IO

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.vmm.process import plain_environment

ZSTD = "zstd"
NOBODY = 65534
NICENESS = 5
"""Of compression: guests come first, but on a busy host a snapshot has to end some time as well. Its share of the
disk follows from it."""
MEMORY_LIMIT = "--memory=64MB"
"""What a stream may make decompression take."""
WAIT_S = 60.0
PIPE_BYTES = 1024 * 1024


class Zstd:
    """One run of it, from `stdin` to `stdout`; gone when its context is left, whatever happens."""

    def __init__(self, *options: str) -> None:
        """Raises WorkerFault, OSError."""
        user = NOBODY if os.geteuid() == 0 else None
        try:
            self._process = subprocess.Popen(
                [ZSTD, "-q", "-c", *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=plain_environment(),
                cwd="/",
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                pipesize=PIPE_BYTES,
            )
        except FileNotFoundError:
            raise WorkerFault("this host has no zstd, which snapshots are packed with") from None

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout

    def await_end(self) -> None:
        """Raises WorkerFault with what it said if it failed."""
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        said = self._process.stderr.read(2000).decode(errors="replace").strip()
        if self._process.wait(WAIT_S):
            raise WorkerFault(f"zstd failed: {said or self._process.returncode}")

    def be_nice(self) -> None:
        """Let everybody else go first."""
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)

    def kill(self) -> None:
        """Whoever reads or writes its pipes notices."""
        self._process.kill()

    def __enter__(self) -> "Zstd":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()
