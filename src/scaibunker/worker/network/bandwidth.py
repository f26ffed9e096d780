"""How fast a machine may send and receive: token bucket filters on what its TAP hands out, and on what comes in.

Linux only slows down what leaves an interface. What the guest receives leaves through its TAP; what it sends is led through
an IFB, an interface from which it comes out as if the TAP had just received it.
"""

from dataclasses import dataclass

from pyroute2 import IPRoute

ETH_P_ALL = 0x0003
ROOT, INGRESS = 0xFFFFFFFF, 0xFFFF0000
FILTER_PARENT = 0xFFFF0000
LEAST_BURST = 32 * 1024
BURST_S = 0.004
"""Seconds' worth that may leave at once: the kernel's timers and a busy host's scheduler are that late."""
QUEUE_S = 0.05
LEAST_QUEUE = 96 * 1024
MOST_QUEUE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bucket:
    """`rate` in bytes a second, `burst` and `limit` (what may wait) in bytes."""

    rate: int
    burst: int
    limit: int


def bucket(mbit: int, mtu: int) -> Bucket:
    """One that lets `mbit` Mbit/s of frames pass, each of at most `mtu` bytes and a header."""
    rate = mbit * 1_000_000 // 8
    burst = max(LEAST_BURST, 4 * mtu, int(rate * BURST_S))
    queue = min(max(LEAST_QUEUE, int(rate * QUEUE_S)), MOST_QUEUE)
    return Bucket(rate, burst, queue + burst)


def limit_egress(route: IPRoute, index: int, bucket: Bucket) -> None:
    """Of the interface `index`, from now on, in place of any limit before. Raises NetlinkError."""
    route.tc(
        "replace", "tbf", index, parent=ROOT, handle=0x10000,
        rate=bucket.rate, burst=bucket.burst, limit=bucket.limit,
    )  # fmt: skip


def lead_through(route: IPRoute, index: int, intake: int) -> None:
    """Have all that interface `index` receives come out of `intake`, an IFB. Raises NetlinkError."""
    route.tc("add", "ingress", index, handle=INGRESS)
    action = {
        "kind": "mirred",
        "direction": "egress",
        "action": "redirect",
        "ifindex": intake,
    }
    route.tc(
        "add-filter", "u32", index, parent=FILTER_PARENT, prio=1, protocol=ETH_P_ALL,
        keys=["0x0/0x0+0"], target=0x10000, action=action,
    )  # fmt: skip
