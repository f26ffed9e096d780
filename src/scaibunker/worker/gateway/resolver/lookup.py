"""The resolutions of all machines, for the parts of the gateway that dial."""

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.gateway.lookup import Address
from scaibunker.worker.gateway.resolver.limits import Limits
from scaibunker.worker.gateway.resolver.resolution import Resolution
from scaibunker.worker.gateway.resolver.upstream import Upstreams
from scaibunker.worker.gateway.surroundings import Surroundings


class ResolverLookup:
    """Implements `gateway.lookup.Lookup`. A resolution is kept until it is forgotten."""

    def __init__(self, surroundings: Surroundings, limits: Limits | None = None) -> None:
        self._surroundings = surroundings
        self._upstreams = Upstreams(surroundings)
        self.limits = limits or Limits()
        self._resolutions: dict[Attachment, Resolution] = {}

    async def addresses(self, name: str, attachment: Attachment) -> list[Address]:
        return await self.resolution(attachment).addresses(name)

    def resolution(self, attachment: Attachment) -> Resolution:
        found = self._resolutions.get(attachment)
        if found is None:
            found = Resolution(attachment, self._surroundings, self._upstreams, self.limits)
            self._resolutions[attachment] = found
        return found

    def forget(self, attachment: Attachment) -> None:
        found = self._resolutions.pop(attachment, None)
        if found is not None:
            found.forget()
