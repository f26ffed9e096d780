"""What a daemon makes of its host before it knows that it can run machines there."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from scaibunker.worker import cgroups, equip
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.settings import WorkerSettings
from scaibunker.worker.vmm.qemu import probe
from scaibunker.worker.vmm.qemu.probe import Acceleration


async def test_a_host_that_cannot_run_machines_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []

    async def choose(*_: object) -> Acceleration:
        return Acceleration("tcg", "tested")

    async def note(*arguments: object) -> None:
        opened.append(arguments)

    def detect(_worker: str) -> None:
        raise WorkerFault("this host has no control groups")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(probe, "choose", choose)
    monkeypatch.setattr(cgroups, "detect", detect)
    monkeypatch.setattr(equip, "open_bridges", note)
    monkeypatch.setattr(equip, "open_networks", note)
    file = tmp_path / "file"
    settings = WorkerSettings(
        token=SecretStr("t" * 20), data_dir=tmp_path, kernel=file, initramfs=file
    )
    with pytest.raises(WorkerFault, match="control groups"):
        await equip.equip(settings, "wrk_a")
    assert opened == []
