"""The client: one object per endpoint and key, from which everything else is reached."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from scaibunker.sdk import _calls
from scaibunker.sdk._async.api_keys import AsyncApiKeys
from scaibunker.sdk._async.audit import AsyncAuditLog
from scaibunker.sdk._async.bridges import AsyncBridges
from scaibunker.sdk._async.bunkers import AsyncBunkers
from scaibunker.sdk._async.execs import AsyncExecs
from scaibunker.sdk._async.files import AsyncFiles
from scaibunker.sdk._async.flows import AsyncFlows
from scaibunker.sdk._async.images import AsyncImages
from scaibunker.sdk._async.quotas import AsyncQuotas
from scaibunker.sdk._async.snapshots import AsyncSnapshots
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._async.workers import AsyncWorkers
from scaibunker.sdk.config import Endpoint, Timeouts, load_profile, resolve
from scaibunker.sdk.retries import RetryPolicy
from scaibunker.wire.api.identity import Me


class AsyncClient:
    """A connection pool to one endpoint, with one key. Close it, or use it in a `with`.

    The blocking one may be shared between threads, the other within one event loop.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = AsyncTransport(
            Endpoint(base_url, api_key),
            timeouts=timeouts or Timeouts(),
            retries=retries or RetryPolicy(),
            http_transport=http_transport,
        )
        self.bunkers = AsyncBunkers(self._transport)
        self.snapshots = AsyncSnapshots(self._transport)
        self.bridges = AsyncBridges(self._transport)
        self.images = AsyncImages(self._transport)
        self.workers = AsyncWorkers(self._transport)
        self.quotas = AsyncQuotas(self._transport)
        self.api_keys = AsyncApiKeys(self._transport)
        self.audit = AsyncAuditLog(self._transport)
        self.flows = AsyncFlows(self._transport)

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
    ) -> Self:
        """A client for `SCAIGRID_HOST` and `SCAIGRID_API_KEY`, else for the profile file.

        Raises `ConfigurationError` that says what is missing.
        """
        found = resolve(environ)
        return cls(found.base_url, found.api_key, timeouts=timeouts, retries=retries)

    @classmethod
    def from_profile(
        cls,
        path: Path | str,
        *,
        identity: str | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
    ) -> Self:
        """A client for a profile file, or for one `identity` of a dev `credentials.json`."""
        found = load_profile(Path(path), identity)
        return cls(found.base_url, found.api_key, timeouts=timeouts, retries=retries)

    @property
    def base_url(self) -> str:
        """The endpoint's address."""
        return self._transport.endpoint.base_url

    async def me(self) -> Me:
        """Who the key belongs to, and what it may do."""
        return await self._transport.record(_calls.get("/v1/me"), Me)

    def execs(self, bunker_id: str) -> AsyncExecs:
        """The commands of a bunker, by its id alone: no request is made."""
        return AsyncExecs(self._transport, bunker_id)

    def files(self, bunker_id: str) -> AsyncFiles:
        """The files of a bunker, by its id alone: no request is made."""
        return AsyncFiles(self._transport, bunker_id)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"
