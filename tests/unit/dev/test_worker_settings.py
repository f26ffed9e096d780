"""Which of a developer's settings the worker of `scaibunker dev` gets."""

import pytest

from scaibunker.dev import stack, worker_settings
from scaibunker.dev.errors import StartFailed

THEIRS = {
    "SCAIBUNKER_WORKER_NETWORK_REGISTRY_FILE": "/etc/registries",
    "SCAIBUNKER_WORKER_CAPACITY_MEMORY_MB": "2048",
    "SCAIBUNKER_WORKER_WARM_STARTS": "false",
}
OURS = {
    "SCAIBUNKER_WORKER_TOKEN": "of another installation",
    "SCAIBUNKER_WORKER_DATA_DIR": "/var/lib/scaibunker",
    "SCAIBUNKER_WORKER_CONTROLLER_URL": "https://grid.example.com",
    "SCAIBUNKER_WORKER_TLS_KEY": "/etc/scaibunker/key.pem",
    "SCAIBUNKER_WORKER_STOP_MACHINES_ON_EXIT": "false",
    "SCAIBUNKER_WORKER_CLIENT_KEY": "a setting of controllers",
    "SCAIBUNKER_OBJECT_STORE_URL": "s3://elsewhere",
}


def test_what_ties_it_to_the_stack_is_not_passed_on() -> None:
    assert worker_settings.passed_on(THEIRS | OURS) == THEIRS


def test_all_that_dev_tells_the_worker_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the rest everything is a developer's to set."""
    for name in THEIRS | OURS:
        monkeypatch.delenv(name, raising=False)
    layout = stack.Layout(stack.BIN)
    child = stack.worker(
        layout, "http://127.0.0.1:1", "t", [], stack.BIN, lambda *_: None,
        keep_bunkers=False, warm_starts=True,
    )  # fmt: skip
    told = {name for name in child._environment if name.startswith(worker_settings.PREFIX)}
    assert told <= {f"{worker_settings.PREFIX}{name.upper()}" for name in worker_settings.OURS}


def test_wrong_ones_are_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (THEIRS | OURS).items():
        monkeypatch.setenv(name, value)
    worker_settings.check()
    monkeypatch.setenv("SCAIBUNKER_WORKER_WARM_SLOTS", "-1")
    with pytest.raises(StartFailed, match="SCAIBUNKER_WORKER_WARM_SLOTS: "):
        worker_settings.check()
    monkeypatch.setenv("SCAIBUNKER_WORKER_NETWORK_MTU", "1")
    with pytest.raises(StartFailed, match="SCAIBUNKER_WORKER_NETWORK_MTU: "):
        worker_settings.check()
