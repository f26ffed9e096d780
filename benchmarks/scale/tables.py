"""A run's figures as tables in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.scale import paper


def creates(days: Mapping[str, Mapping[str, Any]]) -> str:
    """What became of the creates, by run."""
    totals = [day["outcome"]["total"] for day in days.values()]
    fates: dict[str, list[int]] = {"made": [each["made"] for each in totals]}
    for why in sorted({why for each in totals for why in each["over_quota"]}):
        counts = [each["over_quota"].get(why, 0) for each in totals]
        fates[f"`BUNKER_QUOTA_EXCEEDED`: {why}"] = counts
    for why in sorted({why for each in totals for why in each["refused"]}):
        code, _, field = why.partition(": ")
        fates[f"`{code}`: {field}"] = [each["refused"].get(why, 0) for each in totals]
    asked = [each["asked"] for each in totals]
    rows = [
        (why, *(f"{n:,} ({n / max(1, of):.2%})" for n, of in zip(counts, asked, strict=True)))
        for why, counts in fates.items()
    ]
    return _table(("creates", *days), [*rows, ("all", *(f"{each:,}" for each in asked))])


def decisions(days: Mapping[str, Mapping[str, Any]]) -> str:
    """How long choosing took, by run."""
    rows = []
    for name, day in days.items():
        for kind in ("placed", "refused"):
            of = day["measured"][kind]
            if of["count"]:
                times = (f"{of[f'{at}_us']:,.0f}" for at in ("mean", "p50", "p90", "p99"))
                rows.append((f"{name}: {kind}", f"{of['count']:,}", f"{of['per_s']:,.0f}", *times))
    return _table(("decisions", "number", "a second", "mean µs", "p50", "p90", "p99"), rows)


def placement(days: Mapping[str, Mapping[str, Any]]) -> str:
    """How bunkers lay at the fullest moment of each run."""
    rows = []
    for name, day in days.items():
        part = max(day["outcome"]["parts"], key=lambda each: float(each["fleet"]["cpu_used"]))
        fleet, total = part["fleet"], day["outcome"]["total"]
        fits, pooled = fleet["fits"]["largest"], max(1, fleet["fits_pooled"]["largest"])
        rows.append(
            (
                name,
                f"{fleet['cpu_used']:.1%}",
                f"{fleet['memory_used']:.1%}",
                f"{fleet['spread']:.3f}",
                f"{most_empty(day):,}",
                f"{fits:,} of {pooled:,}",
                f"{fleet['unusable']:.2%}",
                f"{sum(total['refused'].values()):,}",
                f"{total['refused_pooled']:,}",
            )
        )
    return _table(
        (
            "run",
            "CPU used",
            "memory used",
            "std. deviation",
            "most workers empty after 06:00",
            "largest shape: fits, of what is free in sum",
            "CPU without memory",
            "no place",
            "no place on one worker of all",
        ),
        rows,
    )


def most_empty(day: Mapping[str, Any]) -> int:
    """The most workers without a bunker at a time, the beginning aside."""
    parts = day["outcome"]["parts"]
    late = [part["fleet"]["empty_workers"] for part in parts if part["at"] >= 6 * 3600]
    return max(late, default=0)


def costs(stores: Mapping[str, Any]) -> str:
    """What each piece of work costs the stores."""
    rows = [
        (
            each["name"],
            f"{each['count']:,}",
            f"{each['statements']:.2f}",
            f"{each['transactions']:.2f}",
            f"{each['rows_written']:.2f}",
            f"{each['redis_commands']:.2f}",
            f"{each['controller_ms']:.2f}",
            f"{each['mariadb_ms']:.2f}",
            f"{each['redis_ms']:.3f}",
        )
        for each in (*stores["costs"], *stores["floors"])
    ]
    return _table(
        (
            "work",
            "number",
            "statements",
            "transactions",
            "rows written",
            "Redis commands",
            "controller, ms",
            "MariaDB, ms",
            "Redis, ms",
        ),
        rows,
    )


def load(day: Mapping[str, Any], stores: Mapping[str, Any]) -> str:
    """Measured costs at the day's rates."""
    rows = [
        (
            f"{each.name}, {when}" if each.name != "together" else f"**together, {when}**",
            f"{each.rate:,.1f}",
            f"{each.statements:,.0f}",
            f"{each.transactions:,.0f}",
            f"{each.rows_written:,.0f}",
            f"{each.redis_commands:,.0f}",
            f"{each.controller:.2f}",
            f"{each.mariadb:.2f}",
            f"{each.redis:.3f}",
        )
        for when in ("mean", "peak")
        for each in paper.loads(day, stores, when)
    ]
    return _table(
        (
            "work",
            "a second",
            "statements/s",
            "transactions/s",
            "rows/s",
            "Redis commands/s",
            "controller, cores",
            "MariaDB, cores",
            "Redis, cores",
        ),
        rows,
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
