"""Rate limits."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from scaigrid.settings.base import Section

Requests = Annotated[int, Field(ge=0, le=1_000_000_000)]


class RateLimitSettings(Section):
    """How many requests are served in a window of time; 0 is without a limit."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_RATE_LIMIT_")

    window_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    """Length of the window, in seconds. It slides: at any moment, the last so many count."""

    per_key: Requests = 120_000
    """Requests with one API key, or with the tokens of one subject."""

    per_user: Requests = 120_000
    """Requests of one user, with whichever credential."""

    per_tenant: Requests = 600_000
    """Requests of all users of one tenant."""

    per_partner: Requests = 0
    """Requests of all tenants of one partner."""

    failures_per_address: Requests = 3000
    """Requests from one client address (IPv6: one /64 network) without a good credential. Beyond
    them, a credential that was not good before is refused without being looked at. Callers behind
    a proxy share its address, unless it is among `SCAIGRID_HTTP_TRUSTED_PROXIES`. It spares the database: a
    credential is too long to be guessed at any rate."""
