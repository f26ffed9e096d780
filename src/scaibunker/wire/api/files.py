"""Files of a bunker. The records are the guest's own: `scaibunker.wire.guest.files`."""

from scaibunker.wire.guest.files import FileEntry, MkdirRequest, MoveRequest

__all__ = ["FileEntry", "MkdirRequest", "MoveRequest"]
