"""Flows of a bunker: from batches to records."""

from datetime import UTC, datetime

import httpx
import pytest

from scaibunker.sdk import (
    AsyncClient,
    Client,
    FlowRecord,
    FlowVerdict,
    InvalidArgument,
    LossRecord,
    NotFound,
    ResponseInvalid,
    StreamBroken,
)
from tests.unit.sdk.fake_api import FakeApi
from tests.unit.sdk.fake_flows import NDJSON, flow, loss
from tests.unit.sdk.fake_transport import streamed

YEAR_US = 1_767_225_600_000_000


@pytest.fixture
def bunker(api: FakeApi) -> str:
    return api.add_bunker(status="terminated")


def test_records_come_in_the_order_of_batches_and_lines(
    api: FakeApi, client: Client, bunker: str
) -> None:
    for batch in range(5):
        lines = [flow(2 * batch), flow(2 * batch + 1)]
        api.flows.add(bunker, YEAR_US + batch, *lines)
    api.flows.add(bunker, YEAR_US + 5, loss(17))
    *told, last = client.flows.list(bunker)
    assert [r.source_port for r in told if isinstance(r, FlowRecord)] == [
        40_000 + n for n in range(10)
    ]
    assert isinstance(last, LossRecord)
    assert (last.dropped, last.reason) == (17, "disk")
    assert len(api.requests("GET", "/audit-batches")) == 3


async def test_asyncio_reads_the_same(api: FakeApi, aclient: AsyncClient, bunker: str) -> None:
    api.flows.add(bunker, YEAR_US, flow(1, verdict="refused", reason="closed", host=None))
    [record] = [record async for record in aclient.flows.list(bunker)]
    assert isinstance(record, FlowRecord)
    assert (record.verdict, record.reason, record.host) == (FlowVerdict.REFUSED, "closed", None)
    assert record.start == datetime(2026, 1, 1, 0, 0, 1, 250_000, UTC)


def test_since_is_about_the_ends_of_flows(api: FakeApi, client: Client, bunker: str) -> None:
    minute = 60_000_000
    api.flows.add(bunker, YEAR_US, flow(0))
    # Long, and written into a batch that was begun before it ended.
    api.flows.add(bunker, YEAR_US + 5 * minute, flow(1, duration_ms=300_000), flow(2))
    api.flows.add(bunker, YEAR_US + 6 * minute, flow(330), loss(None, second=3))
    since = datetime(2026, 1, 1, 0, 5, 1, tzinfo=UTC)
    found = list(client.flows.list(bunker, since=since))
    assert [r.source_port for r in found if isinstance(r, FlowRecord)] == [40_001, 40_330]
    [asked] = api.requests("GET", "/audit-batches")
    assert asked.params["since_us"] == str(YEAR_US + 4 * minute + 1_000_000)
    assert list(client.flows.list(bunker, since=since.replace(year=1960)))


def test_batches_are_listed_and_read_as_they_are(api: FakeApi, client: Client, bunker: str) -> None:
    names = [api.flows.add(bunker, YEAR_US + n, b'{"n": %d}\n' % n) for n in range(3)]
    assert [batch.name for batch in client.flows.batches(bunker)] == names
    assert [b.ts_us for b in client.flows.batches(bunker, since_us=YEAR_US + 2)] == [YEAR_US + 2]
    with client.flows.batch(bunker, names[1]) as chunks:
        assert b"".join(chunks) == b'{"n": 1}\n'


def test_lines_may_be_cut_anywhere(api: FakeApi, client: Client, bunker: str) -> None:
    name = api.flows.add(bunker, YEAR_US, *(flow(n) for n in range(20)))
    whole = api.flows.batches[bunker][name]
    pieces = [whole[n : n + 7] for n in range(0, len(whole), 7)]

    api.transport.faults += [
        api.transport.handler,
        lambda _: streamed(pieces, NDJSON["content-type"]),
    ]
    assert len(list(client.flows.list(bunker))) == 20


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"dropped": 1}\n',
        b"\n",
        b'{"start":',
        b"x" * 100_000,
    ],
)
def test_what_is_no_record_is_told(
    api: FakeApi, client: Client, bunker: str, content: bytes
) -> None:
    api.flows.add(bunker, YEAR_US, flow(0), content)
    with pytest.raises(ResponseInvalid):
        list(client.flows.list(bunker))


def test_a_listing_that_repeats_itself_ends(api: FakeApi, client: Client, bunker: str) -> None:
    page = {"status": "ok", "data": [], "has_more": True, "next_continuation_token": "same"}
    api.transport.faults += [lambda _: httpx.Response(200, json=page)] * 2
    with pytest.raises(ResponseInvalid, match="repeats itself"):
        list(client.flows.batches(bunker))


@pytest.mark.parametrize("name", ["", "..", "../x", "1-1.ndjson", "1700000000000000-7.ndjson\n"])
def test_a_name_cannot_lead_elsewhere(client: Client, name: str) -> None:
    with pytest.raises(InvalidArgument), client.flows.batch("bnk_1", name):
        pass


def test_what_is_not_there(api: FakeApi, client: Client, bunker: str) -> None:
    with pytest.raises(NotFound):
        list(client.flows.list("bnk_none"))
    with pytest.raises(NotFound), client.flows.batch(bunker, "1700000000000000-7.ndjson"):
        pass


def test_a_batch_that_breaks_off_is_no_whole_one(api: FakeApi, client: Client, bunker: str) -> None:
    api.flows.add(bunker, YEAR_US, flow(0), flow(1))
    cut = [b"{", httpx.ReadError("gone")]
    api.transport.faults += [
        api.transport.handler,
        lambda _: streamed(cut, NDJSON["content-type"]),
    ]
    with pytest.raises(StreamBroken):
        list(client.flows.list(bunker))
