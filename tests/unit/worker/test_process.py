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


async def test_files_are_handed_over_in_their_order_whatever_their_numbers_are(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    ends = [os.pipe() for _ in range(3)]
    # The number that the first is to have may be the last one's present number, and so on.
    writers = sorted((write for _, write in ends), reverse=True)
    script = "; ".join(f"echo {n} >&{n}" for n in range(3, 6))
    try:
        identity = identify(spawn(["sh", "-c", script], log, writers))
        if identity is not None:
            watched = WatchedProcess.hold(identity)
            if watched is not None:
                async with asyncio.timeout(60):
                    await watched.wait()
        readers = {write: read for read, write in ends}
        said = [os.read(readers[writer], 10) for writer in writers]
    finally:
        for descriptor in (d for pair in ends for d in pair):
            os.close(descriptor)
    assert said == [b"3\n", b"4\n", b"5\n"]
