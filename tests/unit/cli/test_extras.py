"""`dev` and `doctor`: found by name, and said plainly when they are not installed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scaibunker.cli import extras
from scaibunker.cli.failures import CommandError
from tests.unit.cli.conftest import Shell


@dataclass
class Finding:
    name: str
    ok: bool
    value: str
    advice: str | None
    required: bool


def install(monkeypatch: pytest.MonkeyPatch, name: str, function: Any) -> None:
    extra = extras.EXTRAS[name]
    module = ModuleType(extra.module)
    setattr(module, extra.function, function)
    monkeypatch.setitem(sys.modules, extra.module, module)


def test_doctor(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        Finding("root", True, "uid 0", None, True),
        Finding("kvm", False, "not \x1b[1musable", "slower without", False),
    ]

    def collect() -> list[Finding]:
        print("a log line")
        return findings

    install(monkeypatch, "doctor", collect)
    for argv in (("doctor", "--json"), ("--json", "doctor")):
        done = shell(*argv)
        assert done.code == 0
        assert done.json[1] == {
            "name": "kvm",
            "ok": False,
            "value": "not \x1b[1musable",
            "advice": "slower without",
            "required": False,
        }
    done = shell("doctor")
    assert r"not \x1b[1musable" in done.text
    assert b"a log line" not in done.out
    findings.append(Finding("qemu", False, "missing", "apt-get install qemu", True))
    done = shell("doctor")
    assert done.code == 1
    assert "MISSING" in done.text


def test_what_workers_have_left_is_taken_away(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    left = Finding("wrk_a", False, "removed: sockets", "left: gateway: no answer", True)

    def run(workers: Sequence[str]) -> list[Finding]:
        asked.append(tuple(workers))
        return [left] if workers else []

    install(monkeypatch, "reclaim", run)
    done = shell("doctor", "--reclaim")
    assert (done.code, done.out) == (0, b"")
    assert "no worker has left anything" in done.complaint
    done = shell("doctor", "--reclaim", "--worker", "wrk_a", "--json")
    assert (done.code, done.json[0]["advice"]) == (1, left.advice)
    assert asked == [(), ("wrk_a",)]
    assert shell("doctor", "--worker", "wrk_a").code == 2


def test_dev(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []

    def run(data_dir: Path, host: str, port: int, keep_bunkers: bool, as_json: bool) -> int:
        calls.append((data_dir, host, port, keep_bunkers, as_json))
        return 5

    install(monkeypatch, "dev", run)
    argv = ("dev", "--data-dir", str(tmp_path), "--port", "8123", "--host", "::1", "--keep-bunkers")
    assert shell(*argv).code == 5
    shell.environ["XDG_DATA_HOME"] = "/data"
    shell("dev")
    shell("dev", "--json")
    assert calls == [
        (tmp_path, "::1", 8123, True, False),
        (Path("/data/scaibunker/dev"), "127.0.0.1", 8000, False, False),
        (Path("/data/scaibunker/dev"), "127.0.0.1", 8000, False, True),
    ]
    assert shell("dev", "--port", "0").code == 2


@pytest.mark.parametrize("name", ["dev", "doctor"])
def test_a_missing_extra_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {module}", name="structlog")

    monkeypatch.setattr("scaibunker.cli.extras.importlib.import_module", missing)
    with pytest.raises(CommandError) as caught:
        extras.load(name)
    assert "structlog is missing" in str(caught.value)
    assert caught.value.hint == f"pip install '{extras.EXTRAS[name].install}'"


def test_a_fault_of_our_own_is_not_taken_for_a_missing_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(module: str) -> None:
        raise ModuleNotFoundError("No module named x", name="scaibunker.worker.x")

    monkeypatch.setattr("scaibunker.cli.extras.importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        extras.load("doctor")


def test_without_the_tier_the_command_says_what_to_install(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scaibunker.worker.doctor", None)
    done = shell("doctor")
    assert done.code == 2
    assert "pip install 'scaibunker[worker]'" in done.complaint
    assert shell("doctor", "--json").error["hint"] == "pip install 'scaibunker[worker]'"
