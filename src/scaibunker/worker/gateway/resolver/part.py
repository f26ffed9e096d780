"""The resolver of one machine, as a part of the gateway."""

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.gateway.resolver.conversation import Conversation
from scaibunker.worker.gateway.resolver.lookup import ResolverLookup
from scaibunker.worker.gateway.resolver.tcp import TcpServer
from scaibunker.worker.gateway.resolver.udp import UdpServer
from scaibunker.worker.network.policy import Policy


class Resolver:
    """Implements `Part`."""

    def __init__(self, lookup: ResolverLookup) -> None:
        self._lookup = lookup
        self._attachment: Attachment | None = None
        self._udp: list[UdpServer] = []
        self._tcp: TcpServer | None = None

    def start(self, attachment: Attachment) -> None:
        limits = self._lookup.limits
        self._attachment = attachment
        conversation = Conversation(self._lookup.resolution(attachment), limits, attachment.counts)
        for sock in attachment.sockets.dns_udp:
            self._udp.append(UdpServer(sock, conversation, attachment.share))
        self._tcp = TcpServer(attachment.sockets.dns_tcp, conversation, limits, attachment.share)

    def change(self, policy: Policy) -> None:
        if self._attachment is not None:
            self._lookup.resolution(self._attachment).change(policy)

    async def close(self) -> None:
        for server in self._udp:
            server.close()
        if self._tcp is not None:
            await self._tcp.close()
        if self._attachment is not None:
            self._lookup.forget(self._attachment)
