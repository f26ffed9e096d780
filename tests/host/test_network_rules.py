"""The slot's rules against raw frames: each forbidden thing stays behind, and passes as soon as its rule is away."""

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator

import pytest

from scaibunker.worker.network import links
from scaibunker.worker.network.policy import Passage, Policy
from tests.host.lab import Lab
from tests.host.lab import packets as p
from tests.host.lab.rig import Rig
from tests.host.rule_cases import FORBIDDEN, MARK, Case, Seen
from tests.waiting import wait_until

pytestmark = pytest.mark.host

Passed = Callable[[], bool]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Lab.opened() as lab, Rig.opened(lab) as rig:
        yield rig


@contextlib.contextmanager
def watching(rig: Rig, case: Case) -> Iterator[Passed]:
    """Whether the frame has passed so far."""
    outer = p.mac_bytes(links.uplink_mac(rig.slot.number))
    with contextlib.ExitStack() as stack:
        if case.seen is Seen.OUT:
            rig.up.clear()
            yield lambda: bool(rig.up.frames(lambda f: f[6:12] == outer and case.answer(f)))
        elif case.seen is Seen.ANSWERED:
            rig.guest.clear()
            yield lambda: bool(rig.guest.frames(case.answer))
        elif case.seen is Seen.GATEWAY:
            sockets = [
                stack.enter_context(rig.listening(socket.SOCK_DGRAM, address, case.port))
                for address in ("0.0.0.0", "::")  # noqa: S104 - in the slot
            ]
            yield lambda: any(_received(sock) for sock in sockets)
        else:

            def opened() -> socket.socket:
                return socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)

            raw = stack.enter_context(rig.inside.call(opened))
            raw.setblocking(False)
            yield lambda: _received(raw)


def _received(sock: socket.socket) -> bool:
    while True:
        try:
            if MARK in sock.recv(4096):
                return True
        except BlockingIOError:
            return False


@contextlib.contextmanager
def proxy_and_fence(rig: Rig) -> Iterator[Callable[[], None]]:
    """What the gateway would listen on; and a call that returns when all that the guest sent has been judged."""
    with contextlib.ExitStack() as stack:
        for address in (rig.gateway_v4, rig.gateway_v6):
            stack.enter_context(rig.listening(socket.SOCK_STREAM, address, rig.facts.proxy_port))
        fence = stack.enter_context(rig.listening(socket.SOCK_DGRAM, rig.gateway_v4, 53))

        def wait() -> None:
            mark = f"fence {next(_numbers)}".encode()
            ends = rig.to(rig.gateway_v4)
            rig.guest.send(p.packet(ends, p.UDP, p.udp(ends, 53, mark, source_port=41000)))
            got: list[bytes] = []

            def come() -> bool:
                with contextlib.suppress(BlockingIOError):
                    got.append(fence.recv(4096))
                return mark in got

            wait_until(come, 10, lambda: f"the fence among {got}", every_s=0.005)

        yield wait


@pytest.mark.parametrize("case", FORBIDDEN, ids=str)
def test_it_does_not_pass(rig: Rig, case: Case) -> None:
    for passage in case.passages:
        rig.enforce(Policy(passage, 100))
        with watching(rig, case) as passed, proxy_and_fence(rig) as fence:
            rig.guest.send(*case.frames(rig))
            fence()
            assert not passed(), passage


@pytest.mark.parametrize("case", FORBIDDEN, ids=str)
def test_it_passes_when_its_rule_is_away(rig: Rig, case: Case) -> None:
    kept = {key: rig.inside.sysctl_of(key) for key, _ in case.sysctls}
    rig.inside.sysctl(**dict(case.sysctls))
    try:
        for passage in case.passages:
            rig.enforce(Policy(passage, 100), case.changes)
            with watching(rig, case) as passed, proxy_and_fence(rig):
                rig.guest.send(*case.frames(rig))
                wait_until(passed, 30, lambda: f"{case} to pass", every_s=0.005)
    finally:
        rig.inside.sysctl(**kept)


@pytest.mark.parametrize("case", FORBIDDEN, ids=str)
def test_nothing_at_all_passes_when_it_is_closed(rig: Rig, case: Case) -> None:
    rig.enforce(Policy(Passage.CLOSED, 100))
    with watching(rig, case) as passed:
        rig.guest.send(*case.frames(rig))
        rig.enforce(Policy(Passage.CLOSED, 100))
        assert not passed()
