"""What all attachments of a gateway share. The daemon sets it, and sets it anew when it changes."""

from dataclasses import dataclass

from scaibunker.worker.network.never import Never

TTL_MIN_S, TTL_MAX_S = 5, 300


@dataclass(slots=True)
class Surroundings:
    """`upstreams`: address and port of the host's own resolvers, asked in that order (`upstreams.read_from`).
    `ttl_min_s`, `ttl_max_s`: how long guests are told that an answer holds, whatever its owner says."""

    never: Never
    upstreams: tuple[tuple[str, int], ...]
    ttl_min_s: int = TTL_MIN_S
    ttl_max_s: int = TTL_MAX_S
