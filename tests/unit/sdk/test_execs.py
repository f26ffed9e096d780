"""Commands: bytes intact, ends never invented."""

import base64
import json

import httpx
import pytest

from scaibunker.sdk import (
    AsyncClient,
    Client,
    CommandFailed,
    Conflict,
    ExecExited,
    ExecGap,
    ExecOutput,
    ExecStarted,
    InvalidArgument,
    ResponseInvalid,
    StreamBroken,
    Unavailable,
    WaitTimedOut,
)
from scaibunker.sdk.events import HeadCollector
from scaibunker.wire.api.execs import MAX_STDIN
from tests.unit.sdk.fake_api import FakeApi, Script, exec_events, sse
from tests.unit.sdk.fake_transport import Piece, always, streamed

BINARY = bytes(range(256))


def test_run(api: FakeApi, client: Client) -> None:
    api.scripts["make"] = Script(BINARY, b"warning", 3)
    result = client.execs(api.add_bunker()).run("make")
    assert (result.exit_code, result.ok) == (3, False)
    assert (result.stdout_bytes, result.stderr_bytes) == (BINARY, b"warning")


def test_run_sends_what_is_given_and_nothing_else(api: FakeApi, client: Client) -> None:
    execs = client.execs(api.add_bunker())
    execs.run(("ls", "-l"), timeout_s=5, cwd="/tmp", user="root", env={"A": "b"}, stdin="in")
    execs.run("true", stdin=b"\xff", cwd=None)
    first, second = api.requests("POST")
    assert json.loads(first.body) == {
        "command": ["ls", "-l"],
        "timeout_s": 5.0,
        "cwd": "/tmp",
        "user": "root",
        "env": {"A": "b"},
        "stdin": "in",
    }
    assert json.loads(second.body) == {"command": "true", "stdin_base64": "/w=="}


def test_the_answer_is_waited_for_longer_than_the_command_may_take(
    api: FakeApi, client: Client
) -> None:
    execs = client.execs(api.add_bunker())
    execs.run("a")
    execs.run("a", timeout_s=7200)
    assert [seen.timeout["read"] for seen in api.requests("POST")] == [150, 7290]


def test_check(api: FakeApi, client: Client) -> None:
    execs = client.execs(api.add_bunker())
    api.scripts["bad"] = Script(b"out", exit_code=3)
    api.scripts["slow"] = Script(exit_code=None, signal="SIGKILL", timed_out=True)
    api.scripts["killed"] = Script(exit_code=None, signal="SIGTERM")
    assert execs.run("good", check=True).ok
    with pytest.raises(CommandFailed, match="exited with 3") as caught:
        execs.run("bad", check=True)
    assert caught.value.result.stdout_bytes == b"out"  # type: ignore[attr-defined]
    with pytest.raises(CommandFailed, match="timed out"):
        execs.run("slow", check=True)
    with pytest.raises(CommandFailed, match="was ended by SIGTERM"):
        execs.run("killed", check=True)


@pytest.mark.parametrize(
    ("command", "options", "named"),
    [
        ("", {}, "command"),
        ([], {}, "command"),
        (["a\0b"], {}, "command"),
        ("a", {"timeout_s": 0}, "timeout_s"),
        ("a", {"cwd": "relative"}, "cwd"),
        ("a", {"user": "admin"}, "user"),
        ("a", {"stdin": b"x" * (MAX_STDIN + 1)}, "stdin"),
        ("a", {"env": {"1": "secret"}}, "env"),
    ],
)
def test_bad_requests_are_named(
    api: FakeApi, client: Client, command: str, options: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=named) as caught:
        client.execs("bnk_1").run(command, **options)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)
    assert api.transport.seen == []


def test_stream(api: FakeApi, client: Client) -> None:
    api.scripts["make"] = Script(BINARY * 300, b"warning", 3)
    with client.bunkers.get(api.add_bunker()).stream("make") as stream:
        events = list(stream)
        assert stream.exec_id == "exe_1"
    assert events[0] == ExecStarted("exe_1")
    assert events[-1] == ExecExited("exe_1", 3, None, False, 7) == stream.exit
    outputs = [event for event in events if isinstance(event, ExecOutput)]
    assert b"".join(o.data for o in outputs if o.stream == "stdout") == BINARY * 300
    assert [o.text for o in outputs if o.stream == "stderr"] == ["warning"]


async def test_stream_async(api: FakeApi, aclient: AsyncClient) -> None:
    api.scripts["make"] = Script(BINARY)
    async with aclient.execs(api.add_bunker()).stream("make") as stream:
        events = [event async for event in stream]
    assert events[1] == ExecOutput("stdout", BINARY)
    assert isinstance(events[-1], ExecExited)


