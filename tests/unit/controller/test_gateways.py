"""What workers say of their gateways, as metrics: summed, bounded, and of those alone that still report."""

import re

import pytest

from scaibunker.controller.workers.gateways import OTHER, Gateways
from scaibunker.wire.worker.gateway import MAX_LABELS, GatewayReport
from scaigrid.metrics.registry import Metrics


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.metrics = Metrics("scaibunker")
        self.gateways = Gateways(self.metrics, 15.0, lambda: self.now)

    async def read(self, name: str) -> dict[str, float]:
        """By labels, as they are written."""
        self.metrics._shared._text, self.metrics._shared._made_at = b"", -1e9
        text = (await self.metrics.exposition()).decode()
        found = re.findall(rf"^scaibunker_{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}


@pytest.fixture
def world() -> World:
    return World()


async def test_what_is_told_adds_up(world: World) -> None:
    for worker in ("wrk_a", "wrk_b"):
        world.gateways.take(
            worker,
            GatewayReport(
                records_written=10,
                records_dropped={"memory": 2},
                record_gaps={"restart": 1},
                questions={"noerror": 5, "denied": 3},
                connections={"carried": 4, "tls_name": 1},
                lost=1,
            ),
        )
    world.gateways.take("wrk_a", GatewayReport(records_written=1))
    assert await world.read("flow_records_total") == {"": 21}
    assert await world.read("flow_records_dropped_total") == {'reason="memory"': 4}
    assert await world.read("flow_record_gaps_total") == {'reason="restart"': 2}
    assert await world.read("gateway_questions_total") == {
        'outcome="noerror"': 10,
        'outcome="denied"': 6,
    }
    assert await world.read("gateway_connections_total") == {
        'outcome="carried"': 8,
        'outcome="tls_name"': 2,
    }
    assert await world.read("gateways_lost_total") == {"": 2}


async def test_what_stands_is_that_of_workers_that_still_report(world: World) -> None:
    world.gateways.take("wrk_a", GatewayReport(connections_open=7, batches_waiting=2))
    world.now += 10
    world.gateways.take("wrk_b", GatewayReport(connections_open=5, batches_waiting=1))
    world.gateways.take("wrk_b", GatewayReport(connections_open=6, batches_waiting=1))
    assert await world.read("gateway_connections_open") == {"": 13}
    assert await world.read("flow_batches_waiting") == {"": 3}
    world.now += 10
    assert await world.read("gateway_connections_open") == {"": 6}
    world.gateways.take("wrk_b", None)
    assert await world.read("flow_batches_waiting") == {"": 0}


async def test_no_worker_makes_more_of_them_than_there_is_room_for(world: World) -> None:
    for batch in range(10):
        labels = {f"r{batch}_{number}": 1 for number in range(MAX_LABELS)}
        world.gateways.take("wrk_a", GatewayReport(records_dropped=labels))
    found = await world.read("flow_records_dropped_total")
    assert len(found) == MAX_LABELS + 1
    assert found[f'reason="{OTHER}"'] == 9 * MAX_LABELS


@pytest.mark.parametrize("label", ["", "a b", "Upper", "x" * 41, 'a"b'])
def test_labels_are_words(label: str) -> None:
    with pytest.raises(ValueError, match="questions"):
        GatewayReport(questions={label: 1})
