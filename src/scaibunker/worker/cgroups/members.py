"""Ending the members of a control group."""

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

KILL_TIMEOUT_S = 5.0


def kill_members(procs: Iterable[Path]) -> None:
    """SIGKILL to every process named in these `cgroup.procs` files; waits until each is gone."""
    for file in procs:
        try:
            pids = [int(line) for line in file.read_text().split()]
        except OSError:  # no such group
            continue
        for pid in pids:
            with contextlib.suppress(OSError):
                _kill(pid)


def _kill(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], KILL_TIMEOUT_S)
    finally:
        os.close(pidfd)
    with contextlib.suppress(ChildProcessError):  # ours to reap if this daemon started it
        os.waitpid(pid, os.WNOHANG)
