"""Who is limited by what."""

import math
import time
from collections import OrderedDict

from scaigrid.errors import RateLimited
from scaigrid.limits.domain import Judgement, Window
from scaigrid.limits.windows import Windows
from scaigrid.live.store import LiveStore
from scaigrid.operation import Caller
from scaigrid.settings.rate_limits import RateLimitSettings

MAX_BLOCKED = 10_000
"""Sources that are remembered as blocked."""


class RateLimits:
    """Judges the requests of known callers, and the failures of unknown ones."""

    def __init__(self, live: LiveStore, settings: RateLimitSettings) -> None:
        self._settings = settings
        self._windows = Windows(live, settings.window_s)
        self._blocked: OrderedDict[str, float] = OrderedDict()

    async def judge(self, caller: Caller) -> Judgement | None:
        """Count a request of the caller; None if nothing limits it now."""
        settings = self._settings
        windows = [
            Window("key", caller.credential_id, settings.per_key),
            Window("user", caller.user_id, settings.per_user),
            Window("tenant", caller.tenant_id, settings.per_tenant),
        ]
        if caller.partner_id is not None:
            windows.append(Window("partner", caller.partner_id, settings.per_partner))
        return await self._windows.take(windows)

    def check(self, source: str) -> None:
        """Raise RateLimited if so many failures came from there that no more is looked at."""
        until = self._blocked.get(source)
        if until is None:
            return
        if until <= time.monotonic():
            del self._blocked[source]
            return
        raise _guessing(until - time.monotonic())

    async def fail(self, source: str) -> None:
        """Count a request from there without a good credential. Raises RateLimited."""
        limit = self._settings.failures_per_address
        judgement = await self._windows.take([Window("address", source, limit)])
        if judgement is None or not judgement.is_refused:
            return
        self._blocked[source] = time.monotonic() + judgement.reset_s
        self._blocked.move_to_end(source)
        while len(self._blocked) > MAX_BLOCKED:
            self._blocked.popitem(last=False)
        raise _guessing(judgement.reset_s)


def _guessing(wait_s: float) -> RateLimited:
    return RateLimited(
        "Too many requests without a good credential come from this address.",
        retry_after=max(1, math.ceil(wait_s)),
    )
