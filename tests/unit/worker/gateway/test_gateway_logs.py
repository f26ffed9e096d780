"""How much the gateway logs."""

import pytest
import structlog

from scaibunker.worker.gateway.logs import Limiter
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
