"""Large outputs in a bucket: the controller with a real S3 server, which may go away."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaibunker.wire.guest.execs import ExecStart
from tests.integration.commands import Output, saying
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of
from tests.servers import S3Server, running
from tests.waiting import until

WHOLE = bytes(range(250)) * 80_000  # 20 MB


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    yield from running(S3Server(tmp_path / "s3"))


@pytest.fixture
def knobs(server: S3Server) -> Knobs:
    return Knobs(
        storage={
            "object_store_url": f"s3://{server.BUCKET}/prefix",
            "object_store_endpoint": server.endpoint,
            "object_store_access_key_id": server.KEY_ID,
            "object_store_secret_access_key": server.SECRET,
            "object_store_allow_http": True,
            "object_store_retries": 1,
            "object_store_retry_for_s": 1,
        }
    )


async def test_a_server_that_goes_away_costs_outputs_and_no_command(
    stack: Stack, worker: SimulatedWorker, bunker: str, server: S3Server
) -> None:
    worker.commands["emit"] = saying(WHOLE, code=3)

    async def run() -> tuple[dict[str, object], str]:
        done = await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "emit"})
        return done, f"/bunkers/{bunker}/execs/{done['exec_id']}/output"

    kept, path = await run()
    assert kept["full_output_ref"] is not None
    assert (await stack.call("GET", path)).content == WHOLE
    part = await stack.call("GET", path, headers={"Range": "bytes=249-251"})
    assert (part.status_code, part.content) == (206, WHOLE[249:252])
    assert part.headers["content-range"] == f"bytes 249-251/{len(WHOLE)}"

    server.kill()
    lost, path_of_lost = await run()
    assert (lost["exit_code"], lost["stdout_truncated"], lost["full_output_ref"]) == (3, True, None)
    response = await stack.call("GET", path)
    assert error_of(response) == (503, "STORAGE_UNAVAILABLE")
    assert response.json()["error"]["retry_after"] > 0
    assert int(response.headers["retry-after"]) > 0

    server.start()
    assert (await stack.call("GET", path)).content == WHOLE
    assert error_of(await stack.call("GET", path_of_lost)) == (404, "OBJECT_NOT_FOUND")


async def test_a_caller_that_goes_away_leaves_no_unfinished_upload(
    stack: Stack, worker: SimulatedWorker, bunker: str, server: S3Server
) -> None:
    async def emit(_: ExecStart, output: Output) -> None:
        await output.out(WHOLE)
        await asyncio.Event().wait()

    worker.commands["emit"] = emit
    calling = asyncio.create_task(
        stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "emit"})
    )
    await until(lambda: bool(server.unfinished()))
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await until(lambda: not server.unfinished())
    assert not [path for path in server.objects.rglob("stdout") if path.is_file()]
