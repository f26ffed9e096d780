"""The deployment's other hosts, as this worker is told them."""

import ipaddress
from pathlib import Path

import pytest

from scaibunker.wire.worker.vicinity import VicinityChange, digest_of
from scaibunker.worker.network.never import Network
from scaibunker.worker.network.peers import Peers

ONE, TWO, THREE = "203.0.113.1", "203.0.113.2", "2001:db8::3"


def whole(*addresses: str) -> VicinityChange:
    return VicinityChange(digest=digest_of(addresses), added=list(addresses))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vicinity.json"


def test_the_whole_list_then_what_has_changed(file: Path) -> None:
    peers = Peers(file)
    assert peers.digest == ""
    told: list[tuple[str, ...]] = []
    peers.changed = lambda: told.append(peers.addresses)
    peers.take(whole(ONE, TWO))
    assert peers.digest == digest_of([TWO, ONE])
    change = VicinityChange(
        digest=digest_of([ONE, THREE]), base=peers.digest, added=[THREE], removed=[TWO]
    )
    peers.take(change)
    assert (peers.addresses, peers.digest) == ((THREE, ONE), change.digest)
    peers.take(None)
    assert told == [(ONE, TWO), (THREE, ONE)]


def test_a_new_daemon_closes_what_the_last_one_was_told(file: Path) -> None:
    kept = Peers(file)
    assert kept.take(whole(ONE, "198.51.100.0/24"))
    kept.keep()
    assert not kept.take(whole("198.51.100.0/24", ONE))
    again = Peers(file)
    assert again.addresses == ("198.51.100.0/24", ONE)
    assert again.digest == digest_of(again.addresses)


def test_an_answer_to_an_earlier_heartbeat_changes_nothing(file: Path) -> None:
    peers = Peers(file)
    peers.take(whole(ONE))
    peers.take(VicinityChange(digest="0" * 32, base="1" * 32, removed=[ONE]))
    assert (peers.addresses, peers.digest) == ((ONE,), digest_of([ONE]))


def test_a_change_that_leads_elsewhere_is_thrown_away_and_the_whole_asked_for(file: Path) -> None:
    peers = Peers(file)
    peers.take(whole(ONE))
    peers.take(VicinityChange(digest="0" * 32, base=peers.digest, removed=[ONE]))
    assert peers.addresses == (ONE,)  # closed until it is known better
    assert peers.digest == ""
    peers.take(whole(TWO))
    assert (peers.addresses, peers.digest) == ((TWO,), digest_of([TWO]))


@pytest.mark.parametrize("content", [b"", b"{", b'{"addresses": ["peer.test"]}', b"\xff", b"[]"])
def test_a_file_that_is_spoilt_is_no_list(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    peers = Peers(file)
    assert (peers.addresses, peers.digest) == ((), "")
    peers.take(whole(ONE))
    peers.keep()
    assert Peers(file).addresses == (ONE,)


def test_a_disk_that_is_full_keeps_nothing_from_being_closed(tmp_path: Path) -> None:
    peers = Peers(tmp_path / "no such folder" / "vicinity.json")
    peers.take(whole(ONE))
    peers.keep()
    assert peers.addresses == (ONE,)


def test_own_addresses_are_said_those_of_the_outside_first() -> None:
    peers = Peers()
    texts = [f"10.0.0.{n}/32" for n in range(40)]
    texts += ["127.0.0.1/32", "fe80::1/128", "10.0.0.0/24", "1.2.3.4/32", "2a00::1/128"]
    own: list[Network] = [ipaddress.ip_network(text) for text in texts]
    peers.own = lambda: own
    said = peers.reported()
    assert said[:3] == ["1.2.3.4", "2a00::1", "10.0.0.0"]
    assert len(said) == 32
    assert not {"127.0.0.1", "fe80::1"} & set(said)
