"""What the daemon may ask of its gateway. `client` is the real one."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.policy import Policy

OpenSockets = Callable[[], Awaitable[Sockets]]
"""Opens what one machine's attachment needs, inside its namespace. The gateway holds the only copies, so that nothing
listens when it is dead; a new one needs them opened anew, and then this is called again. Raises WorkerFault."""


class Gateway(Protocol):
    """Every call can be made twice; what was asked for is asked for again of a gateway that had to be started anew.

    Calls for one machine are done in the order they were made. Each raises WorkerFault when the gateway has not done
    it in time: what the machine may do through it is uncertain then, until the call is made again or it is detached.
    """

    @property
    def spools(self) -> Path:
        """The folder on this host that holds the records of flows: one folder for each bunker, by its id."""
        ...

    async def attach(
        self, name: str, bunker_id: str, policy: Policy, open_sockets: OpenSockets
    ) -> None:
        """Serve the machine `name`. `bunker_id` empty: nobody's yet. One that the gateway serves already (it outlives
        the daemon) keeps the sockets it has, and gets the policy: detach first what stands in a new namespace.
        `open_sockets` is not called again once `detach` has returned."""
        ...

    async def change(self, name: str, bunker_id: str, policy: Policy) -> None:
        """From when this returns, this policy and no other. Raises WorkerFault if `name` was not attached here."""
        ...

    async def detach(self, name: str) -> None:
        """Returns once nothing of it is served, its sockets are closed and the records of its flows are on disk."""
        ...

    async def attached(self) -> frozenset[str]:
        """The machines it serves, also those that an earlier daemon attached and this one has not spoken of."""
        ...

    async def surroundings(self, surroundings: Surroundings) -> None:
        """What all attachments share, from now on."""
        ...
