"""Parts of the test server's bucket, and objects in them."""

from collections.abc import AsyncIterator

from scaibunker.storage.backend import StoreOptions
from scaibunker.storage.objects import ObjectStore
from scaigrid.ids import new_id
from tests.servers import S3Server

MIB = 1024 * 1024


def bucket(server: S3Server, prefix: str = "", **more: object) -> StoreOptions:
    """Options for a part of the server's bucket that no other test uses."""
    return StoreOptions(
        f"s3://{server.BUCKET}/{prefix or new_id('test')}",
        **{
            "endpoint": server.endpoint,
            "access_key_id": server.KEY_ID,
            "secret_access_key": server.SECRET,
            "allow_http": True,
            "part_bytes": 5 * MIB,
            "connect_timeout_s": 2,
            "stall_timeout_s": 10,
            "retries": 3,
            "retry_for_s": 10,
            **more,
        },  # type: ignore[arg-type]
    )


async def content(store: ObjectStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return await joined((await store.read(key, start, end)).chunks)


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def put(store: ObjectStore, key: str, data: bytes = b"x", sha256: str | None = None) -> None:
    async with store.write(key, sha256) as writer:
        await writer.write(data)
