"""The parts that serve each attachment, in the order in which they are started; they are closed in the reverse order."""

from collections.abc import Callable, Sequence

from scaibunker.worker.gateway.flows.part import FlowsPart
from scaibunker.worker.gateway.part import Part
from scaibunker.worker.gateway.proxy.part import Proxy
from scaibunker.worker.gateway.resolver.lookup import ResolverLookup
from scaibunker.worker.gateway.resolver.part import Resolver
from scaibunker.worker.gateway.surroundings import Surroundings

PartFactory = Callable[[Surroundings, ResolverLookup], Part]
"""Makes the part of one attachment. The surroundings are the same object for all, and are changed in place: look at
them when they are needed, and keep nothing of them."""

PARTS: Sequence[PartFactory] = (lambda *_: FlowsPart(), lambda _, lookup: Resolver(lookup), Proxy)
