"""A worker or a guest that says what cannot be: refused by name, and nobody else is hurt."""

import json
from typing import Any

import pytest

from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.guest.frames import Kind, encode, encode_json
from tests.integration.commands import Output
from tests.integration.simulated_worker import TOKEN, SimulatedWorker
from tests.integration.stack import Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until

HUGE = 1 << 63
END: dict[str, Any] = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 1}
ENDED = {"bunker_id": "bnk_x", "exec_id": "exe_x", "running": False, "exit": END}
MACHINE = {"bunker_id": "bnk_x", "state": "running"}


@ONE_DATABASE
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("worker_id", "../../etc"),
        ("worker_id", "wrk_" + "x" * 61),
        ("worker_id", "wrk_a\n"),
        ("name", "x" * 256),
        ("address", "http://" + "x" * 512),
        ("version", "x" * 65),
        ("network_profiles", ["isolated"] * 65),
        ("capacity.memory_mb", HUGE),
        ("capacity.memory_mb", -1),
        ("capacity.cpu_millicores", True),
        ("capacity.gpus", {"x" * 65: 1}),
        ("machines", [{**MACHINE, "bunker_id": "bnk_x\u0000"}]),
        ("machines", [{**MACHINE, "egress_bytes": HUGE}]),
        ("machines", [{**MACHINE, "timings": {"running_ms": float("inf")}}]),
        ("finished_execs", [{**ENDED, "stdout_bytes": HUGE}]),
        ("finished_execs", [{**ENDED, "exec_id": "../x"}]),
        ("finished_execs", [{**ENDED, "exit": {**END, "duration_ms": -1}}]),
        ("cached_images", ["x" * 256]),
        ("registry_hosts", ["x" * 256]),
        ("registry_hosts", ["pypi.registry.test"] * 257),
        ("registry_hosts", [""]),
        ("default_bandwidth_mbit", 0),
        ("default_bandwidth_mbit", 10_001),
        ("addresses", ["0.0.0.0/0"]),
        ("addresses", ["worker.test"]),
        ("addresses", ["fe80::1%eth0"]),
        ("addresses", ["127.0.0.1"] * 33),
    ],
)
async def test_a_heartbeat_out_of_bounds_is_refused_by_its_field(
    stack: Stack, worker: SimulatedWorker, field: str, value: object
) -> None:
    before = await stack.data_of("GET", "/workers", "super_admin")
    beat = worker.heartbeat().model_dump(mode="json")
    *path, last = field.split(".")
    place = beat
    for part in path:
        place = place[part]
    place[last] = value
    response = await stack.call(
        "POST",
        "/heartbeat",
        None,
        content=json.dumps(beat),  # which can write infinity
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert all(name.startswith(field) for name in fields_of(response)), response.text
    after = await stack.data_of("GET", "/workers", "super_admin")
    assert [w["id"] for w in after] == [w["id"] for w in before]


@pytest.mark.parametrize(
    "lie",
    [
        {"exit_code": HUGE},
        {"exit_code": -1},
        {"exit_code": True},
        {"exit_code": 0.5},
        {"duration_ms": HUGE},
        {"duration_ms": -1},
        {"duration_ms": float("nan")},
        {"signal": "S" * 100, "exit_code": None},
        {"timed_out": "yes"},
    ],
)
async def test_an_end_that_cannot_be_is_none(
    stack: Stack, worker: SimulatedWorker, bunker: str, lie: dict[str, Any]
) -> None:
    async def lying(_: ExecStart, output: Output) -> None:
        await output.raw(encode_json(Kind.EXIT, {**END, **lie}))

    worker.commands["lie"] = lying
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "lie"})
    assert error_of(response) == (502, "WORKER_UNREACHABLE")
    honest = await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    assert honest["exit_code"] == 0

    async def told() -> bool:
        log = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
        return [entry["state"] for entry in log] == ["exited", "lost"]

    await until(told)


@pytest.mark.parametrize("missing", [b"1e999", b"-5", b"true", b'"7"', b"null", str(HUGE).encode()])
async def test_a_gap_that_cannot_be_is_of_unknown_length(
    stack: Stack, worker: SimulatedWorker, bunker: str, missing: bytes
) -> None:
    async def gappy(_: ExecStart, output: Output) -> None:
        await output.raw(encode(Kind.GAP, b'{"bytes": ' + missing + b"}"))
        await output.exit(0)

    worker.commands["gappy"] = gappy
    response = await stack.call(
        "POST",
        f"/bunkers/{bunker}/exec",
        json={"command": "gappy", "stream": True},
    )
    assert response.status_code == 200
    assert 'event: gap\ndata: {"bytes":0}' in response.text, response.text
    assert "event: exit" in response.text
