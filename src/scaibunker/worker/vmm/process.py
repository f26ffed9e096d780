"""A process as an identity that cannot be mistaken, and news of its end.

A pid alone is reused; a pid with its start time is not. While we hold a pidfd the number cannot
be reused either, so signals go to the process that was meant.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessId:
    """`start_ticks` is field 22 of /proc/PID/stat: clock ticks since boot; `boot_id` names the boot."""

    pid: int
    start_ticks: int
    boot_id: str


def boot_id() -> str:
    """The kernel's name for this boot of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When the process started, or None if there is none (a zombie counts as none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold spaces and parentheses: count fields from its last ")".
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def identify(pid: int) -> ProcessId | None:
    """The identity of a running process."""
    ticks = start_ticks(pid)
    return None if ticks is None else ProcessId(pid, ticks, boot_id())


def plain_environment() -> dict[str, str]:
    """What programs that we start may know: our own environment holds the worker token."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}


HANDED_OVER = 3
"""The number under which a process knows the first of the files that it is handed; the others follow."""
_OUT_OF_THE_WAY = 64


def spawn(argv: list[str], log: Path, handed: Sequence[int] = ()) -> int:
    """Start a process that outlives us: own session, nothing inherited but the open files `handed`, output
    to `log`.

    Not asyncio's subprocesses: those want to reap the child themselves, and ours is watched by
    pidfd whether we or an earlier daemon started it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with contextlib.ExitStack() as copies:
        # Copies with high numbers: one file's new number may be another one's present.
        sources = []
        for descriptor in handed:
            copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
            copies.callback(os.close, copy)
            sources.append(copy)
        return os.posix_spawnp(
            argv[0],
            argv,
            plain_environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                *((os.POSIX_SPAWN_DUP2, s, HANDED_OVER + n) for n, s in enumerate(sources)),
            ],
            setsid=True,
        )


def private_memory_mb(pid: int) -> int:
    """MiB that are the process's alone; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    kib = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return kib // 1024


class WatchedProcess:
    """A process held by pidfd: told of its end at once, signalled without mistake."""

    def __init__(self, identity: ProcessId, pidfd: int) -> None:
        self.identity = identity
        self._pidfd: int | None = pidfd
        self._ended = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []
        self.wait_status: int | None = None
        """As waitpid gives it; None while it runs, and for a process that was not our child."""
        asyncio.get_running_loop().add_reader(pidfd, self._on_end)

    @classmethod
    def hold(cls, identity: ProcessId) -> "WatchedProcess | None":
        """Hold the process of that identity; None if it is gone (or its pid is another's now)."""
        if identity.boot_id != boot_id():
            return None
        try:
            pidfd = os.pidfd_open(identity.pid)
        except OSError:  # gone, or never a process
            return None
        if start_ticks(identity.pid) != identity.start_ticks:
            os.close(pidfd)
            return None
        return cls(identity, pidfd)

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    def on_end(self, callback: Callable[[], None]) -> None:
        if self._ended.is_set():
            asyncio.get_running_loop().call_soon(callback)
        else:
            self._callbacks.append(callback)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the process has ended."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def kill(self, timeout_s: float = 10) -> None:
        """SIGKILL, and wait for the end. Raises TimeoutError if the kernel cannot end it."""
        self.signal(signal.SIGKILL)
        async with asyncio.timeout(timeout_s):
            await self._ended.wait()

    async def wait(self) -> None:
        await self._ended.wait()

    def release(self) -> None:
        """Watch it no more; it goes on, and is neither signalled nor reaped by us."""
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _on_end(self) -> None:
        if self._pidfd is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = None
        # Ours to reap if we started it; not our child if an earlier daemon did.
        with contextlib.suppress(ChildProcessError):
            self.wait_status = os.waitpid(self.identity.pid, os.WNOHANG)[1]
        self._ended.set()
        for callback in self._callbacks:
            callback()
        self._callbacks.clear()
