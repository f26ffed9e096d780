"""Which worker takes a bunker, and what is said if none does."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.scheduler import order
from scaibunker.controller.scheduler.domain import (
    Candidate,
    Demand,
    Strategy,
    choose,
    fits,
    place_on,
    refusal,
)
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.controller.scheduler.index import Index
from scaibunker.controller.workers.domain import Capacity, Held
from scaibunker.wire.worker.templates import template_of
from scaigrid.errors import GridError
from tests.unit.controller.builders import SHA

DEMAND = Demand(Shape(1000, 512, 1024), "isolated", SHA)
A100S = Capacity(4000, 4096, 10_000, {"a100": 2})


def candidate(worker_id: str = "wrk_1", **changes: Any) -> Candidate:
    plain = Candidate(
        worker_id=worker_id,
        total=Capacity(4000, 4096, 10_000, {}),
        held=Held(),
        network_profiles=frozenset({"isolated"}),
        images=frozenset({SHA}),
    )
    return replace(plain, **changes)


def chosen(demand: Demand, *candidates: Candidate, strategy: Strategy = "spread") -> str | None:
    """By both ways of choosing, which must not differ."""
    index = Index()
    for each in candidates:
        index.put(each)
    found, walked = choose(demand, candidates, strategy), index.best(demand, strategy)
    assert found == walked
    return found.worker_id if found else None


def refused(
    error: type[GridError], field: str, *candidates: Candidate, demand: Demand = DEMAND
) -> Any:
    assert chosen(demand, *candidates) is None
    why = refusal(demand, candidates)
    assert isinstance(why, error)
    assert why.code == error.code
    assert why.details[0]["field"] == field
    return why.details


def test_a_worker_that_fits_is_taken() -> None:
    assert chosen(DEMAND, candidate()) == "wrk_1"


def test_who_owns_the_bridges_takes_it_or_nobody() -> None:
    bound, two = replace(DEMAND, only="wrk_1"), candidate("wrk_2")
    assert chosen(bound, candidate(held=Held(1, 2000, 2000)), two) == "wrk_1"
    refused(NoSuitableWorker, "interfaces", two, demand=bound)
    refused(WorkerUnavailable, "worker", candidate(online=False), two, demand=bound)
    refused(WorkerUnavailable, "worker", candidate(draining=True), two, demand=bound)
    refused(NoSuitableWorker, "image", candidate(images=frozenset()), two, demand=bound)
    full = candidate(held=Held(1, 4000, 0))
    refused(WorkerUnavailable, "cpu_millicores", full, two, demand=bound)
    failed = replace(bound, refused_by=frozenset({"wrk_1"}))
    refused(WorkerUnavailable, "worker", candidate(), two, demand=failed)


def test_what_is_missing_is_said() -> None:
    refused(WorkerUnavailable, "worker")
    refused(WorkerUnavailable, "worker", candidate(online=False))
    refused(WorkerUnavailable, "worker", candidate(draining=True))
    profiles = frozenset({"registry"})
    refused(NoSuitableWorker, "network_profile", candidate(network_profiles=profiles))
    refused(NoSuitableWorker, "image", candidate(images=frozenset()))
    failed = replace(DEMAND, refused_by=frozenset({"wrk_1"}))
    refused(WorkerUnavailable, "worker", candidate(), demand=failed)


@pytest.mark.parametrize(
    ("held", "field"),
    [
        (Held(cpu_millicores=3001), "cpu_millicores"),
        (Held(memory_mb=3585), "memory_mb"),
        (Held(disk_mb=8977), "disk_mb"),
    ],
)
def test_a_worker_without_the_room_is_not_taken(held: Held, field: str) -> None:
    [entry] = refused(WorkerUnavailable, field, candidate(held=held))
    assert entry["free"] == entry["requested"] - 1


def test_the_last_room_fits_exactly() -> None:
    held = Held(cpu_millicores=3000, memory_mb=3584, disk_mb=8976)
    assert chosen(DEMAND, candidate(held=held)) == "wrk_1"


def test_an_overfull_worker_has_nothing_free() -> None:
    [entry] = refused(WorkerUnavailable, "memory_mb", candidate(held=Held(memory_mb=99_999)))
    assert entry["free"] == 0


def test_gpus_are_of_a_type_and_counted() -> None:
    two = replace(DEMAND, shape=Shape(1000, 512, 1024, 2, "a100"))
    assert chosen(two, candidate(), candidate("wrk_2", total=A100S)) == "wrk_2"
    refused(WorkerUnavailable, "gpu_type", candidate(), demand=two)
    other = replace(DEMAND, shape=Shape(1000, 512, 1024, 1, "h100"))
    refused(WorkerUnavailable, "gpu_type", candidate(total=A100S), demand=other)
    busy = candidate(total=A100S, held=Held(gpus={"a100": 1}))
    [entry] = refused(WorkerUnavailable, "gpu_count", busy, demand=two)
    assert (entry["requested"], entry["free"]) == (2, 1)
    any_type = replace(DEMAND, shape=Shape(1000, 512, 1024, 1))
    assert chosen(any_type, busy) == "wrk_1"
    assert place_on(any_type, busy).gpu_type == "a100"


def test_who_names_no_type_gets_the_devices_that_are_wanted_least() -> None:
    mixed = candidate(total=Capacity(4000, 4096, 10_000, {"a100": 8, "t4": 2, "l4": 1}))
    two = replace(DEMAND, shape=Shape(1000, 512, 1024, 2))
    assert place_on(two, mixed).gpu_type == "t4"
    nine = replace(DEMAND, shape=Shape(1000, 512, 1024, 9))
    refused(WorkerUnavailable, "gpu_count", mixed, demand=nine)  # not of several types together


def test_spread_takes_the_emptiest_and_pack_the_fullest() -> None:
    half = candidate("wrk_half", held=Held(memory_mb=2048, cpu_millicores=2000))
    empty = candidate("wrk_empty")
    full = candidate("wrk_full", held=Held(memory_mb=4000))
    everyone = [half, empty, full]
    assert chosen(DEMAND, *everyone, strategy="spread") == "wrk_empty"
    assert chosen(DEMAND, *everyone, strategy="pack") == "wrk_half"


def test_who_has_the_image_is_preferred_to_the_emptier_one_that_must_fetch_it() -> None:
    lazy = replace(DEMAND, lazy=True)
    holder = candidate("wrk_has", held=Held(memory_mb=2048))
    other = candidate("wrk_has_not", images=frozenset())
    assert chosen(lazy, holder, other) == "wrk_has"
    assert chosen(lazy, other) == "wrk_has_not"
    assert chosen(lazy, replace(holder, draining=True), other) == "wrk_has_not"


def test_who_has_a_template_is_preferred_to_the_emptier_one_that_must_boot() -> None:
    template = template_of(SHA, 1000, 512, "isolated")
    holder = candidate("wrk_has", held=Held(memory_mb=2048), templates=frozenset({template}))
    other = candidate("wrk_has_not")
    for strategy in ("spread", "pack"):
        assert chosen(DEMAND, holder, other, strategy=strategy) == "wrk_has"
    full = replace(holder, held=Held(memory_mb=4000))
    assert chosen(DEMAND, full, other) == "wrk_has_not"
    larger = replace(DEMAND, shape=Shape(1000, 1024, 1024))
    assert chosen(larger, holder, other) == "wrk_has_not"
    assert chosen(replace(DEMAND, shape=Shape(700, 512, 9000)), holder, other) == "wrk_has"
    assert chosen(replace(DEMAND, lazy=True), holder, other) == "wrk_has"
    # The device is part of it, and what passes through it is not.
    routed = replace(DEMAND, network_profile="registry")
    offer = frozenset({"isolated", "registry"})
    holder, other = replace(holder, network_profiles=offer), replace(other, network_profiles=offer)
    assert chosen(routed, holder, other) == "wrk_has_not"
    named = frozenset({template_of(SHA, 1000, 512, "allowlisted")})
    assert chosen(routed, replace(holder, templates=named), other) == "wrk_has"
    # An image that is here counts for more.
    stale = replace(holder, images=frozenset())
    assert chosen(replace(DEMAND, lazy=True), stale, other) == "wrk_has_not"


def test_the_choice_does_not_depend_on_the_order() -> None:
    twins = [candidate("wrk_a"), candidate("wrk_b")]
    assert chosen(DEMAND, *twins) == chosen(DEMAND, *twins[::-1])
    assert chosen(DEMAND, *twins, strategy="pack") == chosen(DEMAND, *twins[::-1], strategy="pack")


IMAGES = [SHA, "b" * 64]
TEMPLATES = [
    template_of(image, cpu, memory, profile)
    for image in IMAGES
    for cpu in (100, 4000)
    for memory in (64, 512, 4096)
    for profile in ("isolated", "registry")
]
PROFILES = ["isolated", "registry", "transit"]
GPUS = ["a100", "t4"]
SOME_GPUS = st.dictionaries(st.sampled_from(GPUS), st.integers(0, 3))
HELD = st.builds(
    Held,
    bunkers=st.integers(0, 9),
    cpu_millicores=st.integers(0, 9000),
    memory_mb=st.integers(0, 9000),
    disk_mb=st.integers(0, 20_000),
    gpus=SOME_GPUS,
)
TOTALS = st.builds(
    Capacity,
    cpu_millicores=st.sampled_from([0, 2000, 4000, 8000]),
    memory_mb=st.sampled_from([0, 2048, 4096, 8192]),
    disk_mb=st.sampled_from([5000, 20_000]),
    gpus=SOME_GPUS,
)
CANDIDATES = st.builds(
    Candidate,
    worker_id=st.sampled_from([f"wrk_{n}" for n in range(30)]),
    total=TOTALS,
    held=HELD,
    network_profiles=st.frozensets(st.sampled_from(PROFILES)),
    images=st.frozensets(st.sampled_from(IMAGES)),
    templates=st.frozensets(st.sampled_from(TEMPLATES), max_size=3),
    online=st.booleans(),
    draining=st.booleans(),
)
SHAPES = st.builds(
    Shape,
    cpu_millicores=st.sampled_from([100, 1000, 4000]),
    memory_mb=st.sampled_from([64, 512, 4096]),
    disk_mb=st.sampled_from([64, 5000]),
    gpu_count=st.integers(0, 2),
    gpu_type=st.sampled_from([None, *GPUS]),
)
DEMANDS = st.builds(
    Demand,
    shape=SHAPES,
    network_profile=st.sampled_from(PROFILES),
    image_sha256=st.sampled_from(IMAGES),
    lazy=st.booleans(),
    refused_by=st.frozensets(st.sampled_from(["wrk_1", "wrk_2"])),
    only=st.sampled_from([None, None, "wrk_1", "wrk_2", "wrk_3"]),
)


@settings(deadline=None, max_examples=300)
@given(
    puts=st.lists(CANDIDATES, max_size=60),
    demands=st.lists(DEMANDS, min_size=1, max_size=5),
    strategy=st.sampled_from(["spread", "pack"]),
    block=st.sampled_from([1, 2, 5]),
)
def test_the_index_finds_what_looking_at_everybody_finds(
    puts: list[Candidate], demands: list[Demand], strategy: Strategy, block: int
) -> None:
    """Workers are put again and again, as they change, and asked for in between; what counts is how
    each was put last."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(order, "BLOCK", block)
        index = Index()
        last: dict[str, Candidate] = {}
        for number, each in enumerate(puts):
            index.put(each)
            last[each.worker_id] = each
            demand = demands[number % len(demands)]
            assert index.best(demand, strategy) == choose(demand, last.values(), strategy)
        for demand in demands:
            found = index.best(demand, strategy)
            assert found == choose(demand, last.values(), strategy)
            if found is None:
                assert index.why_none(demand).details


