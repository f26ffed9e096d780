"""Saving and loading over QEMU's control socket, against one that answers as we please."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.vmm.qemu import migration, qmp

Answers = Callable[[str, dict[str, Any]], Any]


class FakeQemu:
    """Its control socket. `answers` gives what each command returns; `handed` are the files it got."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.handed: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(self._talk(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _talk(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with connection:
            await loop.sock_sendall(connection, b'{"QMP": {}}\n')
            while True:
                readable = asyncio.Event()
                loop.add_reader(connection, readable.set)
                await readable.wait()
                loop.remove_reader(connection)
                data, files, _, _ = socket.recv_fds(connection, 65536, 4)
                if not data:
                    return
                self.handed += files
                message = json.loads(data)
                self.asked.append(message["execute"])
                result = self.answers(message["execute"], message.get("arguments", {}))
                await loop.sock_sendall(
                    connection, json.dumps({"return": result or {}}).encode() + b"\n"
                )


@pytest.fixture
async def qemu(tmp_path: Path) -> AsyncIterator[FakeQemu]:
    fake = FakeQemu(lambda _command, _arguments: {})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp.sock"))
        listener.listen()
        listener.setblocking(False)
        task = asyncio.create_task(fake.serve(listener))
        yield fake
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    for descriptor in fake.handed:
        os.close(descriptor)


async def test_qemu_gets_the_open_file_and_is_asked_until_it_has_saved(
    qemu: FakeQemu, tmp_path: Path
) -> None:
    states = iter(
        [
            {"status": "setup"},
            {"status": "active", "ram": {"transferred": 10, "remaining": 90}},
            {"status": "completed"},
        ]
    )
    arguments: dict[str, Any] = {}

    def answers(command: str, given: dict[str, Any]) -> Any:
        arguments[command] = given
        if command == "query-status":
            return {"status": "paused"}
        return next(states) if command == "query-migrate" else {}

    qemu.answers = answers
    seen: list[tuple[int, int]] = []
    with (tmp_path / "state").open("wb") as target:
        await migration.save(
            tmp_path / "qmp.sock", target.fileno(), lambda done, whole: seen.append((done, whole))
        )
        (handed,) = qemu.handed
        os.write(handed, b"written by QEMU")
    assert (tmp_path / "state").read_bytes() == b"written by QEMU"
    assert seen == [(0, 0), (10, 100)]
    assert arguments["migrate"] == {"uri": "fd:state"}
    assert "cont" not in qemu.asked


async def test_one_that_was_saved_before_takes_its_disk_back_first(
    qemu: FakeQemu, tmp_path: Path
) -> None:
    replies = {"query-status": {"status": "postmigrate"}, "query-migrate": {"status": "completed"}}
    qemu.answers = lambda command, _: replies.get(command, {})
    with (tmp_path / "state").open("wb") as target:
        await migration.save(tmp_path / "qmp.sock", target.fileno(), lambda _done, _whole: None)
    begun = [c for c in qemu.asked if c in ("cont", "stop", "migrate")]
    assert begun == ["cont", "stop", "migrate"]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_save_that_fails_says_why(qemu: FakeQemu, tmp_path: Path, status: str) -> None:
    replies = {
        "query-status": {"status": "paused"},
        "query-migrate": {"status": status, "error-desc": "no space"},
    }
    qemu.answers = lambda command, _: replies.get(command, {})
    with (tmp_path / "state").open("wb") as target, pytest.raises(WorkerFault, match="no space"):
        await migration.save(tmp_path / "qmp.sock", target.fileno(), lambda _done, _whole: None)


async def test_one_that_writes_nothing_for_too_long_is_given_up(
    qemu: FakeQemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "STALLED_AFTER_S", 0.05)
    replies = {"query-status": {"status": "paused"}, "query-migrate": {"status": "active"}}
    qemu.answers = lambda command, _: replies.get(command, {})
    with (tmp_path / "state").open("wb") as target, pytest.raises(WorkerFault, match="nothing was"):
        await migration.save(tmp_path / "qmp.sock", target.fileno(), lambda _done, _whole: None)


async def test_abandoning_waits_until_qemu_has_let_go(qemu: FakeQemu, tmp_path: Path) -> None:
    states = iter(["active", "cancelling", "cancelled"])
    qemu.answers = lambda command, _: {"status": next(states)} if command == "query-migrate" else {}
    await migration.abandon(tmp_path / "qmp.sock")
    assert qemu.asked.count("migrate_cancel") == 2


async def test_abandoning_what_does_not_go_on_does_nothing(qemu: FakeQemu, tmp_path: Path) -> None:
    await migration.abandon(tmp_path / "qmp.sock")
    assert "migrate_cancel" not in qemu.asked


async def test_a_socket_that_nobody_serves_is_a_fault_and_leaks_nothing(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with contextlib.suppress(qmp.QmpError):
            await migration.abandon(tmp_path / "nobody.sock")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
