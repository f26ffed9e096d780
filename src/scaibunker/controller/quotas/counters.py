"""The counters in Redis. Each call is one atomic script; whoever calls has an answer for the time when
Redis is away (LiveStoreDown), or knows nothing (`hold` answers None)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from scaibunker.controller.quotas import script
from scaibunker.controller.quotas.domain import Amounts, Claim, Resource, exceeded
from scaigrid.live.store import LiveStore, LiveStoreDown

LOCK_MS = 60_000
"""How long whoever counts anew may be silent before another one begins."""
SCAN_COUNT = 1000


@dataclass(frozen=True, slots=True)
class Stash:
    """What Redis says that a bunker holds: counters with how much of each."""

    counters: Mapping[str, int]
    at: int


class Counters:
    """Names, scripts and their answers."""

    def __init__(self, live: LiveStore) -> None:
        self._live = live
        register = live.client.register_script
        self._hold = register(script.HOLD)
        self._let_go = register(script.LET_GO)
        self._clear = register(script.CLEAR)
        self._put_back = register(script.PUT_BACK)
        self._go_on = register(script.GO_ON)
        self._finish = register(script.FINISH)
        self._distrust = register(script.DISTRUST)
        self._epoch = live.key("quota", "epoch")
        self._ended = live.key("quota", "ended")
        self._lock = live.key("quota", "rebuild")
        self._buckets = live.key("quota", "bucket", "")
        self._stashes = live.key("quota", "bunker", "")

    async def hold(self, claim: Claim) -> str | None:
        """Count a bunker in all of its buckets, or in none. Returns the epoch in which that counts;
        None if the counters are not whole. Doing it twice counts once. Raises BunkerQuotaExceeded,
        LiveStoreDown."""
        lines = claim.lines()
        keys = [self._epoch, self._stash(claim.bunker_id)]
        keys += [self.name(bucket, resource) for bucket, resource, _, _ in lines]
        numbers: list[int] = []
        for _, _, amount, cap in lines:
            numbers += (amount, cap.most if cap else -1)
        answer = await self._live.ask(self._hold(keys, numbers))
        if not answer:
            return None
        if answer[0]:
            return str(answer[0])
        bucket, resource, amount, cap = lines[int(answer[1]) - 1]
        assert cap is not None  # noqa: S101 - what has no cap is never full
        raise exceeded(bucket, resource, int(answer[2]), amount, cap)

    async def let_go(self, bunker_id: str, older_than_s: int = 0) -> bool:
        """Give back what a bunker holds; returns whether it held anything. Raises LiveStoreDown."""
        keys = [self._epoch, self._stash(bunker_id), self._ended]
        return bool(await self._live.ask(self._let_go(keys, [bunker_id, older_than_s])))

    async def current(self, buckets: Sequence[str]) -> dict[str, Amounts] | None:
        """What is held of buckets; None if the counters are not whole. Raises LiveStoreDown."""
        names = [self.name(bucket, resource) for bucket in buckets for resource in Resource]
        epoch, *found = await self._live.ask(self._live.client.mget([self._epoch, *names]))
        if epoch is None:
            return None
        values = iter(found)
        return {b: {resource: int(next(values) or 0) for resource in Resource} for b in buckets}

    async def epoch(self) -> str | None:
        """Which counters these are; None if they are not whole. Raises LiveStoreDown."""
        found: str | None = await self._live.ask(self._live.client.get(self._epoch))
        return found

    async def distrust(self, epoch: str) -> None:
        """Counters of that epoch do not count. Raises LiveStoreDown."""
        await self._live.ask(self._distrust([self._epoch], [epoch]))

    async def begin(self, token: str) -> bool:
        """Become the one who counts anew; nothing is held meanwhile. Raises LiveStoreDown."""
        client = self._live.client
        if not await self._live.ask(client.set(self._lock, token, nx=True, px=LOCK_MS)):
            return False
        if not await self._forget(token, []):
            return False
        for beginning in (self._buckets, self._stashes):
            names = [name async for name in self._names(beginning)]
            for start in range(0, len(names), SCAN_COUNT):
                if not await self._forget(token, names[start : start + SCAN_COUNT]):
                    return False
        return True

    async def put_back(self, token: str, held: Mapping[str, Mapping[str, Amounts]]) -> bool:
        """Count bunkers that hold this, as the one who counts anew. False if it is another by now.
        Raises LiveStoreDown."""
        answers = await self._put(self._lock, token, held)
        alive = await self._live.ask(self._go_on([self._lock], [token, LOCK_MS]))
        return bool(alive) and -1 not in answers

    async def add_missing(self, epoch: str, held: Mapping[str, Mapping[str, Amounts]]) -> int:
        """Count bunkers that are not counted, in whole counters; returns how many there were. Raises
        LiveStoreDown."""
        return (await self._put(self._epoch, epoch, held)).count(1)

    async def finish(self, token: str, epoch: str) -> bool:
        """From now on the counters count. False if another one counts anew. Raises LiveStoreDown."""
        keys = [self._lock, self._epoch, self._ended]
        return bool(await self._live.ask(self._finish(keys, [token, epoch])))

    async def stashes(self) -> dict[str, Stash]:
        """What each bunker holds, as far as Redis knows. Raises LiveStoreDown."""
        found: dict[str, Stash] = {}
        names = [name async for name in self._names(self._stashes)]
        for start in range(0, len(names), SCAN_COUNT):
            some = names[start : start + SCAN_COUNT]
            pipe = self._live.client.pipeline(transaction=False)
            for name in some:
                pipe.hgetall(name)
            for name, stash in zip(some, await self._live.ask(pipe.execute()), strict=True):
                if stash:
                    at = int(stash.pop("at", 0))
                    counters = {counter: int(amount) for counter, amount in stash.items()}
                    found[name.removeprefix(self._stashes)] = Stash(counters, at)
        return found

    async def counted(self) -> dict[str, int]:
        """Every counter. Raises LiveStoreDown."""
        names = [name async for name in self._names(self._buckets)]
        found: dict[str, int] = {}
        for start in range(0, len(names), SCAN_COUNT):
            some = names[start : start + SCAN_COUNT]
            values = await self._live.ask(self._live.client.mget(some))
            found |= {name: int(value) for name, value in zip(some, values, strict=True) if value}
        return found

    def name(self, bucket: str, resource: Resource) -> str:
        """A counter's name."""
        return f"{self._buckets}{bucket}:{resource.value}"

    def _stash(self, bunker_id: str) -> str:
        return f"{self._stashes}{bunker_id}"

    async def _forget(self, token: str, names: list[str]) -> bool:
        """Only while we are the one who counts anew: another one's counters are not ours to clear."""
        keys = [self._lock, self._epoch, *names]
        return bool(await self._live.ask(self._clear(keys, [token, LOCK_MS])))

    async def _put(
        self, guard: str, value: str, held: Mapping[str, Mapping[str, Amounts]]
    ) -> list[int]:
        if not held:
            return []
        pipe = self._live.client.pipeline(transaction=False)
        for bunker_id, buckets in held.items():
            lines = [
                (self.name(bucket, resource), amount)
                for bucket, amounts in buckets.items()
                for resource, amount in amounts.items()
                if amount
            ]
            keys = [guard, self._stash(bunker_id), self._ended, *(name for name, _ in lines)]
            await self._put_back(keys, [value, bunker_id, *(n for _, n in lines)], client=pipe)
        return [int(answer) for answer in await self._live.ask(pipe.execute())]

    async def _names(self, beginning: str) -> AsyncIterator[str]:
        try:
            async for name in self._live.client.scan_iter(f"{beginning}*", count=SCAN_COUNT):
                yield name
        except (RedisError, OSError, TimeoutError) as error:
            raise LiveStoreDown from error
