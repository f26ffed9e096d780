"""How a policy comes into force: the ruleset that `rules` makes of it, loaded whole into the namespace it is for."""

from typing import Protocol

from scaibunker.worker.network.facts import HostFacts, SlotFacts
from scaibunker.worker.network.policy import Policy


class Enforcer(Protocol):
    """Each call replaces all that was in force, in one transaction, in the namespace of the calling thread, and waits
    for the kernel. Raises WorkerFault; what was in force before still is."""

    def slot(self, policy: Policy, facts: SlotFacts) -> None:
        """In a slot's namespace."""
        ...

    def open_slot(self, policy: Policy, facts: SlotFacts) -> None:
        """In the namespace of a slot that has been closed since it was made, and since when what no machine may reach is
        the same: the same as `slot`, and quicker."""
        ...

    def renew_slot(self) -> None:
        """In a slot's namespace: what no machine may reach is what it is now, whichever policy is in force."""
        ...

    def host(self, facts: HostFacts) -> None:
        """In the host's."""
        ...

    def has_host(self, facts: HostFacts) -> bool:
        """Whether what was put into force in the host's is there: whoever administers it may have flushed all rules."""
        ...

    def renew_host(self, facts: HostFacts) -> None:
        """The same in the host's."""
        ...

    def leave_host(self, facts: HostFacts) -> None:
        """Nothing of this worker's is left in the host's rules. Idempotent."""
        ...
