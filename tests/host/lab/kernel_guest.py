"""A guest without a machine: its network stack is the kernel's, in a namespace, and a process carries its frames to the
slot's TAP as a VMM would, large segments and unfinished checksums included."""

import contextlib
import fcntl
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

from scaibunker.worker.network import taps
from scaibunker.worker.network.facts import SlotFacts
from scaibunker.worker.network.given import GUEST_INTERFACE, guest_network
from tests.host.lab.namespaces import Namespace

TUNSETOFFLOAD = 0x400454D0
CHECKSUMS_AND_SEGMENTS = 0x01 | 0x02 | 0x04


@contextlib.contextmanager
def kernel_guest(tap: int, facts: SlotFacts) -> Iterator[Namespace]:
    """On the slot's TAP, whose descriptor it closes; numbered as a real guest is told to number itself."""
    guest = Namespace(f"sbguest-{os.getpid()}-{secrets.token_hex(2)}")
    own = -1
    carrier: subprocess.Popen[bytes] | None = None
    try:
        own = guest.call(lambda: taps.attach(GUEST_INTERFACE))
        for descriptor in (tap, own):
            fcntl.ioctl(descriptor, TUNSETOFFLOAD, CHECKSUMS_AND_SEGMENTS)
        (interface,) = guest_network(facts).interfaces
        guest.ip(
            "link", "set", interface.name, "address", interface.mac, "mtu", str(interface.mtu), "up"
        )
        for address in interface.addresses:
            guest.ip("addr", "add", address, "dev", interface.name, *_nodad(address))
        for gateway in interface.gateways:
            guest.ip("route", "add", "default", "via", gateway)
        carrier = subprocess.Popen(
            [sys.executable, "-m", "tests.host.lab.carrier", str(tap), str(own)],
            pass_fds=(tap, own),
        )
        yield guest
    finally:
        if carrier is not None:
            carrier.kill()
            carrier.wait()
        for descriptor in (tap, own):
            if descriptor >= 0:
                os.close(descriptor)
        guest.delete()


def _nodad(address: str) -> tuple[str, ...]:
    return ("nodad",) if ":" in address else ()
