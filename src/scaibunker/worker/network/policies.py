"""What an order means on this worker."""

from collections.abc import Iterable

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.network.policy import Passage, Policy

_PASSAGES = {
    NetworkProfile.ISOLATED: Passage.CLOSED,
    NetworkProfile.REGISTRY: Passage.NAMED,
    NetworkProfile.ALLOWLISTED: Passage.NAMED,
    NetworkProfile.UNRESTRICTED: Passage.OPEN,
    NetworkProfile.TRANSIT: Passage.BRIDGED,
}


def policy_of(
    order: NetworkOrder, registry_hosts: Iterable[str], default_bandwidth: int, *, audited: bool
) -> Policy:
    """`registry_hosts`: patterns of this worker's list, in force for the profile `registry`; `default_bandwidth` in
    Mbit/s, where the order names none. `audited`: this worker keeps a record of flows. What an order says that does
    not belong to its profile counts for nothing."""
    passage = _PASSAGES[order.profile]
    names: Iterable[str] = ()
    if order.profile is NetworkProfile.REGISTRY:
        names = registry_hosts
    elif order.profile is NetworkProfile.ALLOWLISTED:
        names = order.allowlist
    routed = passage in (Passage.NAMED, Passage.OPEN)
    return Policy(
        passage=passage,
        bandwidth_mbit=order.bandwidth_mbit or default_bandwidth,
        names=tuple(names),
        audited=audited and routed,
        interfaces=tuple(order.interfaces) if passage is Passage.BRIDGED else (),
    )
