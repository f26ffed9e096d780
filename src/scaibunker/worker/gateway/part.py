"""What the gateway does for a machine is done by parts: resolver, proxy, flows. Each has its own folder."""

from typing import Protocol

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.network.policy import Policy


class Part(Protocol):
    """Serves one attachment, from `start` to `close`. A part that fails is logged and closed; the others go on, and
    what it would have let pass does not."""

    def start(self, attachment: Attachment) -> None:
        """Serve; returns at once. Sockets that are not for this part are left alone."""
        ...

    def change(self, policy: Policy) -> None:
        """From now on this one; `attachment.policy` is it already. Connections that it would refuse end."""
        ...

    async def close(self) -> None:
        """Stop serving; nothing of it runs when this returns, and what it had to keep is on disk."""
        ...
