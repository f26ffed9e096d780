"""The console's file: bounded, and harmless to look at."""

import asyncio
from pathlib import Path

from scaibunker.worker.vmm.console import FILE_LIMIT, KEEP_BYTES, Console, read_tail
from tests.waiting import until


async def test_the_file_keeps_the_end_and_does_not_grow(tmp_path: Path) -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * (FILE_LIMIT + 1000) + b"the end\r\n")
        writer.close()

    socket, log = tmp_path / "s", tmp_path / "console.log"
    async with await asyncio.start_unix_server(flood, str(socket)):
        console = Console(socket, log)
        console.open()
        await until(lambda: read_tail(log).endswith("the end"))
        await console.close()
    assert KEEP_BYTES <= log.stat().st_size <= FILE_LIMIT


async def test_a_console_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    console = Console(tmp_path / "none", tmp_path / "log")
    console.open()
    await console.close()
    assert read_tail(tmp_path / "log") == ""


def test_control_characters_are_removed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[31mred\x1b[0m\r\n\x07bell\ttab\xff")
    tail = read_tail(log)
    assert "\x1b" not in tail
    assert "\x07" not in tail
    assert "red" in tail
    assert "bell\ttab" in tail
