"""When a bunker is to be passivated. Pure."""

from datetime import datetime, timedelta

from scaibunker.controller.bunkers.domain import Bunker, Desired

QUIET = timedelta(seconds=2)
"""One that must sleep soon is in use if it was used so lately."""


def why_asleep(
    b: Bunker, now: datetime, last_used: datetime, emptied_since: datetime | None, patience_s: float
) -> str | None:
    """Why a bunker that is awake should sleep now, or None.

    `emptied_since`: since when its worker is to be empty. What must sleep whether or not it is idle, is
    given `patience_s` seconds to become quiet.
    """
    if not b.is_movable or b.is_asleep or b.desired is Desired.TERMINATED:
        return None
    if b.passivate_after is not None and now < b.passivate_after:
        return None
    idle_s = b.limits.idle_timeout_s
    if idle_s is not None and now >= last_used + timedelta(seconds=idle_s):
        return f"it was idle for {idle_s} s"
    quiet = now >= last_used + QUIET
    for since, why in (
        (emptied_since, "its worker is being emptied"),
        (b.expires_at, f"it was awake for {b.limits.max_lifetime_s} s"),
    ):
        if since is None or now < since:
            continue
        if quiet or now >= since + timedelta(seconds=patience_s):
            return why
    return None


def may_stay_awake(b: Bunker, now: datetime, emptied_since: datetime | None) -> bool:
    """Whether one that is on its way to sleep may be used where it is: there is nothing but that it was
    idle."""
    return emptied_since is None and (b.expires_at is None or now < b.expires_at)
