"""What can be refused about an image."""

from scaibunker.wire.codes import Code
from scaigrid.errors import GridError, Kind


class ImageNotFound(GridError):
    """There is no such image."""

    kind = Kind.NOT_FOUND
    code = Code.IMAGE_NOT_FOUND
    hint = "`GET /images` lists the images that can be used."


class ImageNotReady(GridError):
    """The image cannot be used now."""

    kind = Kind.CONFLICT
    code = Code.IMAGE_NOT_READY
