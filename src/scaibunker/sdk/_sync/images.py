# Generated from _async/images.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""Images that bunkers can be made from."""

from collections.abc import Iterator

from scaibunker.sdk import _calls
from scaibunker.sdk._sync.transport import Transport
from scaibunker.wire.api.images import Image


class Images:
    """The images that the key can see."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int | None = None) -> Iterator[Image]:
        """Every image; pages are fetched as they are needed."""
        call = _calls.get(_calls.module_path("images"), limit=page_size)
        yield from self._transport.pages(call, Image)

    def get(self, image_id: str) -> Image:
        """An image by its id."""
        path = _calls.module_path("images", _calls.checked_id("image id", image_id))
        return self._transport.record(_calls.get(path), Image)
