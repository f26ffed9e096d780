"""What one machine may take of the proxy, and how long anything may last. Times in seconds, sizes in bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one attachment. What a peer does not do in time ends its connection and nobody else's.

    `connections`: at once; what comes above that is reset. `per_second` and `burst`: new ones; what comes faster waits
    to be accepted, so that no machine uses up the ports from which the host can dial. `hello` and `head`: of a ClientHello, and of a request's head.
    `held`: what all connections together hold of bytes that their receivers do not take; as it fills, less is read
    at a time.
    `silence_s`: how long the guest is waited for before the server is dialled, which may be the one to speak first.
    `judge_s`: from the first byte of a hello or head to its last. `linger_s`: for a refused guest to read why.
    `half_s` and `idle_s`: without a byte either way, once one direction has ended, and before.
    """

    connections: int = 512
    per_second: float = 100.0
    burst: int = 1000
    hello: int = 64 * 1024
    head: int = 64 * 1024
    held: int = 16 * 1024 * 1024
    silence_s: float = 0.25
    judge_s: float = 10.0
    dial_s: float = 10.0
    linger_s: float = 2.0
    half_s: float = 300.0
    idle_s: float = 3600.0


LIMITS = Limits()
