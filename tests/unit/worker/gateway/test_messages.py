"""What the daemon says to the gateway arrives as it was meant."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.control.messages import (
    REQUEST,
    Attach,
    PolicyMessage,
    SocketCounts,
    Surround,
)  # fmt: skip
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never, networks
from scaibunker.worker.network.policy import Passage, Policy


@settings(deadline=None)
@given(st.sampled_from(Passage), st.integers(1, 10_000), st.lists(st.text()), st.booleans())
def test_policies(passage: Passage, bandwidth: int, names: list[str], audited: bool) -> None:
    policy = Policy(passage, bandwidth, tuple(names), audited)
    text = PolicyMessage.of(policy).model_dump_json()
    assert PolicyMessage.model_validate_json(text).policy() == policy


def test_surroundings() -> None:
    around = Surroundings(
        Never(networks("10.0.0.0/8", "2001:db8::/32"), networks("192.168.1.0/24")),
        (("192.0.2.53", 53), ("2001:db8::53", 5353)),
        ttl_min_s=7,
        ttl_max_s=70,
    )
    request = REQUEST.validate_json(Surround.of(3, around).model_dump_json())
    assert isinstance(request, Surround)
    assert request.surroundings() == around


def test_surroundings_that_are_no_addresses() -> None:
    around = Surroundings(Never(), (("resolver.test", 53),))
    with pytest.raises(ValueError, match="does not appear"):
        Surround.of(1, around).surroundings()


def test_sockets_come_as_what_they_were() -> None:
    opened = [
        socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    ]
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    sockets = Sockets(dns_udp=(opened[0],), proxied=(opened[1],), refusals=netlink)
    counts = SocketCounts.of(sockets)
    files = [sock.detach() for sock in sockets.all()]
    arrived = counts.sockets(files)
    assert [s.type for s in arrived.dns_udp + arrived.proxied] == [
        socket.SOCK_DGRAM, socket.SOCK_STREAM,
    ]  # fmt: skip
    assert arrived.conntrack is None
    assert arrived.refusals is not None
    assert arrived.refusals.family == socket.AF_NETLINK
    arrived.close()
    with pytest.raises(ValueError, match="files came"):
        counts.sockets([])


@pytest.mark.parametrize("bunker", ["..", "../b", "a/b", ".hidden", "a" * 200, "a\n"])
def test_no_bunker_is_called_like_another_folder(bunker: str) -> None:
    policy = PolicyMessage.of(Policy(Passage.NAMED, 1))
    with pytest.raises(ValidationError):
        Attach(id=1, name="m", bunker_id=bunker, policy=policy, sockets=SocketCounts())
