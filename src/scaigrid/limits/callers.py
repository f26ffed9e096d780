"""Known callers: each request counts for the key, the user, the tenant and the partner."""

from scaigrid.limits.domain import Judgement, Window
from scaigrid.limits.windows import Windows
from scaigrid.operation import Caller
from scaigrid.settings.rate_limits import RateLimitSettings


class Callers:
    """Judges their requests."""

    def __init__(self, windows: Windows, settings: RateLimitSettings) -> None:
        self._windows = windows
        self._settings = settings

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
