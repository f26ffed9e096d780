"""One process of the stack: started, started again when it dies, stopped at the end.

Children are sessions of their own, so that Ctrl-C in a terminal reaches only us, and die with us
when we are killed (the worker too: its machines live on and are adopted at the next start).
"""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOG_LIMIT = 16 * 1024 * 1024
"""Bytes of a log that are kept when its process starts; an older half goes to `.1`."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
CALM_AFTER_S = 30.0
"""A process that lived so long is started again at once when it dies."""


class Child:
    """`on_death` is called, from a thread, each time the process ends unasked, with its exit code."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        dies_with_us_by: str,
        on_death: Callable[[str, int], None],
    ) -> None:
        self.name = name
        self._argv = ["setpriv", "--pdeathsig", dies_with_us_by, "--", *argv]
        self._environment = dict(environment)
        self._log = log
        self._on_death = on_death
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._spawning = threading.Lock()
        self._keeper: threading.Thread | None = None
        self.deaths = 0
        """How often it has ended unasked."""

    def start(self) -> None:
        """Start it, and from now on start it again whenever it dies."""
        self._spawn()
        # The thread that starts a child must live as long as the child: the kernel sends the
        # parent-death signal when that *thread* ends. So this thread does all further starts.
        self._keeper = threading.Thread(target=self._keep, name=f"keep {self.name}", daemon=True)
        self._keeper.start()

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL after `timeout_s`."""
        with self._spawning:  # none comes after this
            self._stopping.set()
            process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._keeper is not None:
            self._keeper.join()

    def log_tail(self, lines: int = 20) -> str:
        """The end of its log, for a start that failed."""
        with contextlib.suppress(OSError):
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _spawn(self) -> None:
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > LOG_LIMIT:
                self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = time.monotonic()
            process = self._process
            if process is None:
                return
            code = process.wait()
            if self._stopping.is_set():
                return
            self.deaths += 1
            self._on_death(self.name, code)
            if time.monotonic() - started > CALM_AFTER_S:
                pause = FIRST_PAUSE_S
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            with self._spawning:
                if not self._stopping.is_set():
                    self._spawn()
