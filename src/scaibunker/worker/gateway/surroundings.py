"""What all attachments of a gateway share. The daemon sets it, and sets it anew when it changes."""

from dataclasses import dataclass

from scaibunker.worker.network.never import Never


@dataclass(slots=True)
class Surroundings:
    """`upstreams`: address and port of the host's own resolvers, asked in that order."""

    never: Never
    upstreams: tuple[tuple[str, int], ...]
