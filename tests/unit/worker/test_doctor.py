"""What `doctor` says of the network profile `registry`."""

from pathlib import Path

import pytest

from scaibunker.worker import doctor
from scaibunker.worker.doctor import Finding


def found(monkeypatch: pytest.MonkeyPatch, **env: str) -> list[Finding]:
    for name, value in env.items():
        monkeypatch.setenv(f"SCAIBUNKER_WORKER_NETWORK_{name}", value)
    return list(doctor._networks())


def test_each_host_is_shown_with_who_named_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "registries"
    file.write_text("pypi.registry.test\n*.files.registry.test\n")
    count, *hosts = found(monkeypatch, REGISTRY_FILE=str(file))
    assert (count.ok, count.value) == (True, "2 hosts")
    assert [host.value for host in hosts] == [
        f"*.files.registry.test ({file})",
        f"pypi.registry.test ({file})",
    ]


def test_a_file_that_cannot_be_used_keeps_the_worker_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "registries"
    file.write_text("https://pypi.registry.test\n")
    [finding] = found(monkeypatch, REGISTRY_FILE=str(file))
    assert (finding.ok, finding.required) == (False, True)
    assert f"{file}, line 1" in finding.value


def test_an_empty_list_comes_with_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "registries"
    file.touch()
    [finding] = found(monkeypatch, REGISTRY_FILE=str(file))
    assert not finding.ok
    assert not finding.required
    assert "SCAIBUNKER_WORKER_NETWORK_REGISTRY_FILE" in (finding.advice or "")


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    [finding] = found(monkeypatch, BANDWIDTH_MBIT="0")
    assert finding.name == "SCAIBUNKER_WORKER_NETWORK_BANDWIDTH_MBIT"
    assert finding.required
