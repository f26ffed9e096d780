"""Numbers of slots: names and addresses that follow from them, and who on a host has which."""

import multiprocessing
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.claims import Claims
from scaibunker.worker.network.naming import MAX_NUMBER, Names
from scaibunker.worker.network.ranges import Ranges

RANGES = Ranges(IPv4Network("198.19.0.0/16"), IPv6Network("fd5c:a1ba:9001::/64"))
SMALL = Ranges(IPv4Network("10.0.0.0/29"), IPv6Network("fd00::/122"))


@given(st.text(min_size=1), st.integers(1, MAX_NUMBER))
@settings(deadline=None)
def test_names_tell_whose_they_are(worker_id: str, number: int) -> None:
    names = Names.of(worker_id)
    assert len(names.link(number)) <= 15
    assert names.number_of_link(names.link(number)) == number
    assert names.number_of_namespace(names.namespace(number)) == number
    other = Names.of(worker_id + "x")
    assert other.number_of_link(names.link(number)) is None
    assert other.number_of_namespace(names.namespace(number)) is None


@pytest.mark.parametrize("name", ["eth0", "sbk", "sbkffffff", "scaibunker-", "sbk\u0661"])
def test_others_are_nobodys(name: str) -> None:
    names = Names.of("wrk_1")
    assert names.number_of_link(name) is None
    assert names.number_of_namespace(name) is None
    assert names.number_of_link(f"{names.links}1x") is None


@given(st.lists(st.integers(1, RANGES.last), min_size=2, max_size=50, unique=True))
@settings(deadline=None)
def test_no_two_slots_share_an_address(numbers: list[int]) -> None:
    facts = [RANGES.facts(number, 1500, 100) for number in numbers]
    v4 = {a for f in facts for a in (f.transfer_v4, f.host_transfer_v4)}
    v6 = {a for f in facts for a in (f.transfer_v6, f.host_transfer_v6)}
    assert len(v4) == len(v6) == 2 * len(numbers)
    assert all(a in RANGES.v4 for a in v4)
    assert all(a in RANGES.v6 for a in v6)
    for each in facts:  # the pair is a /31, and a /127
        assert int(each.host_transfer_v4) ^ int(each.transfer_v4) == 1
        assert int(each.host_transfer_v6) ^ int(each.transfer_v6) == 1


def test_a_range_ends() -> None:
    assert SMALL.last == 3
    for number in (0, SMALL.last + 1):
        with pytest.raises(IndexError):
            SMALL.facts(number, 1500, 100)


def test_ranges_that_could_give_one_address_twice_collide() -> None:
    inner = Ranges(IPv4Network("198.19.128.0/17"), IPv6Network("fd01::/64"))
    wider = Ranges(IPv4Network("198.19.0.0/15", strict=False), RANGES.v6)
    shorter = Ranges(IPv4Network("198.19.0.0/20"), RANGES.v6)
    assert RANGES.collide_with(inner)
    assert RANGES.collide_with(wider)
    assert not RANGES.collide_with(RANGES)
    assert not RANGES.collide_with(shorter)  # the same numbers have the same addresses
    assert not RANGES.collide_with(SMALL)


def test_a_number_is_one_workers_until_it_is_given_back(tmp_path: Path) -> None:
    ours, theirs = (Claims(tmp_path, f"wrk_{n}", SMALL) for n in "ab")
    ours.open()
    theirs.open()
    taken = {ours.take(1500), theirs.take(1500), ours.take(1500)}
    assert taken == {1, 2, 3}
    with pytest.raises(WorkerFault, match="taken"):
        theirs.take(1500)
    (foreign,) = theirs.mine()
    assert set(ours.mine()) == taken - {foreign}
    ours.assign(min(ours.mine()), "bnk_a")
    ours.serve(min(ours.mine()), "by these")
    ours.close()
    again = Claims(tmp_path, "wrk_a", SMALL)
    again.open()
    claim = again.mine()[min(again.mine())]
    assert (claim.machine, claim.served, claim.mtu, claim.ranges) == (
        "bnk_a",
        "by these",
        1500,
        SMALL,
    )
    theirs.give_back(foreign)
    theirs.give_back(foreign)
    assert again.take(1400) == foreign


def test_numbers_go_round_before_one_is_used_again(tmp_path: Path) -> None:
    claims = Claims(tmp_path, "wrk_a", RANGES)
    claims.open()
    seen = []
    for _ in range(5):
        seen.append(claims.take(1500))
        claims.give_back(seen[-1])
    assert len(set(seen)) == 5


def test_ranges_of_a_living_worker_are_respected(tmp_path: Path) -> None:
    ours = Claims(tmp_path, "wrk_a", RANGES)
    ours.open()
    inner = Ranges(IPv4Network("198.19.128.0/17"), IPv6Network("fd01::/64"))
    theirs = Claims(tmp_path, "wrk_b", inner)
    with pytest.raises(WorkerFault, match="overlap"):
        theirs.open()
    ours.close()  # it is gone, and has nothing: nobody needs its ranges
    theirs.open()
    theirs.close()
    ours = Claims(tmp_path, "wrk_a", RANGES)
    ours.open()
    ours.take(1500)
    ours.close()  # gone, but its slots are there
    with pytest.raises(WorkerFault, match="overlap"):
        Claims(tmp_path, "wrk_b", inner).open()


def _take_all(folder: Path, worker: str, report: "multiprocessing.SimpleQueue[list[int]]") -> None:
    claims = Claims(folder, worker, RANGES)
    claims._last = 0
    report.put([claims.take(1500) for _ in range(50)])


def test_processes_never_get_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    report = context.SimpleQueue()
    workers = [
        context.Process(target=_take_all, args=(tmp_path, f"wrk_{n}", report)) for n in range(3)
    ]
    for worker in workers:
        worker.start()
    numbers = [number for _ in workers for number in report.get()]
    for worker in workers:
        worker.join()
    assert len(set(numbers)) == len(numbers) == 150


def test_a_claim_that_cannot_be_read_stays_taken(tmp_path: Path) -> None:
    claims = Claims(tmp_path, "wrk_a", SMALL)
    claims.open()
    (tmp_path / "2").write_text("{half")
    assert {claims.take(1500), claims.take(1500)} == {1, 3}
    assert 2 not in claims.mine()


def test_a_worker_that_ends_with_nothing_leaves_no_word(tmp_path: Path) -> None:
    claims, beside = Claims(tmp_path, "wrk_a", RANGES), Claims(tmp_path, "wrk_b", RANGES)
    claims.open()
    beside.open()
    number = claims.take(1500)
    claims.close()
    assert len(list(tmp_path.glob("ranges-*"))) == 2  # what is taken is still in those ranges
    claims.open()
    claims.give_back(number)
    claims.close()
    claims.close()
    assert [path.name for path in tmp_path.glob("ranges-*")] == [f"ranges-{Names.of('wrk_b').tag}"]
    beside.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
