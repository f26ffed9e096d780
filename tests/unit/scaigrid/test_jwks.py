"""When the provider's keys are read, and what holds while they cannot be."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scaigrid.auth.jwks import PAUSE_S, READING, KeySet
from scaigrid.errors import AuthUnavailable
from tests import identity_provider
from tests.identity_provider import KeyServer, Signer, key_server
from tests.waiting import until

OLD, NEW = Signer("old"), Signer("new")
STALE_S = 600.0


class StillClock:
    """Time goes on when the test says so."""

    def __init__(self) -> None:
        self.passed = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.passed, UTC)

    def monotonic(self) -> float:
        return self.passed


Make = Callable[..., KeySet]


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server() as made:
        made.publish(OLD)
        yield made


@pytest.fixture
def keys(server: KeyServer, clock: StillClock) -> KeySet:
    return KeySet(server.url, clock, refresh_s=60, stale_s=STALE_S, timeout_s=10)


async def unavailable(keys: KeySet, kid: str) -> None:
    with pytest.raises(AuthUnavailable) as caught:
        await keys.key(kid)
    assert caught.value.retry_after == PAUSE_S


async def test_a_key_is_read_when_it_is_first_needed(keys: KeySet, server: KeyServer) -> None:
    assert not keys.is_readable
    for _ in range(3):
        assert await keys.key("old") == OLD.private.public_key()
    assert server.fetches == 1
    assert keys.is_readable


async def test_a_new_key_is_read_as_soon_as_a_token_names_it(
    keys: KeySet, server: KeyServer, clock: StillClock
) -> None:
    assert await keys.key("old")
    server.publish(OLD, NEW)
    clock.passed += PAUSE_S
    assert await keys.key("new") == NEW.private.public_key()
    assert server.fetches == 2


async def test_made_up_ids_do_not_flood_the_provider(
    keys: KeySet, server: KeyServer, clock: StillClock
) -> None:
    server.go_on.clear()
    asked = [asyncio.create_task(keys.key(f"random-{n}")) for n in range(50)]
    await until(lambda: server.fetches > 0)
    server.go_on.set()
    assert await asyncio.gather(*asked) == [None] * 50
    assert [await keys.key(f"more-{n}") for n in range(50)] == [None] * 50
    assert server.fetches == 1
    clock.passed += PAUSE_S
    assert await asyncio.gather(*(keys.key(f"later-{n}") for n in range(50))) == [None] * 50
    assert server.fetches == 2


async def test_one_who_goes_away_takes_nobody_with_him(keys: KeySet, server: KeyServer) -> None:
    server.go_on.clear()
    first, second = (asyncio.create_task(keys.key("old")) for _ in range(2))
    await until(lambda: server.fetches == 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.go_on.set()
    assert await second == OLD.private.public_key()
    assert server.fetches == 1


async def test_keys_go_on_while_the_set_cannot_be_read_but_not_for_ever(
    keys: KeySet, server: KeyServer, clock: StillClock
) -> None:
    assert await keys.key("old")
    server.status = 500
    clock.passed += STALE_S
    await unavailable(keys, "new")
    assert not keys.is_readable
    assert await keys.key("old")
    fetches = server.fetches
    await unavailable(keys, "new")  # the provider is left alone for a moment
    assert server.fetches == fetches
    clock.passed += 1
    await unavailable(keys, "old")
    server.status = 200
    clock.passed += PAUSE_S
    assert await keys.key("old")


async def test_a_hung_provider_is_waited_for_no_longer_than_said(
    server: KeyServer, clock: StillClock
) -> None:
    server.go_on.clear()
    keys = KeySet(server.url, clock, refresh_s=60, stale_s=STALE_S, timeout_s=0.05)
    await unavailable(keys, "old")


async def test_the_schedule_takes_removed_keys_away_and_brings_new_ones(
    server: KeyServer, clock: StillClock
) -> None:
    keys = KeySet(server.url, clock, refresh_s=0.01, stale_s=STALE_S, timeout_s=10)
    running = asyncio.create_task(keys.run())
    try:
        await until(lambda: keys.is_readable)
        assert await keys.key("old")
        server.publish(NEW)
        seen = server.fetches
        await until(lambda: server.fetches >= seen + 3)
        assert await keys.key("old") is None
        assert await keys.key("new")
        server.status = 503
        await until(lambda: not keys.is_readable)
        server.status = 200
        await until(lambda: keys.is_readable)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_end_in_mid_reading_leaves_nothing_running(
    keys: KeySet, server: KeyServer
) -> None:
    server.go_on.clear()
    running = asyncio.create_task(keys.run())
    await until(lambda: server.fetches == 1)
    assert READING in {task.get_name() for task in asyncio.all_tasks()}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await until(lambda: READING not in {task.get_name() for task in asyncio.all_tasks()})


def _redirect(server: KeyServer) -> None:
    server.status, server.headers = 302, {"Location": "/elsewhere"}


def _too_large(server: KeyServer) -> None:
    server.content += b" " * 256 * 1024


def _compressed(server: KeyServer) -> None:
    server.content = gzip.compress(server.content)
    server.headers = {"Content-Encoding": "gzip"}


def _nonsense(server: KeyServer) -> None:
    server.content = b"<html>"


@pytest.mark.parametrize("break_it", [_redirect, _too_large, _compressed, _nonsense])
async def test_answers_that_are_no_key_set(
    keys: KeySet, server: KeyServer, break_it: Callable[[KeyServer], None]
) -> None:
    break_it(server)
    await unavailable(keys, "old")
    assert server.fetches == 1


async def test_a_set_in_a_file(tmp_path: Path, clock: StillClock) -> None:
    file = tmp_path / "set of keys.json"
    keys = KeySet(file.as_uri(), clock, refresh_s=60, stale_s=STALE_S, timeout_s=10)
    await unavailable(keys, "old")
    file.write_bytes(identity_provider.key_set([OLD.jwk()]))
    clock.passed += PAUSE_S
    assert await keys.key("old")
    folder = KeySet(tmp_path.as_uri(), clock, refresh_s=60, stale_s=STALE_S, timeout_s=10)
    await unavailable(folder, "old")


async def test_nobody_is_there(clock: StillClock) -> None:
    keys = KeySet("http://127.0.0.1:1/", clock, refresh_s=60, stale_s=STALE_S, timeout_s=10)
    await unavailable(keys, "old")