def test_text_and_base64_events_are_the_same_bytes(api: FakeApi, client: Client) -> None:
    pieces = [
        sse("stdout", {"data": "é\r\n", "encoding": "utf-8"}),
        sse("stdout", {"data": base64.b64encode(b"\xff").decode(), "encoding": "base64"}),
        sse("weather", {"sun": True}),
        *list(exec_events("exe_1", Script()))[2:],
    ]
    api.transport.faults.append(lambda _: streamed(pieces))
    with client.execs(api.add_bunker()).stream("a") as stream:
        data = [event.data for event in stream if isinstance(event, ExecOutput)]
    assert data == ["é\r\n".encode(), b"\xff"]


WHOLE = list(exec_events("exe_1", Script(b"out")))


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([], "before its end"),
        (WHOLE[:-2], "before its end"),
        (WHOLE[:-1], "before its end"),
        ([*WHOLE[:-2], WHOLE[-1]], "without an exit code"),
        ([*WHOLE[:-1], WHOLE[2]], "went on after"),
        ([*WHOLE[:-1], WHOLE[-2]], "went on after"),
        ([*WHOLE[:3], httpx.ReadError("reset")], "lost the stream"),
        ([*WHOLE[:3], httpx.ReadTimeout("")], "sent nothing for too long"),
        ([*WHOLE[:3], httpx.RemoteProtocolError("incomplete chunked read")], "lost the stream"),
        ([*WHOLE[:3], b"event: exit\ndata: {}"], "before its end"),
    ],
)
def test_a_broken_stream_is_an_error(
    api: FakeApi, client: Client, pieces: list[Piece], why: str
) -> None:
    api.transport.faults.append(lambda _: streamed(pieces))
    with (
        pytest.raises(StreamBroken, match=why) as caught,
        client.execs(api.add_bunker()).stream("a") as stream,
    ):
        for _ in stream:
            pass
    assert caught.value.exec_id == ("exe_1" if pieces else None)
    assert len(api.requests("POST")) == 1  # and the command is not run again


@pytest.mark.parametrize(
    "piece",
    [
        sse("exit", {}),
        sse("exit", {"exec_id": "exe_1", "exit_code": "zero"}),
        sse("stdout", {"data": 1}),
        sse("stdout", {"data": "!", "encoding": "base64"}),
        sse("stdout", {"data": "a", "encoding": "rot13"}),
        b"event: stdout\ndata: {\n\n",
        b"event: stdout\ndata: []\n\n",
        pytest.param(b"event: stdout\ndata: %b\n\n" % (b"[" * 200_000), id="deep"),
    ],
)
def test_events_that_are_not_valid_are_an_error(api: FakeApi, client: Client, piece: bytes) -> None:
    api.transport.faults.append(lambda _: streamed([piece, *WHOLE]))
    with (
        pytest.raises(ResponseInvalid, match="event that is not valid"),
        client.execs(api.add_bunker()).stream("a") as stream,
    ):
        list(stream)


def test_an_error_in_mid_stream_is_raised(api: FakeApi, client: Client) -> None:
    error = {"code": "WORKER_UNREACHABLE", "message": "may have run", "hint": "look at the log"}
    for body in (error, {"error": error, "meta": {"request_id": "req_s"}}):
        pieces = [*WHOLE[:3], sse("error", body), WHOLE[-1]]
        api.transport.faults.append(always(streamed(pieces)))
        with (
            pytest.raises(Unavailable) as caught,
            client.execs(api.add_bunker()).stream("a") as stream,
        ):
            list(stream)
        assert (caught.value.code, caught.value.request_id) == ("WORKER_UNREACHABLE", "req_s")
    later = sse("error", {"code": "SOMETHING_NEW", "message": "this server is not what it was"})
    api.transport.faults.append(lambda _: streamed([*WHOLE[:3], later]))
    with (
        pytest.raises(Unavailable, match="SOMETHING_NEW"),
        client.execs(api.add_bunker()).stream("a") as stream,
    ):
        list(stream)
    api.transport.faults.append(lambda _: streamed([sse("error", {"what": 1})]))
    with (
        pytest.raises(StreamBroken),
        client.execs(api.add_bunker()).stream("a") as stream,
    ):
        list(stream)


def test_a_refusal_before_the_stream(api: FakeApi, client: Client) -> None:
    with (
        pytest.raises(Conflict, match="BUNKER_NOT_RUNNING"),
        client.execs(api.add_bunker(status="paused")).stream("a"),
    ):
        pytest.fail("must not begin")


def test_an_answer_that_is_no_stream(api: FakeApi, client: Client) -> None:
    api.transport.faults.append(lambda _: streamed([b"{}"], "application/json"))
    with (
        pytest.raises(ResponseInvalid, match="not a stream"),
        client.execs(api.add_bunker()).stream("a"),
    ):
        pytest.fail("must not begin")


