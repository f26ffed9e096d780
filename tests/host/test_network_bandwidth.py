"""What a machine sends and receives under a cap, through a whole slot, by a guest that has the kernel's stack."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from scaibunker.worker.network import links
from scaibunker.worker.network import slot as slots
from scaibunker.worker.network.policy import Passage, Policy
from tests.host.lab import Lab
from tests.host.lab.kernel_guest import kernel_guest
from tests.host.lab.namespaces import Namespace
from tests.host.lab.rig import MBIT, Rig
from tests.host.traffic import drain, mbit_from_now, pour

pytestmark = pytest.mark.host

CAPS = (10, 100, 1000)
SITE, PORT = "203.0.113.77", 5001
PATIENCE_S = 15.0
ATTEMPTS = 3
"""Others use this machine too: what counts is that the cap is reached, and never passed."""
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Lab, Rig, Namespace]]:
    with Lab.opened() as lab, Rig.opened(lab) as rig:
        rig.enforce(Policy(Passage.OPEN, MBIT))
        rig.guest.close()
        with kernel_guest(slots.open_tap(rig.slot), rig.facts) as guest:
            yield lab, rig, guest


@pytest.fixture(scope="module")
def uncapped(place: tuple[Lab, Rig, Namespace]) -> dict[bool, float]:
    """What this machine does without a cap, sending and receiving."""
    found = {sending: measure(place, MBIT, sending=sending) for sending in (True, False)}
    print(f"without a cap: sends {found[True]:.0f}, receives {found[False]:.0f} Mbit/s")
    return found


@pytest.mark.parametrize("sending", [True, False], ids=["sends", "receives"])
@pytest.mark.parametrize("cap", CAPS)
def test_a_cap_is_kept_and_reached(
    place: tuple[Lab, Rig, Namespace], uncapped: dict[bool, float], cap: int, sending: bool
) -> None:
    possible = min(cap, uncapped[sending])
    found = []
    for _ in range(ATTEMPTS):
        found.append(measure(place, cap, sending=sending))
        assert found[-1] <= 1.1 * cap, found
        if max(found) >= 0.9 * possible:
            break
        # It may be the machine that has become slower.
        possible = min(possible, measure(place, MBIT, sending=sending))
    way = "sends" if sending else "receives"
    print(f"{cap} Mbit/s: {way} {max(found):.1f}")
    assert max(found) >= 0.9 * possible, (found, uncapped)


def test_a_cap_can_be_changed_under_a_flow(place: tuple[Lab, Rig, Namespace]) -> None:
    _, rig, _ = place
    with flowing(place, sending=False) as rate:
        rig.inside.call(lambda: links.limit(rig.facts, 20))
        assert rate() <= 22
        rig.inside.call(lambda: links.limit(rig.facts, 200))
        assert any(rate() >= 80 for _ in range(ATTEMPTS))


def measure(place: tuple[Lab, Rig, Namespace], cap: int, *, sending: bool) -> float:
    """Mbit/s of what a program gets through."""
    _, rig, _ = place
    rig.inside.call(lambda: links.limit(rig.facts, cap))
    with flowing(place, sending=sending) as rate:
        return rate()


@contextlib.contextmanager
def flowing(place: tuple[Lab, Rig, Namespace], *, sending: bool) -> Iterator[Callable[[], float]]:
    """One TCP connection that is as full as can be; how fast it is from now on, in Mbit/s."""
    lab, _, guest = place
    inside, outside = connected(lab.world, guest)
    source, sink = (inside, outside) if sending else (outside, inside)
    threads = [
        threading.Thread(target=pour, args=(source,)),
        threading.Thread(target=drain, args=(sink,)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield lambda: mbit_from_now(sink, "receives")
    finally:
        for each in (inside, outside):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in threads:
            thread.join(PATIENCE_S)


def connected(world: Namespace, guest: Namespace) -> Pair:
    """The guest's end and the world's."""
    listener = world.call(lambda: socket.create_server((SITE, PORT)))
    with listener:
        listener.settimeout(PATIENCE_S)
        inside = guest.call(lambda: socket.create_connection((SITE, PORT), timeout=PATIENCE_S))
        outside, _ = listener.accept()
    for each in (inside, outside):
        each.settimeout(PATIENCE_S)
    return inside, outside
