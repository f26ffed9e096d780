"""The `Enforcer` of a real host: rulesets by nftables, made with what no bunker may reach as it is now."""

from collections.abc import Callable

from scaibunker.worker.network import nft
from scaibunker.worker.network.facts import HostFacts, SlotFacts
from scaibunker.worker.network.host_rules import host_ruleset, host_update
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import Policy
from scaibunker.worker.network.rules import never_update, slot_opening, slot_ruleset


class NftEnforcer:
    """`never`: how it is now (`Lookout.never`). All calls block and raise WorkerFault."""

    def __init__(self, never: Callable[[], Never]) -> None:
        self._never = never

    def slot(self, policy: Policy, facts: SlotFacts) -> None:
        nft.apply(slot_ruleset(policy, facts, self._never()))

    def open_slot(self, policy: Policy, facts: SlotFacts) -> None:
        nft.apply(slot_opening(policy, facts))

    def renew_slot(self) -> None:
        """In a slot's namespace: what it may never reach is what it is now, whichever policy is in force there. No flow
        that may go on is disturbed."""
        nft.apply(never_update(self._never()))

    def host(self, facts: HostFacts) -> None:
        nft.apply(host_ruleset(facts, self._never()))

    def has_host(self, facts: HostFacts) -> bool:
        return ("inet", facts.table) in nft.tables()

    def renew_host(self, facts: HostFacts) -> None:
        """The same for the host's table."""
        nft.apply(host_update(facts, self._never()))

    def leave_host(self, facts: HostFacts) -> None:
        nft.delete_table("inet", facts.table)
