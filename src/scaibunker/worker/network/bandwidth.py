"""How fast a machine may send and receive: token bucket filters on what its TAP hands out, and on what comes in.

Linux only slows down what leaves an interface. What the guest receives leaves through its TAP; what it sends is led through
an IFB, an interface from which it comes out as if the TAP had just received it.
"""

from scaibunker.worker.network.messages import Bucket

LEAST_BURST = 32 * 1024
BURST_S = 0.01
"""Seconds' worth that may leave at once: a busy host lets a machine wait that long, who would lose its share of that time."""
QUEUE_S = 0.05
LEAST_QUEUE = 96 * 1024
MOST_QUEUE = 4 * 1024 * 1024


def bucket(mbit: int, mtu: int) -> Bucket:
    """One that lets `mbit` Mbit/s of frames pass, each of at most `mtu` bytes and a header."""
    rate = mbit * 1_000_000 // 8
    burst = max(LEAST_BURST, 4 * mtu, int(rate * BURST_S))
    queue = min(max(LEAST_QUEUE, int(rate * QUEUE_S)), MOST_QUEUE)
    return Bucket(rate, burst, queue + burst)
