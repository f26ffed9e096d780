"""The name of what a saved state depends on."""

import pytest

from scaibunker.worker.vmm.qemu import command, processor

CPUINFO = """processor\t: {index}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: A processor
stepping\t: 8
cpu MHz\t\t: {mhz}
flags\t\t: fpu vme {flags}
"""


def _cpuinfo(mhz: str = "2000.1", flags: str = "avx512f") -> str:
    return "\n".join(CPUINFO.format(index=i, mhz=mhz, flags=flags) for i in range(2)) + "\n"


def test_a_processor_is_named_by_what_guests_see_of_it() -> None:
    name = processor.host_processor(_cpuinfo())
    assert name.startswith("A processor (")
    assert processor.host_processor(_cpuinfo(mhz="3999")) == name
    assert processor.host_processor(_cpuinfo(flags="")) != name
    assert processor.host_processor("") != name


def test_the_format_changes_with_release_devices_and_acceleration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "_version", lambda: "7.2.22 (Debian)")
    tcg = processor.state_format("tcg")
    assert tcg == f"qemu 7.2.22 (Debian); layout {command.LAYOUT}; tcg; cpu emulated"
    assert "kvm; cpu " in processor.state_format("kvm")
    monkeypatch.setattr(command, "LAYOUT", command.LAYOUT + 1)
    assert processor.state_format("tcg") != tcg
