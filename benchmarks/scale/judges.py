"""Who judges quotas: the product's counters in Redis, or a model of them in memory.

Creates of one second are judged together, as those of concurrent callers are: one pipeline instead of a
round trip each, so that a day is over in minutes. Each of them still is the product's own script.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis

from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.domain import Claim, Resource, exceeded
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaigrid.live.store import LiveStore
from scaigrid.settings import RedisSettings

EPOCH = "simulated"
Asked = Claim | str
"""A bunker that is to be held, or the id of one that is to be let go."""


class Judge(Protocol):
    """Holds and lets go."""

    async def judge(self, asked: Sequence[Asked]) -> list[BunkerQuotaExceeded | None]:
        """For each in turn why it is refused, or None."""

    async def counted(self) -> dict[str, int]:
        """Every counter that is not 0: `{bucket}:{resource}`."""


class InMemory:
    """The same rules without Redis."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, Resource], int] = {}
        self._held: dict[str, list[tuple[tuple[str, Resource], int]]] = {}

    async def judge(self, asked: Sequence[Asked]) -> list[BunkerQuotaExceeded | None]:
        return [self._one(each) for each in asked]

    async def counted(self) -> dict[str, int]:
        return {f"{bucket}:{of.value}": n for (bucket, of), n in self._counters.items() if n}

    def _one(self, asked: Asked) -> BunkerQuotaExceeded | None:
        if isinstance(asked, str):
            for counter, amount in self._held.pop(asked, []):
                self._counters[counter] -= amount
            return None
        lines = asked.lines()
        for bucket, resource, amount, cap in lines:
            current = self._counters.get((bucket, resource), 0)
            if cap is not None and current + amount > cap.most:
                return exceeded(bucket, resource, current, amount, cap)
        held = [((bucket, resource), amount) for bucket, resource, amount, _ in lines]
        for counter, amount in held:
            self._counters[counter] = self._counters.get(counter, 0) + amount
        self._held[asked.bunker_id] = held
        return None


class InRedis:
    """`quotas.counters` on a real Redis."""

    def __init__(self, url: str) -> None:
        settings = RedisSettings(url=url, prefix="simulated", timeout_s=30)
        self._direct = LiveStore(settings)
        self._store = _Pipelined(settings)
        self._counters = Counters(self._store)

    async def begin(self) -> None:
        """Have the counters count."""
        direct = Counters(self._direct)
        assert await direct.begin(EPOCH)
        assert await direct.finish(EPOCH, EPOCH)

    async def judge(self, asked: Sequence[Asked]) -> list[BunkerQuotaExceeded | None]:
        if not asked:
            return []
        calls = [asyncio.ensure_future(self._one(each)) for each in asked]
        await asyncio.sleep(0)  # each of them has come to the point where it waits for Redis
        await self._store.send()
        return list(await asyncio.gather(*calls))

    async def counted(self) -> dict[str, int]:
        found = await Counters(self._direct).counted()
        beginning = self._direct.key("quota", "bucket", "")
        return {name.removeprefix(beginning): count for name, count in found.items()}

    async def said(self) -> dict[str, Any]:
        """What Redis says of its work, by section."""
        sections = ("commandstats", "stats", "cpu", "memory")
        return {each: await self._direct.client.info(each) for each in sections}

    async def close(self) -> None:
        """Close the connections."""
        await self._direct.close()
        await self._store.close()

    async def _one(self, asked: Asked) -> BunkerQuotaExceeded | None:
        if isinstance(asked, str):
            await self._counters.let_go(asked)
            return None
        try:
            assert await self._counters.hold(asked) == EPOCH
        except BunkerQuotaExceeded as error:
            return error
        return None


class _Pipelined(LiveStore):
    """A live store whose scripts are sent together."""

    def __init__(self, settings: RedisSettings) -> None:
        super().__init__(settings)
        self._real: Redis = self.client
        self._waiting: list[tuple[_Script, Sequence[Any], Sequence[Any], asyncio.Future[Any]]] = []
        self.client = _Client(self)  # type: ignore[assignment]

    def later(self, script: "_Script", keys: Sequence[Any], args: Sequence[Any]) -> Awaitable[Any]:
        """The answer of a script that runs with the next ones that are sent."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((script, keys, args, answer))
        return answer

    async def send(self) -> None:
        """Run what waits, in order."""
        waiting, self._waiting = self._waiting, []
        pipe = self._real.pipeline(transaction=False)
        for script, keys, args, _ in waiting:
            if script.sha is None:
                script.sha = str(await self._real.script_load(script.text))
            pipe.evalsha(script.sha, len(keys), *keys, *args)
        for (*_, answer), value in zip(waiting, await pipe.execute(), strict=True):
            answer.set_result(value)

    async def close(self) -> None:
        await self._real.aclose()
        await self._pool.disconnect()


class _Client:
    """What `Counters` needs of a client while it holds and lets go."""

    def __init__(self, store: _Pipelined) -> None:
        self._store = store

    def register_script(self, text: str) -> "_Script":
        return _Script(self._store, text)


class _Script:
    def __init__(self, store: _Pipelined, text: str) -> None:
        self._store = store
        self.text = text
        self.sha: str | None = None

    def __call__(self, keys: Sequence[Any], args: Sequence[Any]) -> Awaitable[Any]:
        return self._store.later(self, keys, args)


class CapBroken(Exception):
    """More is held of a bucket than a cap allows, or less than nothing."""


class Witness:
    """Keeps its own account of what is held, and looks at each step whether it is within the caps."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, Resource], int] = {}
        self._held: dict[str, Claim] = {}

    def held(self, claim: Claim) -> None:
        """A claim was granted."""
        for bucket, resource, amount, cap in claim.lines():
            now = self._sums.get((bucket, resource), 0) + amount
            self._sums[bucket, resource] = now
            if cap is not None and now > cap.most:
                raise CapBroken(f"{bucket} has {now} {resource.value} of {cap.most}")
        self._held[claim.bunker_id] = claim

    def let_go(self, bunker_id: str) -> None:
        """What a bunker held is given back, if it still held anything."""
        claim = self._held.pop(bunker_id, None)
        for bucket, resource, amount, _ in claim.lines() if claim else ():
            self._sums[bucket, resource] -= amount

    @property
    def sums(self) -> Mapping[str, int]:
        """What is held: `{bucket}:{resource}`."""
        return {f"{bucket}:{of.value}": n for (bucket, of), n in self._sums.items() if n}
