"""Images that bunkers can be made from."""

from collections.abc import AsyncIterator

from scaibunker.sdk import _calls
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.wire.api.images import Image


class AsyncImages:
    """The images that the key can see."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, *, page_size: int | None = None) -> AsyncIterator[Image]:
        """Every image; pages are fetched as they are needed."""
        call = _calls.get(_calls.module_path("images"), limit=page_size)
        async for image in self._transport.pages(call, Image):
            yield image

    async def get(self, image_id: str) -> Image:
        """An image by its id."""
        path = _calls.module_path("images", _calls.checked_id("image id", image_id))
        return await self._transport.record(_calls.get(path), Image)
