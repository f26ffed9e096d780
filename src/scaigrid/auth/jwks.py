"""The identity provider's keys, kept as fresh as its key set allows.

They are read every `refresh_s`, and when a token names a key that is not known: so a new key works
at once. However many such tokens come, the set is read once at a time, and then not again for
`PAUSE_S`: what a set that has just been read does not have, does not exist. While it cannot be
read, the keys that were read last go on for `stale_s`; about any other key nothing can be said, and
AuthUnavailable says that.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import aiohttp
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from scaigrid import logs
from scaigrid.auth import jwk
from scaigrid.clock import Clock
from scaigrid.errors import AuthUnavailable
from scaigrid.settings import JwtSettings

log = structlog.get_logger(__name__)

PAUSE_S = 5.0
"""Between two readings that tokens cause, and after one that has failed."""
READING = "reading the identity provider's keys"
_CHUNK = 64 * 1024


class KeySet:
    """The keys of one provider. `run` reads them on schedule."""

    def __init__(
        self, url: str, clock: Clock, *, refresh_s: float, stale_s: float, timeout_s: float
    ) -> None:
        self._url = url
        self._clock = clock
        self._refresh_s = refresh_s
        self._stale_s = stale_s
        self._timeout_s = timeout_s
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._failed = True
        self._reading: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> RSAPublicKey | None:
        """The key of that id; None if there is none. Raises AuthUnavailable."""
        found = self._current().get(kid)
        if found is None and self._may_read():
            await self._read_once()
            found = self._current().get(kid)
        if found is None and self._failed:
            raise AuthUnavailable(retry_after=PAUSE_S)
        return found

    async def run(self) -> None:
        """Read the keys now and on schedule, until cancelled."""
        logs.of_system("jwks")
        try:
            while True:
                await self._read_once()
                await asyncio.sleep(
                    min(self._refresh_s, PAUSE_S) if self._failed else self._refresh_s
                )
        finally:
            if self._reading is not None:
                self._reading.cancel()

    @property
    def is_readable(self) -> bool:
        """Whether the set was read when that was tried last."""
        return not self._failed

    def _current(self) -> Mapping[str, RSAPublicKey]:
        """The keys that are good now."""
        if self._read_at is None or self._clock.monotonic() - self._read_at > self._stale_s:
            return {}
        return self._keys

    def _may_read(self) -> bool:
        if self._reading is not None and not self._reading.done():
            return True  # it is waited for
        return self._tried_at is None or self._clock.monotonic() - self._tried_at >= PAUSE_S

    async def _read_once(self) -> None:
        """Read the set, or wait for the reading that is under way, which goes on if the one who
        waits goes away."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name=READING)
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        logs.of_system("jwks")
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                content = await _content(self._url)
            keys = jwk.parse(content)
        except Exception as error:
            # Whatever it is, nothing can be said of a token whose key is not known.
            self._failed = True
            why = str(error) if isinstance(error, jwk.BadKeySet) else type(error).__name__
            log.warning("the identity provider's keys cannot be read", error=why)
        else:
            if set(keys) != set(self._keys):
                log.info("the identity provider's keys have changed", keys=sorted(keys))
            self._keys, self._read_at, self._failed = keys, begun, False
        finally:
            self._tried_at = self._clock.monotonic()


def key_set(settings: JwtSettings, clock: Clock) -> KeySet | None:
    """The configured one."""
    if settings.jwks_url is None:
        return None
    return KeySet(
        settings.jwks_url,
        clock,
        refresh_s=settings.refresh_s,
        stale_s=settings.stale_s,
        timeout_s=settings.timeout_s,
    )


async def _content(url: str) -> bytes:
    """What is there, of bounded size. Raises BadKeySet, OSError, aiohttp.ClientError."""
    if urlsplit(url).scheme == "file":
        return await asyncio.to_thread(_of_file, Path(url2pathname(urlsplit(url).path)))
    async with (
        # Sizes are those on the wire: what comes compressed all the same is not JSON.
        aiohttp.ClientSession(
            auto_decompress=False, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session,
        session.get(
            url,
            allow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        ) as response,
    ):
        if response.status != 200:
            raise jwk.BadKeySet(f"the status is {response.status}")
        content = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            content += chunk
            if len(content) > jwk.MAX_BYTES:
                break
        return bytes(content)


def _of_file(path: Path) -> bytes:
    if not path.is_file():  # opening a pipe would wait for ever
        raise jwk.BadKeySet("there is no such file")
    with path.open("rb") as file:
        return file.read(jwk.MAX_BYTES + 1)