def test_a_choice_among_many_alike_looks_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counted(demand: Demand, each: Candidate) -> bool:
        nonlocal looks
        looks += 1
        return True

    index = Index()
    for number in range(5000):
        held = Held(memory_mb=number % 4000)
        index.put(candidate(f"wrk_{number:04}", held=held))
    monkeypatch.setattr("scaibunker.controller.scheduler.order.fits", counted)
    for strategy in ("spread", "pack"):
        index.best(DEMAND, strategy)
    assert looks == 2


@pytest.mark.parametrize("strategy", ["spread", "pack"])
def test_workers_that_are_too_full_or_too_small_are_passed_over_as_a_whole(
    strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def counted(demand: Demand, each: Candidate) -> bool:
        nonlocal looks
        looks += 1
        return fits(demand, each)

    small, large = Capacity(1000, 4096, 10_000, {}), Capacity(64_000, 65_536, 99_000, {"a100": 1})
    index = Index()
    for number in range(3000):
        # Small ones at all stages, and large ones that have memory left and no CPU.
        index.put(candidate(f"wrk_{number:04}", total=small, held=Held(memory_mb=number)))
        full = Held(cpu_millicores=64_000 - number % 1000)
        index.put(candidate(f"wrk_full_{number:04}", total=large, held=full))
    index.put(candidate("wrk_room", total=large, held=Held(cpu_millicores=32_000)))
    monkeypatch.setattr("scaibunker.controller.scheduler.order.fits", counted)
    found = index.best(replace(DEMAND, shape=Shape(2000, 2048, 1024)), strategy)
    assert found is not None
    assert found.worker_id == "wrk_room"
    assert looks <= 2 * order.BLOCK
