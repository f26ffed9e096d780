"""Usage: a tick for each minute, once whatever happens; and the sums over them."""

import asyncio
import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from scaibunker.controller.bunkers.tables import bunker_events, bunkers
from scaibunker.controller.usage.tables import egress
from scaibunker.controller.usage.ticks import UsageTicks
from scaibunker.wire.worker.machines import MachineStatus
from scaigrid.accounting import ledger
from scaigrid.accounting.domain import Amounts, Tick
from scaigrid.accounting.tables import usage_ticks
from scaigrid.db import Database
from scaigrid.groups.tables import group_members, groups
from scaigrid.operation import system_operation
from scaigrid.tasks.domain import Span
from scaigrid.tenancy.tables import tenants, users
from tests.integration.inside import whole
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
USAGE = "/v1/accounting/usage"
PERIOD = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-03T00:00:00Z"}


async def tick(stack: Stack, end: datetime, database: Database | None = None) -> None:
    """What a background worker does for the minute that ends then."""
    due = end + timedelta(seconds=5)
    task = UsageTicks(database or stack.grid.database, "scaibunker").task()
    await task.work(system_operation("tests", stack.grid.clock), Span(due - MINUTE, due))


async def ticks(stack: Stack) -> list[dict[str, Any]]:
    async with stack.grid.database.read() as db:
        rows = await db.rows(whole(select(usage_ticks).order_by(usage_ticks.c.minute)))
        return [dict(row) for row in rows]


async def lived(stack: Stack, bunker: str, *history: tuple[float, str]) -> None:
    """Give a bunker another history: seconds after noon, and states."""
    c = bunker_events.c
    async with stack.grid.database.write() as db:
        tenant = await db.value(whole(select(bunkers.c.tenant_id).where(bunkers.c.id == bunker)))
        await db.execute(whole(bunker_events.delete().where(c.bunker_id == bunker)))
        times = [NOON + timedelta(seconds=seconds) for seconds, _ in history]
        for at, (_, status) in zip(times, history, strict=True):
            row = {"bunker_id": bunker, "tenant_id": tenant, "status": status, "at": at}
            await db.execute(insert(bunker_events).values(row))
        await db.execute(
            whole(update(bunkers))
            .where(bunkers.c.id == bunker)
            .values(
                created_at=times[0],
                status=history[-1][1],
                terminated_at=times[-1] if history[-1][1] == "terminated" else None,
            )
        )


async def beat_sent(
    stack: Stack, worker: SimulatedWorker, bunker: str, count: int, incarnation: str = "one"
) -> None:
    """A heartbeat that says how much a machine has sent."""
    report = worker.heartbeat()
    report.machines = [
        MachineStatus(
            bunker_id=bunker, state="running", egress_bytes=count, incarnation=incarnation
        )
    ]
    response = await worker.send(stack.client, report)
    assert response.status_code == 200, response.text


async def test_minutes_are_told_once_in_whatever_order_and_however_often(
    stack: Stack, bunker: str
) -> None:
    await lived(
        stack, bunker, (-9, "pending"), (30, "running"), (90, "paused"), (150, "terminated")
    )
    for minute in (1, 2, 3, 4):
        await tick(stack, NOON + minute * MINUTE)
    told = await ticks(stack)
    assert [row["minute"] for row in told] == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]
    assert [row["cpu_seconds"] for row in told] == [30, 30, 0]
    assert [row["memory_mb_seconds"] for row in told] == [30 * 256, 60 * 256, 30 * 256]
    assert {row["resource_id"] for row in told} == {bunker}
    assert {row["module"] for row in told} == {"scaibunker"}
    for minute in (4, 3, 2, 1):
        await tick(stack, NOON + minute * MINUTE)
    assert await ticks(stack) == told


