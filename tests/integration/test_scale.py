"""The simulated day: that it keeps the rules it is to show, and is the same each time."""

from dataclasses import replace
from typing import Any

import pytest
from benchmarks.scale import paper, tables
from benchmarks.scale.fleet import Fleet, Overcommitted
from benchmarks.scale.judges import CapBroken, InMemory, Witness
from benchmarks.scale.run import Options, simulate

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.quotas.domain import Cap, Claim, Resource
from scaibunker.controller.scheduler.domain import Place

SMALL = Options(
    workers=150, bunkers=2000, hours=1, tenants=20, gpu_share=0.02, redis=False, fill=1.5
)


async def _outcome(options: Options) -> dict[str, Any]:
    outcome: dict[str, Any] = (await simulate(options))["outcome"]
    return outcome


@pytest.mark.parametrize("strategy", ["spread", "pack"])
async def test_a_day_with_quotas_in_redis_is_that_of_the_model_and_leaves_nothing(
    strategy: Any,
) -> None:
    # A worker that gives more than it has, or a bucket over its cap, raises in the middle of it.
    options = replace(SMALL, strategy=strategy)
    outcome = await _outcome(replace(options, redis=True))
    assert outcome == await _outcome(options)
    total = outcome["total"]
    assert outcome["left"] == 0
    assert total["asked"] == SMALL.bunkers
    over, refused = sum(total["over_quota"].values()), sum(total["refused"].values())
    assert over > 0
    assert {why.partition(":")[0] for why in total["refused"]} >= {"WORKER_UNAVAILABLE"}
    assert total["made"] + over + refused == SMALL.bunkers
    assert sum(part["counts"]["made"] for part in outcome["parts"]) == total["made"]


async def test_another_seed_is_another_day_and_the_same_is_the_same() -> None:
    first = await _outcome(SMALL)
    assert first == await _outcome(SMALL)
    assert first != await _outcome(replace(SMALL, seed=2))


async def test_a_day_that_is_stopped_early_leaves_nothing_either() -> None:
    said: list[str] = []
    results = await simulate(SMALL, said.append, lambda: len(said) > 2)
    assert 0 < results["outcome"]["total"]["asked"] < SMALL.bunkers
    assert results["outcome"]["left"] == 0
    assert paper.rates(results)["mean"]["create"] == SMALL.bunkers / 3600
    asked = results["outcome"]["total"]["asked"]
    assert f"| all | {asked:,} |" in tables.creates({"small": results})
    assert "small: placed" in tables.decisions({"small": results})
    assert "small" in tables.placement({"small": results})


async def test_replicas_that_know_less_still_give_no_place_twice() -> None:
    results = await simulate(replace(SMALL, strategy="pack", replicas=4))
    assert results["outcome"]["left"] == 0
    assert results["measured"]["places_lost"] > 0


def test_the_fleet_notices_a_worker_that_is_given_back_more_than_it_gave() -> None:
    fleet = Fleet(1, 1)
    worker_id = next(iter(fleet.workers))
    place = Place(worker_id, Shape(100, 64, 64), None)
    assert fleet.take(place, "bnk_1")
    with pytest.raises(Overcommitted):
        fleet.give_back(replace(place, shape=Shape(200, 64, 64)), "bnk_1")
    everything = Place(worker_id, Shape(1_000_000, 64, 64), None)
    assert not fleet.take(everything, "bnk_2")


async def test_the_model_refuses_what_the_witness_would_object_to() -> None:
    caps = {"user:u": {Resource.CONCURRENT_BUNKERS: Cap(1, "qpf_1", "one")}}
    claims = [Claim(f"bnk_{n}", {Resource.CONCURRENT_BUNKERS: 1}, caps) for n in (1, 2)]
    model, witness = InMemory(), Witness()
    assert [answer is None for answer in await model.judge(claims)] == [True, False]
    assert await model.judge(["bnk_1", claims[1]]) == [None, None]
    witness.held(claims[0])
    with pytest.raises(CapBroken):
        witness.held(claims[1])
