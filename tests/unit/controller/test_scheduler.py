"""Which worker takes a bunker, and what is said if none does."""

from typing import Any

import pytest

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.scheduler.domain import Candidate, Demand, choose
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.controller.workers.domain import Capacity, Used
from tests.unit.controller.builders import SHA, a_worker

DEMAND = Demand(Shape(1000, 512, 1024), "isolated", SHA)


def candidate(
    worker_id: str = "wrk_1", *, online: bool = True, used: Used | None = None, **changes: Any
) -> Candidate:
    return Candidate(a_worker(id=worker_id, **changes), used or Used(), online)


def refused(
    error: type[Exception], field: str, *candidates: Candidate, demand: Demand = DEMAND
) -> Any:
    with pytest.raises(error) as caught:
        choose(demand, candidates)
    details = caught.value.details  # type: ignore[attr-defined]
    assert details[0]["field"] == field
    return details


def test_a_worker_that_fits_is_taken() -> None:
    assert choose(DEMAND, [candidate()]).id == "wrk_1"


def test_what_is_missing_is_said() -> None:
    refused(WorkerUnavailable, "worker")
    refused(WorkerUnavailable, "worker", candidate(online=False))
    refused(WorkerUnavailable, "worker", candidate(draining=True))
    refused(NoSuitableWorker, "network_profile", candidate(network_profiles=["registry"]))
    refused(NoSuitableWorker, "image", candidate(cached_images=[]))


@pytest.mark.parametrize(
    ("used", "field"),
    [
        (Used(cpu_millicores=3001), "cpu_millicores"),
        (Used(memory_mb=3585), "memory_mb"),
        (Used(disk_mb=8977), "disk_mb"),
    ],
)
def test_a_worker_without_the_room_is_not_taken(used: Used, field: str) -> None:
    [entry] = refused(WorkerUnavailable, field, candidate(used=used))
    assert entry["free"] == entry["requested"] - 1


def test_the_last_room_fits_exactly() -> None:
    used = Used(cpu_millicores=3000, memory_mb=3584, disk_mb=8976)
    assert choose(DEMAND, [candidate(used=used)]).id == "wrk_1"


def test_an_overfull_worker_has_nothing_free() -> None:
    [entry] = refused(WorkerUnavailable, "memory_mb", candidate(used=Used(memory_mb=99_999)))
    assert entry["free"] == 0


def test_gpus_are_of_a_type_and_counted() -> None:
    gpus = Capacity(4000, 4096, 10_000, {"a100": 2})
    two = Demand(Shape(1000, 512, 1024, 2, "a100"), "isolated", SHA)
    assert choose(two, [candidate(), candidate("wrk_2", capacity=gpus)]).id == "wrk_2"
    refused(NoSuitableWorker, "gpu_type", candidate(), demand=two)
    other = Demand(Shape(1000, 512, 1024, 1, "h100"), "isolated", SHA)
    refused(NoSuitableWorker, "gpu_type", candidate(capacity=gpus), demand=other)
    busy = candidate(capacity=gpus, used=Used(gpus=1))
    refused(WorkerUnavailable, "gpu_count", busy, demand=two)
    any_type = Demand(Shape(1000, 512, 1024, 1), "isolated", SHA)
    assert choose(any_type, [busy]).id == "wrk_1"


def test_spread_takes_the_emptiest_and_pack_the_fullest() -> None:
    half = candidate("wrk_half", used=Used(memory_mb=2048, cpu_millicores=2000))
    empty = candidate("wrk_empty")
    full = candidate("wrk_full", used=Used(memory_mb=4000))
    everyone = [half, empty, full]
    assert choose(DEMAND, everyone, "spread").id == "wrk_empty"
    assert choose(DEMAND, everyone, "pack").id == "wrk_half"


def test_the_choice_does_not_depend_on_the_order() -> None:
    twins = [candidate("wrk_a"), candidate("wrk_b")]
    assert choose(DEMAND, twins).id == choose(DEMAND, twins[::-1]).id
