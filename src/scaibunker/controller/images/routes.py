"""`/images`: what bunkers can be made from."""

from scaibunker.controller.images import repository
from scaibunker.controller.images.domain import Image
from scaibunker.controller.images.errors import ImageNotFound
from scaibunker.controller.permissions import Key
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api import images as wire
from scaigrid.db import Database
from scaigrid.http.access import Needs
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.resources import Reach, Relation, Resource
from scaigrid.http.routes import Op, Routes, many, one

IMAGE = Resource(
    "image_id",
    Reach.TENANT,
    ImageNotFound,
    (Relation.SAME_TENANT, Relation.SAME_PARTNER, Relation.FOREIGN, Relation.SHARED),
)


class ImageEndpoints:
    """Reading images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(f"{BASE_PATH}/images", "images", IMAGE)
        readers = Needs(Key.CREATE, Key.IMAGES_MANAGE)
        routes.add("GET", "", self.list_images, access=readers, answers=many(wire.Image))
        routes.add(
            "GET",
            "/{image_id}",
            self.get_image,
            access=readers,
            answers=one(wire.Image),
            errors=[ImageNotFound],
        )
        return routes

    async def list_images(self, op: Op, page: Paged) -> Slice[wire.Image]:
        """List the images that the caller may use: the platform's and its own tenant's."""
        async with self._database.read() as db:
            return (await repository.listing(op, db, page)).map(_view)

    async def get_image(self, op: Op, image_id: str) -> wire.Image:
        """Read one image."""
        async with self._database.read() as db:
            image = await repository.get(op, db, image_id)
        if image is None:
            raise ImageNotFound
        return _view(image)


def _view(image: Image) -> wire.Image:
    return wire.Image(
        id=image.id,
        name=image.name,
        version=image.version,
        scope=image.scope,
        tenant_id=image.tenant_id,
        status=image.status,
        sha256=image.sha256,
        size_bytes=image.size_bytes,
        default_cpu_millicores=image.default_cpu_millicores,
        default_memory_mb=image.default_memory_mb,
        default_disk_mb=image.default_disk_mb,
        created_at=image.created_at,
    )
