"""What is counted of quotas, and profiles as they lie in the database."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import httpx
from sqlalchemy import insert

from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.domain import Resource, claim, user_bucket
from scaibunker.controller.quotas.tables import quota_assignments, quota_profiles
from scaigrid.ids import new_id
from scaigrid.operation import system_operation
from tests.integration.stack import Stack

SMALL = {"image": "debian-12", "memory_mb": 64, "cpu_millicores": 100, "disk_mb": 64}


class Books:
    """What is counted, and profiles as they lie in the database."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.op = system_operation("tests", stack.grid.clock)
        self.counters = Counters(stack.grid.live)

    async def me(self, who: str = "user") -> dict[str, Any]:
        found: dict[str, Any] = await self.stack.data_of("GET", "/v1/me", who)
        return found

    async def profile(self, tenant_id: str | None = None, **caps: int) -> str:
        profile_id = new_id("qpf")
        values: dict[str, Any] = {
            "id": profile_id,
            "owner": tenant_id or "",
            "tenant_id": tenant_id,
            "name": profile_id,
            "description": "",
            "created_at": self.op.now(),
        }
        async with self.stack.grid.database.write() as db:
            await db.execute(insert(quota_profiles).values(**values, **caps))
        return profile_id

    async def assign(self, profile_id: str, kind: str, target_id: str, mode: str) -> None:
        tenant_id = (await self.me())["tenant_id"]
        async with self.stack.grid.database.write() as db:
            await db.execute(
                insert(quota_assignments).values(
                    id=new_id("qas"),
                    tenant_id=tenant_id,
                    profile_id=profile_id,
                    target_kind=kind,
                    target_id=target_id,
                    mode=mode,
                    created_at=self.op.now(),
                )
            )

    async def cap(self, **caps: int) -> str:
        """Caps of the user alone; returns its bucket."""
        me = await self.me()
        profile = await self.profile(me["tenant_id"], **caps)
        await self.assign(profile, "user", me["user_id"], "individual")
        return user_bucket(me["user_id"])

    async def group(self, name: str, parent_id: str | None = None, *members: str) -> str:
        body = {"name": name, **({"parent_id": parent_id} if parent_id else {})}
        made = await self.stack.data_of("POST", "/v1/groups", "tenant_admin", json=body)
        for member in members:
            path = f"/v1/groups/{made['id']}/members/{member}"
            await self.stack.data_of("PUT", path, "tenant_admin")
        return str(made["id"])

    async def counted(self, bucket: str, resource: Resource = Resource.CONCURRENT_BUNKERS) -> int:
        found = await self.counters.current([bucket])
        assert found is not None
        return found[bucket].get(resource, 0)

    async def hold(self, bunker_id: str) -> str:
        """Have a bunker of the user's counted, and nothing more; returns its bucket."""
        user_id = (await self.me())["user_id"]
        wanted = claim(bunker_id, user_id, {Resource.CONCURRENT_BUNKERS: 1}, [])
        assert await self.counters.hold(wanted)
        return user_bucket(user_id)

    async def mended(self, kind: str) -> float:
        """How much of that kind was found to have come apart, and mended."""
        text = (await self.stack.call("GET", "/metrics", "super_admin")).text
        wanted = f'quota_drift_total{{kind="{kind}"}}'
        return sum(float(line.split()[-1]) for line in text.splitlines() if wanted in line)

    async def agrees(self) -> bool:
        """Whether they do just now: while counters are made anew they do not."""
        try:
            await self.agree()
        except AssertionError:
            return False
        return True

    async def agree(self) -> None:
        """Counters, stashes and rows say the same."""
        async with self.stack.grid.database.read() as db:
            rows = await holds.page(self.op, db, "", 10_000)
        expected: Counter[str] = Counter()
        stashed = {}
        for bunker_id, buckets in rows.items():
            mine = stashed[bunker_id] = {
                self.counters.name(bucket, resource): amount
                for bucket, amounts in buckets.items()
                for resource, amount in amounts.items()
            }
            expected.update(mine)
        assert await self.counters.counted() == expected
        assert {k: s.counters for k, s in (await self.counters.stashes()).items()} == stashed

    async def wipe(self) -> None:
        """Forget all that Redis holds of this test's, at once."""
        forget = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end"
        await self.stack.grid.live.client.eval(forget, 0, self.stack.grid.live.key("*"))


async def attempt(stack: Stack, who: str = "user", **more: Any) -> httpx.Response:
    return await stack.call("POST", "/bunkers", who, json={**SMALL, **more})


async def codes_of(attempts: list[Awaitable[httpx.Response]]) -> Counter[int]:
    return Counter(answer.status_code for answer in await asyncio.gather(*attempts))


async def end(stack: Stack, bunker_id: str) -> None:
    await stack.data_of("DELETE", f"/bunkers/{bunker_id}")
