"""What the probe remembers, and for how long."""

from pathlib import Path

import pytest

from scaibunker.worker.vmm.qemu import probe
from scaibunker.worker.vmm.qemu.probe import Acceleration


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinux"
    path.write_bytes(b"kernel")
    return path


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every kernel that was booted; KVM works for none."""
    booted: list[Path] = []

    async def fake(kernel: Path, initramfs: Path) -> Acceleration:
        booted.append(kernel)
        return Acceleration("tcg", "it did not come up")

    monkeypatch.setattr(probe, "probe", fake)
    monkeypatch.setattr(probe.os, "access", lambda *_: True)
    return booted


async def test_the_answer_is_remembered(tmp_path: Path, kernel: Path, boots: list[Path]) -> None:
    memory = tmp_path / "memory" / "acceleration.json"
    for _ in range(3):
        found = await probe.choose("auto", kernel, tmp_path / "i", memory)
        assert found == Acceleration("tcg", "it did not come up")
    assert boots == [kernel]


async def test_another_kernel_is_another_question(
    tmp_path: Path, kernel: Path, boots: list[Path]
) -> None:
    memory = tmp_path / "acceleration.json"
    await probe.choose("auto", kernel, tmp_path / "i", memory)
    kernel.write_bytes(b"another kernel")
    await probe.choose("auto", kernel, tmp_path / "i", memory)
    assert len(boots) == 2


@pytest.mark.parametrize("content", ["", "{}", "[]", "{half", '{"key": 1, "kind": "xen"}'])
async def test_a_broken_memory_costs_a_probe_and_no_more(
    tmp_path: Path, kernel: Path, boots: list[Path], content: str
) -> None:
    memory = tmp_path / "acceleration.json"
    memory.write_text(content)
    await probe.choose("auto", kernel, tmp_path / "i", memory)
    await probe.choose("auto", kernel, tmp_path / "i", memory)
    assert len(boots) == 1


async def test_an_operators_word_is_taken(tmp_path: Path, kernel: Path, boots: list[Path]) -> None:
    found = await probe.choose("kvm", kernel, tmp_path / "i", tmp_path / "m")
    assert found.kind == "kvm"
    assert boots == []


async def test_without_the_device_nothing_is_booted(
    tmp_path: Path, kernel: Path, boots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe.os, "access", lambda *_: False)
    assert (await probe.choose("auto", kernel, tmp_path / "i", tmp_path / "m")).kind == "tcg"
    assert boots == []