def test_leaving_early_closes_the_connection(api: FakeApi, client: Client) -> None:
    with client.execs(api.add_bunker()).stream("a") as stream:
        next(iter(stream))
    assert api.transport.responses[-1].is_closed


def test_detached(api: FakeApi, client: Client) -> None:
    api.scripts["train"] = Script(b"epoch 1\n", b"", 0)
    execs = client.execs(api.add_bunker())
    execution = execs.start("train", timeout_s=7200)
    assert execution.exec_id == "exe_1"
    assert json.loads(api.requests("POST")[0].body)["detach"] is True
    assert execution.record().state == "exited"
    assert execution.wait(timeout=0).exit_code == 0
    again = client.execs("bnk_1").execution("exe_1")
    with again.events() as events:
        assert isinstance(list(events)[-1], ExecExited)
    assert again.result().stdout == "epoch 1\n"
    with again.output("stdout") as chunks:
        assert b"".join(chunks) == b"epoch 1\n"
    again.signal("SIGTERM")
    again.write_stdin("text")
    again.write_stdin(b"\xff")
    again.close_stdin()
    assert (api.signals, api.stdin, api.stdin_closed) == (["SIGTERM"], b"text\xff", True)
    assert [record.command for record in execs.list()] == ["train"]
    with pytest.raises(InvalidArgument, match="signal"):
        again.signal("9")
    with pytest.raises(InvalidArgument, match="exec id"):
        execs.execution("../x")


def test_waiting_for_one_that_goes_on(api: FakeApi, client: Client) -> None:
    execution = client.execs(api.add_bunker()).start("train")
    api.execs["exe_1"]["state"] = "running"
    with pytest.raises(WaitTimedOut, match="exe_1 still runs"):
        execution.wait(timeout=0)


def test_following_may_be_repeated_but_input_not(api: FakeApi, client: Client) -> None:
    execution = client.execs(api.add_bunker()).start("cat")
    api.transport.faults.append(httpx.ReadError("reset"))
    assert execution.result().ok
    api.transport.faults.append(httpx.ReadError("reset"))
    with pytest.raises(Exception, match="lost the connection"):
        execution.write_stdin("once")
    assert len(api.requests("POST", "/stdin")) == 1


async def test_detached_async(api: FakeApi, aclient: AsyncClient) -> None:
    execution = await aclient.execs(api.add_bunker()).start("echo hi")
    assert (await execution.result()).stdout == "echo hi\n"
    assert (await execution.wait(timeout=0)).exit_code == 0


def collected(*outputs: ExecOutput, limit: int = 4) -> HeadCollector:
    collector = HeadCollector(limit)
    for output in outputs:
        collector.add(output)
    return collector


def test_collected_heads() -> None:
    collector = collected(ExecOutput("stdout", b"abc"), ExecOutput("stdout", b"def"))
    with pytest.raises(RuntimeError):
        collector.result()
    collector.add(ExecExited("exe_1", None, "SIGKILL", True, 7))
    result = collector.result(full_output_ref="ref")
    assert (result.stdout, result.stdout_truncated, result.stderr_truncated) == (
        "abcd",
        True,
        False,
    )
    assert (result.signal, result.timed_out, result.full_output_ref) == ("SIGKILL", True, "ref")


def test_collected_heads_cut_in_mid_character_stay_text() -> None:
    collector = collected(ExecOutput("stdout", "aaaé".encode()))
    collector.add(ExecExited("exe_1", 0, None, False, 7))
    assert (collector.result().encoding, collector.result().stdout) == ("utf-8", "aaa")


def test_what_is_lost_is_told(api: FakeApi, client: Client) -> None:
    execution = client.execs(api.add_bunker()).start("x")
    pieces = [
        WHOLE[0],
        sse("stdout", {"data": "head"}),
        sse("gap", {"bytes": 77}),
        sse("stdout", {"data": "tail"}),
        *WHOLE[-2:],
    ]
    api.transport.faults.append(always(streamed(pieces)))
    with execution.events() as events:
        assert ExecGap(77) in list(events)
    api.transport.faults.append(always(streamed(pieces)))
    result = execution.result()
    assert (result.stdout, result.stdout_truncated, result.stderr_truncated) == ("head", True, True)
    bad = [WHOLE[0], sse("gap", {"bytes": -1})]
    api.transport.faults.append(always(streamed(bad)))
    with pytest.raises(ResponseInvalid, match="`bytes` must be a count"):
        execution.result()


def test_collected_bytes() -> None:
    collector = collected(ExecOutput("stdout", b"ok"), ExecOutput("stderr", b"\xc3"))
    collector.add(ExecExited("exe_1", 0, None, False, 7))
    result = collector.result()
    assert result.encoding == "base64"
    assert (result.stdout_bytes, result.stderr_bytes) == (b"ok", b"\xc3")
