"""Following a detached command through interruptions: every byte once, or an error."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.sdk import (
    NO_RETRIES,
    AsyncClient,
    Client,
    ExecEvent,
    ExecExited,
    ExecGap,
    ExecOutput,
    ExecStarted,
    Execution,
    NotFound,
    StreamBroken,
    Unavailable,
)
from scaibunker.sdk.replay import Replay
from tests.unit.sdk.fake_api import FakeApi, Script, exec_events, sse
from tests.unit.sdk.fake_transport import Piece, always, refused, streamed

LOST = httpx.ReadError("reset")
STARTED = sse("started", {"exec_id": "exe_1"})
END = list(exec_events("exe_1", Script(exit_code=3)))[-2:]


def out(text: str, stream: str = "stdout") -> bytes:
    return sse(stream, {"data": text})


def broken(*pieces: Piece) -> list[Piece]:
    return [STARTED, *pieces, LOST]


@pytest.fixture
def execution(api: FakeApi, client: Client) -> Execution:
    return client.execs(api.add_bunker()).start("train")


def answers(api: FakeApi, *streams: list[Piece] | Exception | httpx.Response) -> None:
    for answer in streams:
        if isinstance(answer, list):
            api.transport.faults.append(always(streamed(answer)))
        elif isinstance(answer, httpx.Response):
            api.transport.faults.append(always(answer))
        else:
            api.transport.faults.append(answer)


def told(execution: Execution) -> list[ExecEvent]:
    with execution.events() as events:
        return list(events)


def text(events: list[ExecEvent], stream: str = "stdout") -> bytes:
    return b"".join(e.data for e in events if isinstance(e, ExecOutput) and e.stream == stream)


def test_a_broken_connection_is_made_again(api: FakeApi, execution: Execution) -> None:
    stopping = sse("error", {"code": "INTERNAL_ERROR", "message": "the server is stopping"})
    answers(
        api,
        [STARTED, out("one "), out("err ", "stderr"), LOST],
        refused(404, "EXEC_NOT_FOUND"),
        refused(409, "BUNKER_NOT_RUNNING"),
        httpx.ConnectError("refused"),
        [STARTED, out("on"), out("e t"), out("err ou", "stderr"), stopping],
        refused(503, "INTERNAL_ERROR"),
        [STARTED, out("one two three"), out("err our", "stderr"), *END],
    )
    events = told(execution)
    assert events[0] == ExecStarted("exe_1")
    assert isinstance(events[-1], ExecExited)
    assert (text(events), text(events, "stderr")) == (b"one two three", b"err our")
    assert sum(isinstance(event, ExecStarted) for event in events) == 1


async def test_async(api: FakeApi, aclient: AsyncClient) -> None:
    execution = await aclient.execs(api.add_bunker()).start("train")
    answers(api, [STARTED, out("one "), LOST], [STARTED, out("one two"), *END])
    result = await execution.result()
    assert (result.stdout, result.exit_code) == ("one two", 3)
    async with execution.events() as events:
        async for _ in events:
            break
    assert api.transport.responses[-1].is_closed


def test_it_gives_up_when_nothing_new_comes(api: FakeApi, execution: Execution) -> None:
    answers(api, *[broken(out("one "))] * 99)
    with pytest.raises(StreamBroken) as caught:
        told(execution)
    assert caught.value.exec_id == "exe_1"
    # The first one brought something; then all that are allowed did not.
    assert len(api.requests("GET", "/events")) == 12


def test_without_retries_nothing_is_taken_up_again(api: FakeApi) -> None:
    client = Client(
        "http://localhost", "sgk_test", retries=NO_RETRIES, http_transport=api.transport
    )
    execution = client.execs(api.add_bunker()).start("train")
    answers(api, broken(out("one ")))
    with pytest.raises(StreamBroken):
        told(execution)
    assert len(api.requests("GET", "/events")) == 1


def test_each_bit_of_progress_counts(api: FakeApi, execution: Execution) -> None:
    whole = "0123456789"
    answers(api, *[broken(out(whole[:n])) for n in range(1, 11)], [out(whole), *END])
    assert text(told(execution)) == whole.encode()


def test_a_gap_is_told_once(api: FakeApi, execution: Execution) -> None:
    gap = sse("gap", {"bytes": 7})
    answers(
        api,
        [STARTED, gap, out("tail"), LOST],
        [STARTED, gap, out("tail and more"), *END],
    )
    events = told(execution)
    assert events.count(ExecGap(7)) == 1
    assert text(events) == b"tail and more"


@pytest.mark.parametrize(
    "second",
    [
        [STARTED, sse("gap", {"bytes": 4}), out("tail"), *END],
        [STARTED, out("he"), *END],
        [STARTED, *END],
    ],
)
def test_a_server_that_has_lost_what_it_sent_breaks_the_stream(
    api: FakeApi, execution: Execution, second: list[Piece]
) -> None:
    answers(api, [STARTED, out("head"), LOST], *[second] * 99)
    with pytest.raises(StreamBroken, match="lost a part"):
        told(execution)


@pytest.mark.parametrize(
    ("answer", "error"),
    [(refused(404, "EXEC_NOT_FOUND"), NotFound), (refused(502, "WORKER_UNREACHABLE"), Unavailable)],
)
def test_what_waiting_does_not_mend(
    api: FakeApi, execution: Execution, answer: httpx.Response, error: Any
) -> None:
    api.transport.faults.extend([always(answer)] * 50)
    with pytest.raises(error):
        told(execution)


@given(
    content=st.binary(max_size=40),
    lengths=st.lists(st.integers(0, 40), max_size=5),
    cut=st.integers(1, 9),
)
def test_every_byte_once(content: bytes, lengths: list[int], cut: int) -> None:
    replay = Replay()
    had = bytearray()
    for length in [*lengths, len(content)]:
        replay.again()
        for at in range(0, min(length, len(content)), cut):
            event = replay.unseen(ExecOutput("stdout", content[at : min(at + cut, length)]))
            if event is not None:
                assert isinstance(event, ExecOutput)
                had += event.data
    assert bytes(had) == content
