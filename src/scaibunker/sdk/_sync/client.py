# Generated from _async/client.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""The client: one object per endpoint and key, from which everything else is reached."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from scaibunker.sdk import _calls
from scaibunker.sdk._sync.api_keys import ApiKeys
from scaibunker.sdk._sync.audit import AuditLog
from scaibunker.sdk._sync.bridges import Bridges
from scaibunker.sdk._sync.bunkers import Bunkers
from scaibunker.sdk._sync.execs import Execs
from scaibunker.sdk._sync.files import Files
from scaibunker.sdk._sync.flows import Flows
from scaibunker.sdk._sync.images import Images
from scaibunker.sdk._sync.quotas import Quotas
from scaibunker.sdk._sync.snapshots import Snapshots
from scaibunker.sdk._sync.transport import Transport
from scaibunker.sdk._sync.workers import Workers
from scaibunker.sdk.config import Endpoint, Timeouts, load_profile, resolve
from scaibunker.sdk.retries import RetryPolicy
from scaibunker.wire.api.identity import Me


class Client:
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
        http_transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(
            Endpoint(base_url, api_key),
            timeouts=timeouts or Timeouts(),
            retries=retries or RetryPolicy(),
            http_transport=http_transport,
        )
        self.bunkers = Bunkers(self._transport)
        self.snapshots = Snapshots(self._transport)
        self.bridges = Bridges(self._transport)
        self.images = Images(self._transport)
        self.workers = Workers(self._transport)
        self.quotas = Quotas(self._transport)
        self.api_keys = ApiKeys(self._transport)
        self.audit = AuditLog(self._transport)
        self.flows = Flows(self._transport)

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

    def me(self) -> Me:
        """Who the key belongs to, and what it may do."""
        return self._transport.record(_calls.get("/v1/me"), Me)

    def execs(self, bunker_id: str) -> Execs:
        """The commands of a bunker, by its id alone: no request is made."""
        return Execs(self._transport, bunker_id)

    def files(self, bunker_id: str) -> Files:
        """The files of a bunker, by its id alone: no request is made."""
        return Files(self._transport, bunker_id)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"
