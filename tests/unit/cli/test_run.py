"""`run` and `exec`: bytes, exit codes, and that no bunker is left behind."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.sdk.fake_api import FakeApi, Script, exec_events, sse
from tests.unit.sdk.fake_transport import Seen, refused, streamed

BINARY = bytes(range(256))


def statuses(api: FakeApi) -> list[str]:
    return [record["status"] for record in api.bunkers.values()]


def test_run_passes_bytes_and_the_code_on(api: FakeApi, shell: Shell) -> None:
    api.scripts["make -j2 all"] = Script(BINARY * 500, BINARY, 3)
    done = shell("run", "python-3.11", "--", "make", "-j2", "all")
    assert (done.code, done.out, done.err) == (3, BINARY * 500, BINARY)
    assert statuses(api) == ["terminated"]


def test_run_sends_the_options(api: FakeApi, shell: Shell) -> None:
    shell.environ["TOKEN"] = "hush"
    argv = "run python-3.11 --cpu 1.5 --memory 2G --disk 512M --env A=b=c --env TOKEN --label k=v"
    rest = "--name n --network allowlisted --allow a.example --allow b.example --bandwidth 5 --timeout 30"
    done = shell(*argv.split(), *rest.split(), "--user", "root", "--cwd", "/tmp", "--", "true")
    assert done.code == 0
    create, exec_ = api.requests("POST")
    assert json.loads(create.body) == {
        "image": "python-3.11",
        "cpu_millicores": 1500,
        "memory_mb": 2048,
        "disk_mb": 512,
        "env_vars": {"A": "b=c", "TOKEN": "hush"},
        "label_set": {"k": "v"},
        "name": "n",
        "network_profile": "allowlisted",
        "network_allowlist": ["a.example", "b.example"],
        "bandwidth_mbit": 5,
        "max_lifetime_s": 630,
    }
    assert json.loads(exec_.body) == {
        "command": ["true"],
        "timeout_s": 30.0,
        "user": "root",
        "cwd": "/tmp",
        "stream": True,
    }


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (Script(exit_code=0), 0),
        (Script(exit_code=255), 255),
        (Script(exit_code=None, signal="SIGKILL"), 137),
        (Script(exit_code=None, signal="SIGTERM"), 143),
        (Script(exit_code=None, signal="SIGRTMIN+3"), 128 + signal.SIGRTMIN + 3),
        (Script(exit_code=None, signal="SIGRTMAX-1"), 128 + signal.SIGRTMAX - 1),
        (Script(exit_code=None, signal="SIGWEIRD"), 128),
        (Script(exit_code=None, signal="SIGKILL", timed_out=True), 124),
        (Script(exit_code=None), 125),
    ],
)
def test_exit_codes_of_commands(api: FakeApi, shell: Shell, script: Script, code: int) -> None:
    api.scripts["x"] = script
    bunker = api.add_bunker()
    assert shell("run", "python-3.11", "--", "x").code == code
    assert shell("exec", bunker, "--", "x").code == code
    assert shell("run", "--json", "python-3.11", "--", "x").code == code
    done = shell("exec", bunker, "--json", "--", "x")
    assert done.code == code
    assert ("time-out" in done.complaint) == script.timed_out


def test_run_json(api: FakeApi, shell: Shell) -> None:
    api.scripts["x"] = Script(b"out", b"err", 3)
    done = shell("run", "python-3.11", "--json", "--", "x")
    assert (done.code, done.err) == (3, b"")
    assert done.json == {
        "bunker_id": "bnk_1",
        "exec_id": "exe_1",
        "exit_code": 3,
        "signal": None,
        "timed_out": False,
        "duration_ms": 7,
        "stdout": "b3V0",
        "stderr": "ZXJy",
        "encoding": "base64",
        "stdout_truncated": False,
        "stderr_truncated": False,
        "full_output_ref": None,
    }


def test_run_keep(api: FakeApi, shell: Shell) -> None:
    done = shell("run", "python-3.11", "--keep", "--", "true")
    assert "bnk_1 is kept" in done.complaint
    assert statuses(api) == ["running"]
    assert "max_lifetime_s" not in json.loads(api.requests("POST")[0].body)


def test_run_of_an_unknown_image(api: FakeApi, shell: Shell) -> None:
    done = shell("run", "nosuch", "--", "true")
    assert done.code == 125
    assert done.complaint.splitlines() == [
        "error: no image nosuch [IMAGE_NOT_FOUND]",
        "hint: image ls",
        "request: req_bad",
    ]


def test_a_broken_stream_ends_with_no_invented_code(api: FakeApi, shell: Shell) -> None:
    pieces = list(exec_events("exe_1", Script(b"half")))[:3]

    def broken(seen: Seen) -> httpx.Response:
        return streamed(pieces)

    api.transport.faults.extend([api.transport.handler, api.transport.handler, broken])
    done = shell("run", "python-3.11", "--", "x")
    assert (done.code, done.out) == (125, b"half")
    assert "command: exe_1" in done.complaint
    assert statuses(api) == ["terminated"]


@pytest.fixture
def hang_up() -> Iterator[None]:
    """Hanging up means something: a suite that runs under `nohup` has it ignored."""
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, inherited)


@pytest.mark.usefixtures("hang_up")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_signal_terminates_the_bunker(
    api: FakeApi, shell: Shell, number: int, moment: int
) -> None:
    """`moment`: while it is made, while it boots, while the command runs."""

    def hit(seen: Seen) -> httpx.Response:
        answer = api.transport.handler(seen)
        os.kill(os.getpid(), number)
        return answer

    api.transport.faults.extend([api.transport.handler] * moment)
    api.transport.faults.append(hit)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    done = shell("run", "python-3.11", "--", "sleep", "60")
    assert done.code == 128 + number
    assert statuses(api) == ["terminated"]
    after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert after == before


def test_one_more_signal_does_not_keep_it_from_being_terminated(api: FakeApi, shell: Shell) -> None:
    def hit(seen: Seen) -> httpx.Response:
        os.kill(os.getpid(), signal.SIGINT)
        return api.transport.handler(seen)

    handle = api.transport.handler
    api.transport.faults.extend([handle, handle, hit, hit])
    done = shell("run", "python-3.11", "--", "sleep", "60")
    assert done.code == 130
    assert "still cleaning up" in done.complaint
    assert statuses(api) == ["terminated"]


def test_signals_end_a_clean_up_that_hangs(api: FakeApi, shell: Shell) -> None:
    def hang(seen: Seen) -> httpx.Response:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not interrupted")

    handle = api.transport.handler
    api.transport.faults.extend([handle, handle, handle, hang])
    assert shell("run", "python-3.11", "--", "true").code == 128 + signal.SIGTERM


def test_an_ignored_signal_stays_ignored(api: FakeApi, shell: Shell) -> None:
    def hit(seen: Seen) -> httpx.Response:
        os.kill(os.getpid(), signal.SIGHUP)
        return api.transport.handler(seen)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        api.transport.faults.append(hit)
        assert shell("run", "python-3.11", "--", "true").code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_bunker_that_cannot_be_terminated_is_named(api: FakeApi, shell: Shell) -> None:
    handle = api.transport.handler
    gone = [httpx.ConnectError("gone")] * 4
    api.transport.faults.extend([handle, handle, handle, *gone])
    api.scripts["x"] = Script(exit_code=3)
    done = shell("run", "python-3.11", "--", "x")
    assert done.code == 3
    assert "scaibunker bunker rm bnk_1" in done.complaint


def test_a_command_without_dashes_needs_none(api: FakeApi, shell: Shell) -> None:
    assert shell("run", "python-3.11", "echo", "hi").out == b"echo hi\n"


@pytest.mark.parametrize(
    "argv",
    [
        ("run",),
        ("run", "python-3.11"),
        ("run", "python-3.11", "--nonsense", "--", "true"),
        ("run", "python-3.11", "--cpu", "fast", "--", "true"),
        ("run", "python-3.11", "--memory", "lots", "--", "true"),
        ("run", "python-3.11", "--user", "admin", "--", "true"),
        ("run", "python-3.11", "--timeout", "0", "--", "true"),
        ("run", "python-3.11", "--cwd", "tmp", "--", "true"),
        ("run", "python-3.11", "--env", "NOT_HERE", "--", "true"),
        ("run", "python-3.11", "--label", "nothing", "--", "true"),
    ],
)
def test_wrong_arguments(api: FakeApi, shell: Shell, argv: tuple[str, ...]) -> None:
    assert shell(*argv).code == 2
    assert api.transport.seen == []


def test_a_pipe_that_ends_is_sent_along(api: FakeApi, shell: Shell) -> None:
    for more in ([], ["--json"]):
        api.stdin = b""
        shell.pipe(BINARY)
        assert shell("run", "python-3.11", *more, "--", "cat").code == 0
        assert api.stdin == BINARY
    assert all("detach" not in json.loads(s.body) for s in api.requests("POST", "/exec"))


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_pipe_that_does_not_end_is_fed_while_the_command_runs(
    api: FakeApi, shell: Shell, more: list[str]
) -> None:
    read, write = os.pipe()
    shell.stdin = read
    shell.ends.append(read)
    os.write(write, b"first ")
    wait_for_input(api)
    handle = api.transport.handler

    def write_later(seen: Seen) -> httpx.Response:
        if seen.path.endswith("/stdin") and not api.stdin:
            os.write(write, BINARY)
            os.close(write)
        return handle(seen)

    api.transport.handler = write_later
    assert shell("run", "python-3.11", *more, "--", "cat").code == 0
    assert (api.stdin, api.stdin_closed) == (b"first " + BINARY, True)
    assert json.loads(api.requests("POST", "/exec")[0].body)["detach"] is True


def test_much_input_is_fed_in_pieces(
    api: FakeApi, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaibunker.cli.stdin.INLINE_BYTES", 100_000)
    content = os.urandom(1_000_000)
    shell.file(tmp_path / "in", content)
    wait_for_input(api)
    assert shell("run", "python-3.11", "--", "cat").code == 0
    assert (api.stdin, api.stdin_closed) == (content, True)
    pieces = api.requests("POST", "/stdin")
    assert max(sum(piece.chunks) for piece in pieces) < 250_000


def wait_for_input(api: FakeApi) -> None:
    """The command ends when its input does, as `cat`."""
    handle = api.transport.handler

    def events_after_input(seen: Seen) -> httpx.Response:
        if seen.path.endswith("/events"):
            assert api.input_over.wait(60)
        return handle(seen)

    api.transport.handler = events_after_input


def test_input_that_fails_kills_the_command(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaibunker.cli.stdin.INLINE_BYTES", 2)
    shell.pipe(b"half")
    wait_for_input(api)
    handle = api.transport.handler

    def lose_input(seen: Seen) -> httpx.Response:
        if seen.path.endswith("/stdin"):
            raise httpx.ReadError("reset")
        return handle(seen)

    api.transport.handler = lose_input
    done = shell("run", "python-3.11", "--", "cat")
    assert done.code == 125
    assert "lost the connection" in done.complaint
    assert api.signals == ["SIGKILL"]
    assert not api.stdin_closed
    assert statuses(api) == ["terminated"]


def test_a_command_that_ends_before_its_input_is_no_error(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaibunker.cli.stdin.INLINE_BYTES", 2)
    shell.pipe(b"more than it wants")
    handle = api.transport.handler

    def ended(seen: Seen) -> httpx.Response:
        if seen.path.endswith("/stdin"):
            return refused(409, "EXEC_NOT_RUNNING", "it has ended")
        return handle(seen)

    api.transport.handler = ended
    done = shell("run", "python-3.11", "--", "head", "-c1")
    assert (done.code, done.err) == (0, b"")


def test_input_that_cannot_be_read_is_an_error(api: FakeApi, shell: Shell, tmp_path: Path) -> None:
    shell.stdin = os.open(tmp_path, os.O_RDONLY)  # a directory
    shell.ends.append(shell.stdin)
    done = shell("run", "python-3.11", "--", "cat")
    assert done.code == 125
    assert "cannot read standard input: Is a directory" in done.complaint
    assert statuses(api) == ["terminated"]


def test_a_signal_ends_a_fed_command_too(api: FakeApi, shell: Shell) -> None:
    read, write = os.pipe()  # which nobody closes
    shell.stdin = read
    handle = api.transport.handler

    def hit(seen: Seen) -> httpx.Response:
        if seen.path.endswith("/events"):
            os.kill(os.getpid(), signal.SIGINT)
        return handle(seen)

    api.transport.handler = hit
    try:
        assert shell("exec", api.add_bunker(), "-i", "--", "cat").code == 130
    finally:
        os.close(write)
        os.close(read)
    assert api.signals == ["SIGKILL"]


def test_lost_output_of_a_followed_command_is_told(api: FakeApi, shell: Shell) -> None:
    bunker = api.add_bunker()
    shell("exec", bunker, "-d", "--", "x")
    whole = list(exec_events("exe_1", Script(b"tail")))
    pieces = [whole[0], sse("gap", {"bytes": 77}), *whole[1:]]
    api.transport.faults.append(lambda _: streamed(pieces))
    done = shell("bunker", "attach", bunker, "exe_1")
    assert (done.code, done.out) == (0, b"tail")
    assert "77 bytes are missing" in done.complaint


def test_a_file_is_sent_along(api: FakeApi, shell: Shell, tmp_path: Path) -> None:
    shell.file(tmp_path / "in", b"\xff input")
    os.lseek(shell.stdin, 1, os.SEEK_SET)
    assert shell("run", "python-3.11", "--", "cat").code == 0
    assert api.stdin == b" input"
    assert "detach" not in json.loads(api.requests("POST", "/exec")[0].body)


def test_exec_takes_input_only_if_told(api: FakeApi, shell: Shell, tmp_path: Path) -> None:
    shell.file(tmp_path / "in", b"input")
    bunker = api.add_bunker()
    shell("exec", bunker, "--", "cat")
    assert api.stdin == b""
    shell("exec", bunker, "-i", "--", "cat")
    assert api.stdin == b"input"


def test_exec_detached(api: FakeApi, shell: Shell) -> None:
    bunker = api.add_bunker()
    api.scripts["train"] = Script(b"epoch 1\n", exit_code=4)
    assert shell("exec", bunker, "--detach", "--", "train").text == "exe_1\n"
    assert shell("exec", bunker, "-d", "--json", "--", "train").json == {
        "bunker_id": "bnk_1",
        "exec_id": "exe_2",
    }
    attached = shell("bunker", "attach", bunker, "exe_1")
    assert (attached.code, attached.out) == (4, b"epoch 1\n")
    assert shell("bunker", "attach", bunker, "exe_1", "--json").json["stdout"] == "epoch 1\n"
    assert shell("bunker", "signal", bunker, "exe_1", "-s", "SIGINT").code == 0
    assert api.signals == ["SIGINT"]
    listed = shell("bunker", "execs", bunker, "--json").json
    assert [record["exec_id"] for record in listed] == ["exe_2", "exe_1"]
    assert "train" in shell("bunker", "execs", bunker).text
    assert shell("exec", bunker, "-d", "-i", "--", "x").code == 125
    assert shell("bunker", "attach", bunker, "exe_9").code == 125
    assert shell("bunker", "signal", bunker, "exe_9").code == 3


def test_exec_by_name(api: FakeApi, shell: Shell) -> None:
    api.add_bunker("bnk_1", "terminated", name="box")
    api.add_bunker("bnk_2", name="box")
    assert shell("exec", "box", "--", "hi").code == 0
    assert api.requests("POST")[-1].path.endswith("/bnk_2/exec")
    api.add_bunker("bnk_3", name="box")
    done = shell("exec", "box", "--", "hi")
    assert done.code == 125
    assert "2 bunkers are named 'box'" in done.complaint
    assert shell("bunker", "show", "box").code == 5
    assert shell("bunker", "show", "nobody").code == 3


def test_output_that_nobody_reads_ends_the_command(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("scaibunker.cli.foreground.passed_on", closed)
    quiet: list[int] = []
    monkeypatch.setattr("scaibunker.cli.session.os.dup2", lambda *args: quiet.extend(args))
    assert shell("run", "python-3.11", "--", "yes").code == 141
    assert quiet
    assert statuses(api) == ["terminated"]