async def test_two_that_tell_of_one_minute_at_once_tell_of_it_once(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await lived(stack, bunker, (-60, "running"))
    await beat_sent(stack, worker, bunker, 1000)
    other = Database(stack.database_settings)
    try:
        for minute in range(1, 6):
            end = NOON + minute * MINUTE
            await asyncio.gather(
                *(tick(stack, end, base) for base in (None, other, None, other, None))
            )
    finally:
        await other.close()
    told = await ticks(stack)
    assert [row["cpu_seconds"] for row in told] == [60.0] * 5
    assert [row["egress_bytes"] for row in told] == [1000, 0, 0, 0, 0]


async def test_what_was_sent_counts_once_and_no_byte_is_lost(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await lived(stack, bunker, (-60, "running"), (60, "terminated"))
    await beat_sent(stack, worker, bunker, 100)
    await tick(stack, NOON + MINUTE)
    for count in (250, 200, 250):  # late, and twice
        await beat_sent(stack, worker, bunker, count)
    await tick(stack, NOON + MINUTE)  # told already: what is new waits for the next minute
    await beat_sent(stack, worker, bunker, 40, "two")  # built anew, the count begins again
    await tick(stack, NOON + 2 * MINUTE)
    await beat_sent(stack, worker, bunker, 251)  # the first one's last word
    await tick(stack, NOON + 3 * MINUTE)
    await tick(stack, NOON + 4 * MINUTE)
    told = await ticks(stack)
    assert [row["egress_bytes"] for row in told] == [100, 190, 1]
    assert [row["cpu_seconds"] for row in told] == [60, 0, 0]


async def test_a_worker_does_not_make_others_pay(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    foreign = worker.heartbeat().model_copy(update={"worker_id": "wrk_other"})
    foreign.machines = [MachineStatus(bunker_id=bunker, state="running", egress_bytes=9)]
    assert (await worker.send(stack.client, foreign)).status_code == 200
    async with stack.grid.database.read() as db:
        assert await db.values(whole(select(egress.c.bunker_id))) == []


async def seed(stack: Stack) -> dict[str, str]:
    """Ticks of two users of the tenant and of a foreign one, and nested groups."""
    op = system_operation("tests", stack.grid.clock)
    database = stack.grid.database
    async with database.write() as db:
        names = {
            row["name"]: row["id"] for row in await db.rows(whole(select(users.c.name, users.c.id)))
        }
        theirs = {
            row["id"]: row["tenant_id"]
            for row in await db.rows(whole(select(users.c.id, users.c.tenant_id)))
        }
        names["elsewhere"] = theirs[names["stranger"]]
        names["home"] = theirs[names["user"]]
        amounts = Amounts(1, 10, 100, 0.5, 7)
        made = [
            Tick(resource, NOON + after, theirs[names[who]], names[who], amounts)
            for resource, who, minutes in (
                ("bnk_a", "user", (0, 1, 60, 24 * 60)),
                ("bnk_b", "user", (0,)),
                ("bnk_v", "viewer", (0,)),
                ("bnk_s", "stranger", (0,)),
            )
            for after in (minute * MINUTE for minute in minutes)
        ]
        await ledger.add(op, db, "scaibunker", made)
        await ledger.add(op, db, "other", [replace(made[0], resource_id="oth_1")])
        for key, parent in (("grp_top", None), ("grp_mid", "grp_top"), ("grp_low", "grp_mid")):
            row = {"id": key, "parent_id": parent, "name": f"=cmd {key}", "created_at": NOON}
            await db.execute(insert(groups).values(tenant_id=names["home"], **row))
        for group, who in (
            ("grp_top", "user"),
            ("grp_low", "user"),
            ("grp_low", "viewer"),
        ):
            await db.execute(insert(group_members).values(group_id=group, user_id=names[who]))
    return names


async def sums(stack: Stack, who: str, **query: str) -> dict[tuple[str, str], float]:
    """CPU seconds by start and key."""
    rows = await stack.data_of("GET", USAGE, who, params=PERIOD | query)
    return {(row["start"][5:13], row["key"]): row["cpu_seconds"] for row in rows}


async def test_sums_by_everything_over_every_interval(stack: Stack) -> None:
    names = await seed(stack)
    home, user, viewer = names["home"], names["user"], names["viewer"]
    admin = "tenant_admin"
    assert await sums(stack, admin, by="tenant", interval="total") == {("03-01T00", home): 7}
    assert await sums(stack, admin, by="tenant", interval="day") == {
        ("03-01T00", home): 6,
        ("03-02T00", home): 1,
    }
    assert await sums(stack, admin, by="user", interval="hour") == {
        ("03-01T12", user): 4,
        ("03-01T12", viewer): 1,
        ("03-01T13", user): 1,
        ("03-02T12", user): 1,
    }
    assert await sums(stack, admin, by="bunker", interval="total") == {
        ("03-01T00", "bnk_a"): 4,
        ("03-01T00", "bnk_b"): 1,
        ("03-01T00", "bnk_v"): 1,
    }
    # Of nested groups too, and the user that is in two of them once in each.
    assert await sums(stack, admin, by="group", interval="total") == {
        ("03-01T00", "grp_top"): 7,
        ("03-01T00", "grp_mid"): 7,
        ("03-01T00", "grp_low"): 7,
    }
    [row] = await stack.data_of(
        "GET", USAGE, admin, params=PERIOD | {"by": "tenant", "interval": "total"}
    )
    assert (row["memory_mb_seconds"], row["disk_mb_seconds"]) == (70, 700)
    assert (row["gpu_seconds"], row["egress_bytes"], row["tenant_id"]) == (3.5, 49, home)
    short = {"since": "2026-03-01T12:01:00Z", "until": "2026-03-01T12:02:00Z"}
    assert await sums(stack, admin, by="user", interval="total", **short) == {("03-01T12", user): 1}


async def test_everybody_sees_what_is_in_reach(stack: Stack) -> None:
    names = await seed(stack)
    home, elsewhere = names["home"], names["elsewhere"]
    by_tenant = {"by": "tenant", "interval": "total"}
    everything = {("03-01T00", home): 7.0, ("03-01T00", elsewhere): 1.0}
    assert await sums(stack, "super_admin", **by_tenant) == everything
    assert await sums(stack, "super_admin", tenant_id=elsewhere, **by_tenant) == {
        ("03-01T00", elsewhere): 1
    }
    assert await sums(stack, "user", **by_tenant) == {("03-01T00", home): 6}
    assert await sums(stack, "viewer", by="user", interval="total") == {
        ("03-01T00", names["viewer"]): 1
    }
    assert await sums(stack, "viewer", by="group", interval="total") == {
        ("03-01T00", group): 1 for group in ("grp_top", "grp_mid", "grp_low")
    }
    assert await sums(stack, "stranger", **by_tenant) == {("03-01T00", elsewhere): 1}
    assert await sums(stack, "stranger", tenant_id=home, **by_tenant) == {}
    assert await sums(stack, "stranger", by="group", interval="total") == {}
    assert error_of(await stack.call("GET", USAGE, None)) == (401, "AUTH_TOKEN_MISSING")


async def test_a_partners_administrators_see_its_tenants(stack: Stack) -> None:
    names = await seed(stack)
    async with stack.grid.database.write() as db:
        await db.execute(
            insert(tenants.metadata.tables["partners"]).values(
                id="prt_1", name="p", created_at=NOON
            )
        )
        await db.execute(whole(update(tenants)).values(partner_id="prt_1"))
        await db.execute(
            whole(update(users)).where(users.c.id == names["stranger"]).values(role="partner_admin")
        )
    assert len(await sums(stack, "stranger", by="tenant", interval="total")) == 2


@pytest.mark.parametrize("interval", ["hour", "total"])
async def test_pages_give_each_entry_once(stack: Stack, interval: str) -> None:
    await seed(stack)
    query = PERIOD | {"by": "bunker", "interval": interval}
    whole = await stack.data_of("GET", USAGE, "super_admin", params=query)
    seen: list[Any] = []
    cursor = None
    while True:
        page = query | {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        body = (await stack.call("GET", USAGE, "super_admin", params=page)).json()
        seen += body["data"]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert seen == whole
    assert len(whole) > 3


async def test_csv_is_the_whole_and_no_formula(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaigrid.accounting.routes.PAGE", 2)
    await seed(stack)
    query = PERIOD | {"by": "group", "interval": "hour"}
    listed = await stack.data_of("GET", USAGE, "tenant_admin", params=query)
    response = await stack.call(
        "GET", USAGE, "tenant_admin", params=query | {"format": "csv", "limit": "1"}
    )
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["key"] for row in rows] == [entry["key"] for entry in listed]
    assert {row["name"][:6] for row in rows} == {"'=cmd "}
    assert [float(row["cpu_seconds"]) for row in rows] == [e["cpu_seconds"] for e in listed]


@ONE_DATABASE
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": "colour"}, "by"),
        ({"interval": "week"}, "interval"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"}, "since"),
        ({"since": "2024-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"}, "since"),
        ({"until": "0001-01-01T00:00:00Z"}, "since"),
        ({"until": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"format": "xml"}, "format"),
        ({"cursor": "!"}, "cursor"),
        ({"limit": "201"}, "limit"),
        ({"tenant_id": "x" * 65}, "tenant_id"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    bare: Stack, query: dict[str, str], field: str
) -> None:
    response = await bare.call("GET", USAGE, params=query)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == [field]
