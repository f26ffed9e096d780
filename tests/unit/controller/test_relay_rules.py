"""Pure rules of commands and files: what a worker is sent, ranges, paths, what the log keeps."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.controller.relay.domain import MAX_LOGGED_COMMAND, loggable
from scaibunker.controller.relay.errors import translate
from scaibunker.controller.relay.paths import check_mode, check_path
from scaibunker.controller.relay.ranges import parse_range
from scaibunker.controller.relay.start import request_body, stdin_bytes
from scaibunker.controller.workers.errors import WorkerRefused
from scaibunker.wire.api.execs import MAX_STDIN, ExecRequest
from scaibunker.wire.guest.execs import ExecStart
from scaigrid.errors import PayloadTooLarge, RangeNotSatisfiable, ValidationFailed


async def sent(**body: Any) -> tuple[ExecStart, bytes]:
    data = request_body(ExecRequest.model_validate(body))
    if not isinstance(data, bytes):
        data = b"".join([part async for part in data])
    line, _, stdin = data.partition(b"\n")
    return ExecStart.model_validate_json(line), stdin


async def test_a_string_is_for_the_shell_and_a_list_is_argv() -> None:
    start, stdin = await sent(command="a\nb")
    assert (start.shell, start.argv, start.stdin, stdin) == ("a\nb", None, "none", b"")
    start, _ = await sent(command=["a", "b c"])
    assert (start.shell, start.argv) == (None, ["a", "b c"])


async def test_standard_input_follows_the_line() -> None:
    start, stdin = await sent(command="cat", stdin="ä\n")
    assert (start.stdin, stdin) == ("body", "ä\n".encode())
    start, stdin = await sent(command="cat", stdin_base64="AAEC")
    assert (start.stdin, stdin) == ("body", b"\0\1\2")
    start, stdin = await sent(command="cat", stdin="")
    assert (start.stdin, stdin) == ("body", b"")
    big = "x" * 300_000
    assert (await sent(command="cat", stdin=big))[1] == big.encode()


async def test_a_detached_commands_input_stays_open_unless_some_is_given() -> None:
    assert (await sent(command="x", detach=True))[0].stdin == "open"
    assert (await sent(command="x", detach=True, stdin="y"))[0].stdin == "body"


def test_a_start_line_has_a_limit() -> None:
    with pytest.raises(ValidationFailed):
        request_body(ExecRequest(command=["x" * 131_000] * 40))


def test_standard_input_has_a_limit() -> None:
    assert stdin_bytes("x" * MAX_STDIN, None) is not None
    with pytest.raises(PayloadTooLarge):
        stdin_bytes("x" * MAX_STDIN + "y", None)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-", (2, 10)),
        ("bytes=2-4", (2, 5)),
        ("bytes=2-400", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=-", None),
        ("bytes=4-2", None),
        ("bytes=1-2,4-5", None),
        ("lines=1-2", None),
        ("bytes=x-y", None),
        ("bytes=٣-٤", None),
    ],
)
def test_ranges(header: str | None, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_ranges_outside(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 10)


@given(st.text(max_size=30), st.integers(min_value=1, max_value=100))
def test_a_range_lies_inside_whatever_is_asked(header: str, size: int) -> None:
    try:
        span = parse_range("bytes=" + header, size)
    except RangeNotSatisfiable:
        return
    if span is not None:
        assert 0 <= span[0] < span[1] <= size


@pytest.mark.parametrize("path", ["/", "/a", "/a/...", "/a..b", "//x", "/" + "x" * 255])
def test_good_paths(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path", ["", "a", "../a", "/a/..", "/../..", "/\0", "/\ud800", "/" + "ä" * 128]
)
def test_bad_paths(path: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        check_path(path, "source")
    assert caught.value.details[0]["field"] == "source"


def test_modes_have_one_form() -> None:
    assert [check_mode(m) for m in ("644", "0644", "4755")] == ["0644", "0644", "4755"]
    for bad in ("", "9", "64", "0o644", "77777", "u+x"):
        with pytest.raises(ValidationFailed):
            check_mode(bad)


@given(st.one_of(st.text(), st.lists(st.text())))
def test_an_ordinary_command_is_logged_as_it_is(command: str | list[str]) -> None:
    assert loggable(command) == command


@pytest.mark.parametrize(
    "command", ["\0" * 100_000, "😀" * 50_000, ["x" * 100_000, "y"], ["\x01"] * 50_000]
)
def test_a_long_command_is_cut(command: str | list[str]) -> None:
    cut = loggable(command)
    assert len(json.dumps(cut)) <= MAX_LOGGED_COMMAND
    assert type(cut) is type(command)
    assert "(cut)" in cut[-1] if isinstance(cut, list) else "(cut)" in cut


@pytest.mark.parametrize(
    ("code", "becomes"),
    [
        ("FILE_NOT_FOUND", "FILE_NOT_FOUND"),
        ("FILE_NO_SPACE", "FILE_NO_SPACE"),
        ("FILE_PERMISSION_DENIED", "AUTHZ_PERMISSION_DENIED"),
        ("FILE_NOT_DIRECTORY", "VALIDATION_ERROR"),
        ("EXEC_NOT_RUNNING", "EXEC_NOT_RUNNING"),
        ("BUNKER_NOT_FOUND", "BUNKER_NOT_RUNNING"),
        ("GUEST_UNREACHABLE", "WORKER_UNREACHABLE"),
        ("SERVICE_TOKEN_INVALID", "WORKER_UNREACHABLE"),
        ("WHATEVER", "WORKER_UNREACHABLE"),
        ("", "WORKER_UNREACHABLE"),
    ],
)
def test_what_a_workers_code_becomes(code: str, becomes: str) -> None:
    assert translate(WorkerRefused(500, code, "secret /srv/path")).code == becomes


@pytest.mark.parametrize(
    ("said", "told"), [("cwd", "cwd"), (None, "request"), ("<b>", "request"), ("x" * 99, "request")]
)
def test_a_refusal_names_the_field_if_a_guest_can_mean_it(said: str | None, told: str) -> None:
    refusal = WorkerRefused(422, "VALIDATION_ERROR", "no such directory", field=said)
    assert translate(refusal).details == [{"field": told, "message": "no such directory"}]


def test_an_unknown_refusal_tells_nothing_of_the_inside() -> None:
    error = translate(WorkerRefused(500, "WHATEVER", "secret /srv/path"))
    assert "secret" not in error.message
