"""The addresses of a deployment's own hosts, as workers are told them."""

import random
import sys
from pathlib import Path

import pytest

from scaibunker.controller.workers.replicas import own_addresses
from scaibunker.controller.workers.vicinity import LISTS_KEPT, Vicinity, addresses_of
from scaibunker.wire.worker.vicinity import MAX_ADDRESSES, VicinityChange, digest_of

ONE, TWO, THREE = "203.0.113.1", "203.0.113.2", "2001:db8::3"


def ready(vicinity: Vicinity) -> Vicinity:
    vicinity.controllers(())
    vicinity.all_read()
    return vicinity


def applied(had: frozenset[str], change: VicinityChange | None) -> frozenset[str]:
    """What a worker makes of an answer."""
    if change is None:
        return had
    before = had if change.base else frozenset()
    return (before | set(change.added)) - set(change.removed)


@pytest.mark.parametrize(
    ("url", "said", "found"),
    [
        ("http://203.0.113.1:8", [], {ONE}),
        ("https://[2001:db8::3]:8", [ONE], {ONE, THREE}),
        ("http://worker.test:8", [TWO], {TWO}),
        ("http://127.0.0.1:8", ["::1", "169.254.1.1", "fe80::1", "::", "224.0.0.1"], set()),
    ],
)
def test_which_addresses_a_worker_has(url: str, said: list[str], found: set[str]) -> None:
    assert addresses_of(url, said) == found


def test_nothing_is_told_before_everything_is_known() -> None:
    vicinity = Vicinity([ONE])
    assert vicinity.change_since("") is None
    vicinity.all_read()
    assert vicinity.change_since("") is None
    vicinity.controllers([TWO])
    assert vicinity.change_since("") == VicinityChange(
        digest=digest_of([ONE, TWO]), added=[ONE, TWO]
    )


def test_who_has_the_newest_list_is_told_nothing() -> None:
    vicinity = ready(Vicinity())
    vicinity.put("wrk_1", frozenset({ONE}))
    assert vicinity.change_since(vicinity.digest) is None


def test_who_has_an_earlier_list_is_told_the_difference() -> None:
    vicinity = ready(Vicinity())
    vicinity.put("wrk_1", frozenset({ONE, TWO}))
    before = vicinity.digest
    vicinity.put("wrk_1", frozenset({ONE, THREE}))
    assert vicinity.change_since(before) == VicinityChange(
        digest=digest_of([ONE, THREE]), base=before, added=[THREE], removed=[TWO]
    )


def test_an_address_of_two_hosts_stays_until_neither_has_it() -> None:
    vicinity = ready(Vicinity([ONE]))
    vicinity.put("wrk_1", frozenset({ONE, TWO}))
    vicinity.put("wrk_2", frozenset({TWO}))
    vicinity.controllers([TWO])
    newest = vicinity.digest
    vicinity.put("wrk_1", frozenset())
    vicinity.put("wrk_2", frozenset())
    assert vicinity.digest == newest
    vicinity.controllers([])
    assert vicinity.digest == digest_of([ONE])


def test_a_worker_follows_whatever_happens_and_however_late_it_asks() -> None:
    chance = random.Random(7)
    replicas = [ready(Vicinity()), ready(Vicinity())]
    workers = [(frozenset[str](), "") for _ in range(5)]
    for _ in range(400):
        worker_id = f"wrk_{chance.randrange(20)}"
        has = frozenset(f"10.0.0.{chance.randrange(40)}" for _ in range(chance.randrange(3)))
        for replica in replicas:
            replica.put(worker_id, has)
        each = chance.randrange(len(workers))
        had, digest = workers[each]
        replica = chance.choice(replicas)
        now = applied(had, replica.change_since(digest))
        assert digest_of(now) == replica.digest
        workers[each] = (now, replica.digest)


def test_only_so_many_lists_are_kept_and_the_whole_is_told_then() -> None:
    vicinity = ready(Vicinity())
    first = vicinity.digest
    for n in range(LISTS_KEPT + 1):
        vicinity.put("wrk_1", frozenset({f"10.0.0.{n}"}))
        assert vicinity.digest
    change = vicinity.change_since(first)
    assert change is not None
    assert change.base is None
    assert change.added == [f"10.0.0.{LISTS_KEPT}"]


def test_what_has_changed_is_worked_out_once() -> None:
    vicinity = ready(Vicinity())
    vicinity.put("wrk_1", frozenset({ONE}))
    assert vicinity.change_since("") is vicinity.change_since("f" * 32)


def test_the_list_is_bounded() -> None:
    vicinity = ready(Vicinity())
    many = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(MAX_ADDRESSES + 10))
    vicinity.put("wrk_1", frozenset(many))
    change = vicinity.change_since("")
    assert change is not None
    assert len(change.added) == MAX_ADDRESSES


TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 203.0.113.0/24 2 0 2
        |-- 203.0.113.0
           /24 link UNICAST
        |-- 203.0.113.9
           /32 host LOCAL
Local:
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 203.0.113.255
           /32 link BROADCAST
        |-- 203.0.113.9
           /32 host LOCAL
        |-- 198.19.66.10
           /32 host LOCAL
"""
INET6 = """00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000009 02 40 00 80     eth0
fe800000000000000000000000000001 02 40 20 80     eth0
fd5ca1ba90010000000000000000420a 03 7f 00 80 sbk51e7ba8453
"""


def routes() -> str:
    """A route to a machine, and one that is none, in the order of bytes of this host."""

    def number(*octets: int) -> str:
        return f"{int.from_bytes(bytes(octets), sys.byteorder):08X}"

    return (
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        f"eth0 {number(203, 0, 113, 0)} 00000000 0001 0 0 0 {number(255, 255, 255, 0)} 0 0 0\n"
        f"sbk51e7ba8453 {number(198, 19, 66, 10)} 00000000 0001 0 0 0 "
        f"{number(255, 255, 255, 254)} 0 0 0\n"
    )


def test_of_too_many_addresses_those_of_the_outside_are_said(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    locals_ = "".join(f"|-- 10.0.0.{n}\n/32 host LOCAL\n" for n in range(100))
    (tmp_path / "net/fib_trie").write_text(f"{locals_}|-- 44.0.0.1\n/32 host LOCAL\n")
    found = own_addresses(tmp_path)
    assert len(found) == 32
    assert "44.0.0.1" in found


def test_a_controllers_own_addresses_are_read_from_the_kernel(tmp_path: Path) -> None:
    assert own_addresses(tmp_path) == set()
    (tmp_path / "net").mkdir()
    (tmp_path / "net/fib_trie").write_text(TRIE)
    (tmp_path / "net/if_inet6").write_text(INET6)
    (tmp_path / "net/route").write_text(routes())
    assert own_addresses(tmp_path) == {"203.0.113.9", "2001:db8::9"}
