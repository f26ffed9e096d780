"""The SQL of images. A caller reaches the platform's images and those of its own tenant."""

from sqlalchemy import ColumnElement, RowMapping, insert, or_, select, update

from scaibunker.controller.images.domain import PLATFORM, Image, SeedImage
from scaibunker.controller.images.tables import images
from scaibunker.wire.api.images import ImageStatus
from scaigrid.db import Reader, Writer
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import of_own_tenant_or_shared, of_tenant_or_shared


def _visible(op: Operation) -> ColumnElement[bool]:
    return of_tenant_or_shared(op, images.c.tenant_id, images.c.scope == PLATFORM)


async def listing(op: Operation, db: Reader, page: PageRequest) -> Slice[Image]:
    """Images that the caller may use, newest first."""
    query = newest_first(select(images).where(_visible(op)), images.c.created_at, images.c.id, page)
    rows = await db.rows(query)
    return page.slice([_image(row) for row in rows], lambda i: (i.created_at, i.id))


async def get(op: Operation, db: Reader, image_id: str) -> Image | None:
    """The image of that id."""
    query = select(images).where(images.c.id == image_id, _visible(op))
    row = await db.row(query)
    return _image(row) if row else None


async def resolve(op: Operation, db: Reader, ref: str) -> Image | None:
    """The image that a caller means by an id or a name: of several with that name, one that is
    ready, the tenant's own before the platform's, the newest."""
    usable = of_own_tenant_or_shared(op, images.c.tenant_id, images.c.scope == PLATFORM)
    query = select(images).where(or_(images.c.id == ref, images.c.name == ref), usable)
    found = [_image(row) for row in await db.rows(query)]
    return max(
        found,
        key=lambda i: (
            i.id == ref,
            i.status is ImageStatus.READY,
            i.scope != PLATFORM,
            i.created_at,
            i.id,
        ),
        default=None,
    )


async def seed(op: Operation, db: Writer, image: SeedImage) -> str:
    """Register a platform image, or bring its record up to date; returns its id."""
    values = {
        "status": ImageStatus.READY.value,
        "sha256": image.sha256,
        "size_bytes": image.size_bytes,
        "default_cpu_millicores": image.default_cpu_millicores,
        "default_memory_mb": image.default_memory_mb,
        "default_disk_mb": image.default_disk_mb,
    }
    where = (
        (images.c.owner == PLATFORM)
        & (images.c.name == image.name)
        & (images.c.version == image.version)
        & _visible(op)
    )
    known: str | None = await db.value(select(images.c.id).where(where))
    if known:
        await db.execute(update(images).where(where).values(**values))
        return known
    image_id = new_id("img")
    await db.execute(
        insert(images).values(
            id=image_id,
            owner=PLATFORM,
            name=image.name,
            version=image.version,
            scope=PLATFORM,
            created_at=op.now(),
            **values,
        )
    )
    return image_id


def _image(row: RowMapping) -> Image:
    fields = dict(row)
    del fields["owner"]
    return Image(**{**fields, "status": ImageStatus(row["status"])})
