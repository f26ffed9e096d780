"""All limits of the process, on one connection."""

from scaigrid.limits.callers import Callers
from scaigrid.limits.strangers import Strangers
from scaigrid.limits.windows import Windows
from scaigrid.live.store import LiveStore
from scaigrid.metrics.registry import Metrics
from scaigrid.settings.rate_limits import RateLimitSettings


class RateLimits:
    """Those of known callers, and those of whoever is none."""

    def __init__(self, live: LiveStore, settings: RateLimitSettings, metrics: Metrics) -> None:
        windows = Windows(live, settings.window_s, metrics)
        self.callers = Callers(windows, settings)
        self.strangers = Strangers(windows, settings.failures_per_address)
