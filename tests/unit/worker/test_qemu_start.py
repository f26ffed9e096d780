"""Starting QEMU: when it counts as there."""

import dataclasses
import socket
import sys
from pathlib import Path

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.vmm.qemu import command
from scaibunker.worker.vmm.qemu.driver import QemuDriver
from tests.unit.worker.vmm_config import CONFIG

SLOW = """
import socket, sys, time
control = socket.socket(socket.AF_UNIX)
control.bind(sys.argv[1])
time.sleep(0.3)  # a busy host, between two system calls of QEMU's
control.listen()
time.sleep(60)
"""


def stands_in(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    argv = [sys.executable, "-c", program, str(folder / command.QMP_SOCKET)]
    monkeypatch.setattr(command, "build", lambda *_, **__: argv)


async def test_a_machine_is_there_when_one_can_speak_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stands_in(monkeypatch, tmp_path, SLOW)
    config = dataclasses.replace(CONFIG, run_dir=tmp_path, log=tmp_path / "log")
    machine = await QemuDriver("tcg").start(config)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / command.QMP_SOCKET))
    finally:
        await machine.stop()


async def test_one_that_ends_at_once_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stands_in(monkeypatch, tmp_path, "import sys; sys.exit('no such machine')")
    config = dataclasses.replace(CONFIG, run_dir=tmp_path, log=tmp_path / "log")
    with pytest.raises(WorkerFault, match="QEMU ended at once: no such machine"):
        await QemuDriver("tcg").start(config)
