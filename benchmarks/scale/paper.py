"""What a day's rates would take of the stores and of the controllers: measured costs, multiplied.

A cost is CPU that a process used (`stores`), so that how busy the host was hardly matters; a share is of
one core of this host.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEARTBEAT_S = 10.0


@dataclass(frozen=True)
class Load:
    """What one kind of work comes to at a rate, each second: cores of CPU, and counts."""

    name: str
    rate: float
    statements: float
    transactions: float
    rows_written: float
    redis_commands: float
    controller: float
    mariadb: float
    redis: float


def rates(day: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Of each kind of work, each second: over the whole day, also if the run was ended early, and in its
    busiest quarter of an hour."""
    options, outcome = day["options"], day["outcome"]
    parts = outcome["parts"]
    longest = parts[1]["at"] - parts[0]["at"] if len(parts) > 1 else options["hours"] * 3600
    made = outcome["total"]["made"] / max(1, outcome["total"]["asked"])
    mean = options["bunkers"] / (options["hours"] * 3600)
    seen = max((part["counts"]["asked"] / longest for part in parts), default=0.0)
    peak = max(seen, day["setting"]["peak_rate"])
    beats = {"heartbeat": options["workers"] / HEARTBEAT_S}
    return {
        when: {"create": asked, "start": asked * made, "end": asked * made, **beats}
        for when, asked in (("mean", mean), ("peak", peak))
    }


def loads(day: Mapping[str, Any], stores: Mapping[str, Any], when: str) -> list[Load]:
    """Each kind of work, and their sum."""
    costs = {each["name"]: each for each in stores["costs"]}
    found = [_at(costs[name], rate) for name, rate in rates(day)[when].items()]
    return [*found, _sum(found)]


def _at(cost: Mapping[str, Any], rate: float) -> Load:
    return Load(
        cost["name"],
        rate,
        cost["statements"] * rate,
        cost["transactions"] * rate,
        cost["rows_written"] * rate,
        cost["redis_commands"] * rate,
        cost["controller_ms"] * rate / 1e3,
        cost["mariadb_ms"] * rate / 1e3,
        cost["redis_ms"] * rate / 1e3,
    )


def _sum(loads: Sequence[Load]) -> Load:
    return Load(
        "together",
        sum(each.rate for each in loads),
        sum(each.statements for each in loads),
        sum(each.transactions for each in loads),
        sum(each.rows_written for each in loads),
        sum(each.redis_commands for each in loads),
        sum(each.controller for each in loads),
        sum(each.mariadb for each in loads),
        sum(each.redis for each in loads),
    )
