"""What a newcomer wants to see: code that runs in a real virtual machine, driven through the API.

`python -m scaibunker.dev.demo` starts everything in a folder of its own, shows it, takes it down and
exits with 0. `--keep` leaves it running until Ctrl-C and says what to try next.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from scaibunker.dev.errors import StartFailed, StartStopped
from scaibunker.dev.layout import Credentials, Layout
from scaibunker.dev.main import started, stopped_by_signals
from scaibunker.dev.ports import free_port
from scaibunker.sdk import Bunker, Client, ExecOutput, ScaiBunkerError

HOST = "127.0.0.1"
IMAGE = "python-3.11"
PROGRAM = """\
import os, platform, sys
print(f"Python {platform.python_version()} as uid {os.getuid()} on {os.cpu_count()} CPU")
print("the first ten squares:", [n * n for n in range(1, 11)])
"""
STREAMED = 'for i in 1 2 3; do echo "line $i"; sleep 0.3; done'
LATER_EXECS = 20

show = Console(highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description="see code run in a real microVM")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    parser.add_argument("--data-dir", type=Path, help="default: a new folder, removed at the end")
    parser.add_argument("--port", type=int, help="default: a free one")
    options = parser.parse_args(arguments)
    stop = stopped_by_signals()
    layout = Layout(options.data_dir or Path(tempfile.mkdtemp(prefix="scaibunker-demo-")))
    port = options.port or free_port(HOST)
    try:
        with started(layout, HOST, port, stop, keep_bunkers=False) as credentials:
            if stop.is_set():
                return 130
            with Client(credentials.base_url, credentials.keys["user"]) as client:
                present(client)
            if options.keep:
                _next_steps(credentials, layout)
                stop.wait()
    except StartStopped:
        return 130
    except (StartFailed, ScaiBunkerError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        if options.data_dir is None:
            shutil.rmtree(layout.root, ignore_errors=True)
    return 0


def present(client: Client) -> None:
    """Create a bunker, use it in every way there is, and terminate it."""
    begun = time.monotonic()
    bunker = client.bunkers.create(image=IMAGE, name="demo", wait=True)
    created_s = time.monotonic() - begun
    with bunker:
        begun = time.monotonic()
        kernel = bunker.exec("uname -r", check=True).stdout.strip()
        first_exec_s = time.monotonic() - begun
        _who_it_is(bunker, kernel)
        _program(bunker)
        _file(bunker)
        _stream(bunker)
        later = sorted(_timed_exec(bunker) for _ in range(LATER_EXECS))
    show.rule("How long it took")
    show.print(f"create to running      {created_s * 1000:8.0f} ms   (a cold boot)")
    show.print(f"first exec             {first_exec_s * 1000:8.1f} ms")
    show.print(
        f"later execs            {statistics.median(later) * 1000:8.1f} ms   "
        f"(median of {LATER_EXECS}, /bin/true)"
    )
    show.print(f"\n[bold green]Terminated[/] {bunker.id}; nothing of it is left.")


def _who_it_is(bunker: Bunker, kernel: str) -> None:
    release = bunker.exec('. /etc/os-release && echo "$PRETTY_NAME"', check=True).stdout.strip()
    show.rule("A bunker")
    show.print(f"id            [bold]{bunker.id}[/]")
    show.print(f"kernel        {kernel}   (this host runs {os.uname().release})")
    show.print(f"distribution  {release}")


def _program(bunker: Bunker) -> None:
    show.rule("A Python program in it")
    result = bunker.exec(["python3", "-c", PROGRAM], check=True)
    show.print(result.stdout.rstrip(), markup=False)


def _file(bunker: Bunker) -> None:
    show.rule("A file, written and read back")
    path, content = "/home/bunker/notes/hello.txt", b"written from outside\n"
    bunker.files.write(path, content)
    inside = bunker.exec(["cat", path], check=True).stdout
    outside = bunker.files.read(path)
    if not inside.encode() == outside == content:
        raise StartFailed("the file came back changed")
    show.print(f"{path}: {outside.decode().strip()!r}", markup=False)


def _stream(bunker: Bunker) -> None:
    show.rule("A command's output as it comes")
    begun = time.monotonic()
    with bunker.stream(STREAMED) as events:
        for event in events:
            if isinstance(event, ExecOutput):
                text = f"{time.monotonic() - begun:5.2f} s  {event.text.rstrip()}"
                show.print(text, markup=False)


def _timed_exec(bunker: Bunker) -> float:
    begun = time.monotonic()
    bunker.exec(["/bin/true"], check=True)
    return time.monotonic() - begun


def _next_steps(credentials: Credentials, layout: Layout) -> None:
    cli = Path(sys.executable).with_name("scaibunker")
    show.rule("It is yours now (Ctrl-C stops it)")
    show.print(f"export SCAIBUNKER_PROFILE={layout.credentials}", markup=False)
    show.print(f"{cli} run {IMAGE} -- python3 -c 'print(6 * 7)'", markup=False)
    show.print(f"{cli} bunker create {IMAGE}", markup=False)
    show.print(f'curl -H "Authorization: Bearer $KEY" {credentials.base_url}/v1/me', markup=False)


if __name__ == "__main__":
    sys.exit(main())
