"""Processes: identity by start time, news of their end, signals that cannot hit another."""

import asyncio
import dataclasses
import os
import signal
from pathlib import Path

import pytest

from scaibunker.worker.vmm.process import WatchedProcess, identify, spawn


async def test_the_end_is_told_at_once_and_with_its_cause(tmp_path: Path) -> None:
    identity = identify(spawn(["sleep", "60"], tmp_path / "log"))
    assert identity is not None
    watched = WatchedProcess.hold(identity)
    assert watched is not None
    told = asyncio.Event()
    watched.on_end(told.set)
    watched.signal(signal.SIGKILL)
    async with asyncio.timeout(60):
        await told.wait()
    assert not watched.alive
    assert watched.wait_status is not None
    assert os.WTERMSIG(watched.wait_status) == signal.SIGKILL
    watched.signal(signal.SIGKILL)  # of a process that is gone: nothing happens


async def test_a_reused_pid_is_not_the_same_process(tmp_path: Path) -> None:
    identity = identify(spawn(["sleep", "60"], tmp_path / "log"))
    assert identity is not None
    other = dataclasses.replace(identity, start_ticks=identity.start_ticks + 1)
    assert WatchedProcess.hold(other) is None
    rebooted = dataclasses.replace(identity, boot_id="another boot")
    assert WatchedProcess.hold(rebooted) is None
    watched = WatchedProcess.hold(identity)
    assert watched is not None
    await watched.kill()
    assert WatchedProcess.hold(identity) is None


async def test_it_is_a_session_of_its_own_and_inherits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCAIBUNKER_WORKER_TOKEN", "secret")
    log = tmp_path / "log"
    script = "ps -o sid= -p $$; echo $$; env"
    identity = identify(spawn(["sh", "-c", script], log))
    if identity is not None:
        watched = WatchedProcess.hold(identity)
        if watched is not None:
            async with asyncio.timeout(60):
                await watched.wait()
    sid, pid, *_ = log.read_text().split("\n")
    assert sid.strip() == pid.strip()
    assert "secret" not in log.read_text()
