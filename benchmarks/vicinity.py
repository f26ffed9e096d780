"""What the list of the deployment's own addresses costs a controller: answers, and changes of the fleet."""

import time

from benchmarks.figures import Figure, from_samples
from scaibunker.controller.workers.vicinity import Vicinity
from scaibunker.wire.worker.heartbeat import HeartbeatAnswer
from scaibunker.wire.worker.vicinity import VicinityChange

ANSWERS = 20_000
CHANGES = 20


def measured(count: int) -> list[Figure]:
    """With so many workers of two addresses each. The floor is an answer without a list."""
    vicinity = Vicinity()
    vicinity.controllers(["203.0.113.1"])
    for number in range(count):
        vicinity.put(f"wrk_{number:05}", _addresses(number))
    vicinity.all_read()
    newest = vicinity.digest
    floor = _per_answer(None, newest)
    figures = [_figure(f"answer, {count:,} workers, nothing new", vicinity, newest, floor)]
    renewed = []
    for number in range(CHANGES):
        newest = vicinity.digest
        vicinity.put("wrk_00000", _addresses(1_000_000 + number))
        begun = time.perf_counter()
        vicinity.change_since(newest)
        renewed.append((time.perf_counter() - begun) * 1e3)
    figures.append(_figure(f"answer, {count:,} workers, one has moved", vicinity, newest, floor))
    figures.append(from_samples(f"a worker moves, {count:,} workers: once", renewed, "ms"))
    return figures


def _addresses(number: int) -> frozenset[str]:
    return frozenset({f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", _v6(number)})


def _v6(number: int) -> str:
    return f"fd00::1:{number >> 16 & 0xFFFF | 0x1000:x}:{number & 0xFFFF | 0x1000:x}"


def _figure(name: str, vicinity: Vicinity, digest: str, floor: float) -> Figure:
    return Figure(name, _per_answer(vicinity, digest), "µs", ANSWERS, floor=floor)


def _per_answer(vicinity: Vicinity | None, digest: str) -> float:
    begun = time.perf_counter()
    for _ in range(ANSWERS):
        change: VicinityChange | None = vicinity.change_since(digest) if vicinity else None
        HeartbeatAnswer(interval_s=10, vicinity=change).model_dump_json()
    return (time.perf_counter() - begun) / ANSWERS * 1e6
