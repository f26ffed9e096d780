"""`python -m scaibunker.testing` as a load tester runs it."""

import asyncio
import os
import signal
import sys

from tests.unit.testing.ear import IMAGE, IMAGE_SIZE, TOKEN, Ear
from tests.waiting import until

ARGV = [sys.executable, "-m", "scaibunker.testing", "--workers", "4", "--spread-s", "0"]
ENVIRONMENT = {"PATH": os.environ["PATH"]}


async def test_workers_report_until_they_are_stopped(ear: Ear) -> None:
    process = await asyncio.create_subprocess_exec(
        *ARGV, "--controller", ear.url, "--image", f"{IMAGE}={IMAGE_SIZE}", "--fault", "mute=1",
        env={**ENVIRONMENT, "SCAIBUNKER_WORKER_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready 4\n"
        others = {f"wrk_sim000{number}" for number in range(1, 4)}

        def all_reported() -> bool:
            return others <= {report.worker_id for report in ear.reports}

        await until(all_reported)
        ear.reports.clear()
        await until(all_reported)
        assert "wrk_sim0000" not in {report.worker_id for report in ear.reports}
        assert ear.reports[-1].cached_images == [IMAGE]
    finally:
        process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert b"0 machines ran at the end" in await process.stdout.read()


async def test_without_a_token_nothing_starts() -> None:
    process = await asyncio.create_subprocess_exec(
        *ARGV, "--controller", "http://127.0.0.1:9",
        env=ENVIRONMENT,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert (process.returncode, said) == (2, b"SCAIBUNKER_WORKER_TOKEN is not set\n")
