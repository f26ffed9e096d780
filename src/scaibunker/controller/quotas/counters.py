"""The counters in Redis. Each call is one atomic script; whoever calls has an answer for the time when
Redis is away (LiveStoreDown), or knows nothing (`hold` answers None)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from scaibunker.controller.quotas import script
from scaibunker.controller.quotas.domain import Amounts, Claim, Resource, exceeded
from scaigrid.live.store import LiveStore, LiveStoreBroken, LiveStoreDown

LOCK_MS = 5_000
"""How long whoever counts anew may be silent before another one begins: less than creates wait for it
(`ledger.RECOUNT_WAIT_S`), so that they need not go on without counters when it has died."""
SCAN_COUNT = 1000
RESIZED_S = 60
"""How long it is remembered that a bunker came to hold more or less: what happens to its row because of that
has happened by then (`ledger.GOOD_FOR_S`)."""


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
        self._resize = register(script.RESIZE)
        self._settle = register(script.SETTLE)
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
        self._resized = live.key("quota", "resized", "")

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

    async def resize(self, claim: Claim, revision: int, *, begin: bool) -> str | None:
        """Have a bunker hold this instead of what it holds, because of what its row is at that revision;
        caps judge what is more. Answers as `hold`; once it was done for a later revision nothing is done.
        Unless it may `begin`, a bunker that holds nothing goes on to. Raises BunkerQuotaExceeded,
        LiveStoreDown."""
        lines = claim.lines()
        keys = [self._epoch, self._stash(claim.bunker_id), f"{self._resized}{claim.bunker_id}"]
        keys += [self.name(bucket, resource) for bucket, resource, _, _ in lines]
        numbers = [revision, RESIZED_S, int(begin)]
        for _, _, amount, cap in lines:
            numbers += (amount, cap.most if cap else -1)
        answer = await self._live.ask(self._resize(keys, numbers))
        if not answer:
            return None
        if answer[0]:
            return str(answer[0])
        bucket, resource, _, cap = lines[int(answer[1]) - 1]
        assert cap is not None  # noqa: S101 - what has no cap is never full
        raise exceeded(bucket, resource, int(answer[2]), int(answer[3]), cap)

    async def settle(
        self, epoch: str, bunker_id: str, stash: Stash, held: Mapping[str, int]
    ) -> bool:
        """Have a bunker that was seen to hold too much of something hold `held`, by the names of counters,
        unless something has happened to it since; returns whether it held more. Raises LiveStoreDown."""
        keys = [self._epoch, self._stash(bunker_id), f"{self._resized}{bunker_id}", *held]
        arguments: list[str | int] = [epoch, str(stash.at), *held.values()]
        return bool(await self._live.ask(self._settle(keys, arguments)))

    async def current(self, buckets: Sequence[str]) -> dict[str, Amounts] | None:
        """What is held of buckets; None if the counters are not whole. Raises LiveStoreDown."""
        names = [self.name(bucket, resource) for bucket in buckets for resource in Resource]
        epoch, *found = await self._live.ask(self._live.client.mget([self._epoch, *names]))
        if epoch is None:
            return None
        values = iter(found)
        return {
            b: {resource: _number(next(values) or "0") for resource in Resource} for b in buckets
        }

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
        names = [name async for name in self._names(self._stashes)]
        return await self.stashes_of([name.removeprefix(self._stashes) for name in names])

    async def stashes_of(self, bunker_ids: Sequence[str]) -> dict[str, Stash]:
        """The same of these, those left out that hold nothing. Raises LiveStoreDown."""
        found: dict[str, Stash] = {}
        for start in range(0, len(bunker_ids), SCAN_COUNT):
            some = bunker_ids[start : start + SCAN_COUNT]
            pipe = self._live.client.pipeline(transaction=False)
            for bunker_id in some:
                pipe.hgetall(self._stash(bunker_id))
            for bunker_id, stash in zip(some, await self._live.ask(pipe.execute()), strict=True):
                if stash:
                    at = _number(stash.pop("at", "0"))
                    counters = {counter: _number(amount) for counter, amount in stash.items()}
                    found[bunker_id] = Stash(counters, at)
        return found

    async def resizing(self, bunker_ids: Sequence[str]) -> set[str]:
        """Those of these bunkers that came to hold more or less a moment ago. Raises LiveStoreDown."""
        names = [f"{self._resized}{bunker_id}" for bunker_id in bunker_ids]
        found = await self._live.ask(self._live.client.mget(names)) if names else []
        return {each for each, revision in zip(bunker_ids, found, strict=True) if revision}

    async def counted(self) -> dict[str, int]:
        """Every counter. Raises LiveStoreDown."""
        names = [name async for name in self._names(self._buckets)]
        found: dict[str, int] = {}
        for start in range(0, len(names), SCAN_COUNT):
            some = names[start : start + SCAN_COUNT]
            values = await self._live.ask(self._live.client.mget(some))
            found |= {
                name: _number(value) for name, value in zip(some, values, strict=True) if value
            }
        return found

    def name(self, bucket: str, resource: Resource) -> str:
        """A counter's name."""
        return f"{self._buckets}{bucket}:{resource.value}"

    def named(self, held: Mapping[str, Amounts]) -> dict[str, int]:
        """What a bunker holds of each bucket, by the names of counters."""
        return {
            self.name(bucket, resource): amount
            for bucket, amounts in held.items()
            for resource, amount in amounts.items()
            if amount
        }

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
            lines = self.named(buckets)
            keys = [guard, self._stash(bunker_id), self._ended, *lines]
            await self._put_back(keys, [value, bunker_id, *lines.values()], client=pipe)
        return [int(answer) for answer in await self._live.ask(pipe.execute())]

    async def _names(self, beginning: str) -> AsyncIterator[str]:
        try:
            async for name in self._live.client.scan_iter(f"{beginning}*", count=SCAN_COUNT):
                yield name
        except (RedisError, OSError, TimeoutError) as error:
            raise LiveStoreDown from error


def _number(value: str) -> int:
    """A number of ours. Raises LiveStoreBroken if it is none."""
    try:
        return int(value)
    except ValueError:
        raise LiveStoreBroken from None
