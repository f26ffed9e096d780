"""How much the gateway logs."""

import os
from pathlib import Path

import pytest
import structlog

from scaibunker.worker.gateway.logs import LOOK_EVERY, Limiter, LogFile
from tests.unit.worker.gateway.scripted import Clock


def test_what_is_more_than_a_disk_bears_is_dropped_and_counted() -> None:
    clock = Clock()
    limiter = Limiter(limit=3, now=clock)
    for _ in range(3):
        assert limiter(None, "info", {"event": "e"}) == {"event": "e"}
    for _ in range(5):
        with pytest.raises(structlog.DropEvent):
            limiter(None, "info", {"event": "e"})
    clock.at += 60
    assert limiter(None, "info", {"event": "e"}) == {"event": "e", "dropped_before": 5}
    assert limiter(None, "info", {"event": "e"}) == {"event": "e"}


def test_a_file_that_has_grown_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = LogFile(file, max_bytes=10 * LOOK_EVERY)
    for number in range(5 * LOOK_EVERY):
        print(f"line {number:04}", file=log)
    os.close(file)
    lines = path.read_text().splitlines()
    assert lines[-1] == f"line {5 * LOOK_EVERY - 1:04}"
    assert len(lines) <= 3 * LOOK_EVERY


def test_a_file_that_cannot_be_written_stops_nobody() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    print("x", file=LogFile(full))
    os.close(full)
    print("x", file=LogFile(full))
