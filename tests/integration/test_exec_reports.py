"""What a worker reports of commands that have ended."""

from typing import Any

import pytest

from scaibunker.controller.relay import exec_log
from scaibunker.wire.worker.machines import ExecStatus
from scaigrid.db import Database
from tests.integration.commands import vanish
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack


async def test_the_workers_report_corrects_a_lost_command(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["x"] = vanish
    await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    worker.finished = [
        ExecStatus.model_validate(
            {
                "bunker_id": bunker,
                "exec_id": entry["exec_id"],
                "running": False,
                "exit": {"exit_code": 5, "signal": None, "timed_out": False, "duration_ms": 9},
                "stdout_bytes": 7,
                "stdout_preview": "partial",
            }
        )
    ]
    answer = await worker.beat(stack.client)
    assert answer.acknowledged_execs == [entry["exec_id"]]
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert (entry["state"], entry["exit_code"], entry["error"]) == ("exited", 5, None)
    assert entry["output_preview"] == "partial"


async def test_a_report_about_a_command_that_has_ended_changes_nothing(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    result = await stack.run(bunker, "fine")
    report = {
        "bunker_id": bunker,
        "running": False,
        "exit": {"exit_code": 99, "signal": None, "timed_out": False, "duration_ms": 1},
    }
    worker.finished = [
        ExecStatus.model_validate({**report, "exec_id": result["exec_id"]}),
        ExecStatus.model_validate({**report, "exec_id": "exe_unknown"}),
    ]
    answer = await worker.beat(stack.client)
    assert set(answer.acknowledged_execs) == {result["exec_id"], "exe_unknown"}
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert entry["exit_code"] == 0


def reported(bunker_id: str, exec_id: str) -> ExecStatus:
    """A worker's word that a command has ended well."""
    end = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 1}
    report = {"bunker_id": bunker_id, "exec_id": exec_id, "running": False, "exit": end}
    return ExecStatus.model_validate(report)


async def test_however_many_ends_a_worker_reports_they_are_looked_up_together(
    stack: Stack, worker: SimulatedWorker, bunker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.commands["x"] = vanish
    await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    read, reads = Database._read, 0

    async def counting(self: Database, work: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(self, work)

    monkeypatch.setattr(Database, "_read", counting)
    unknown = [f"exe_unknown{n}" for n in range(5000)]
    worker.finished = [reported(bunker, entry["exec_id"])] * 5000
    worker.finished += [reported(bunker, exec_id) for exec_id in unknown]
    answer = await worker.beat(stack.client)
    assert sorted(answer.acknowledged_execs) == sorted([entry["exec_id"], *unknown])
    assert reads < 1000  # others read in the background
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert (entry["state"], entry["exit_code"]) == ("exited", 0)


async def test_ends_for_which_there_was_no_time_are_left_for_the_next_report(
    stack: Stack, worker: SimulatedWorker, bunker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_log, "TAKEN_AT_ONCE", 2)
    monkeypatch.setattr(exec_log, "TAKE_S", 0.0)
    worker.commands["x"] = vanish
    for _ in range(3):
        await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    log = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    worker.finished = [reported(bunker, entry["exec_id"]) for entry in log]
    assert len((await worker.beat(stack.client)).acknowledged_execs) == 2
    assert len((await worker.beat(stack.client)).acknowledged_execs) == 1
    log = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert [entry["state"] for entry in log] == ["exited"] * 3
