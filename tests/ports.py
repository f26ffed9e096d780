"""Ports of this machine for what tests start."""

import contextlib
import random
import socket

FIRST, LAST = 20_000, 32_000
"""Below those that the kernel gives to whoever connects: nobody is given one before what is started listens on it."""
_random = random.SystemRandom()


def free_port() -> int:
    """A port that nothing listened on a moment ago."""
    while True:
        port = _random.randrange(FIRST, LAST)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
