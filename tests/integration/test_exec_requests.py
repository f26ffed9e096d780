"""Bad requests for commands: the field and the rule are named."""

import pytest

from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE


async def test_stdin_beyond_the_limit_is_refused(stack: Stack, bunker: str) -> None:
    response = await stack.call(
        "POST", f"/bunkers/{bunker}/exec", json={"command": "cat", "stdin": "x" * (16 * 2**20 + 1)}
    )
    assert error_of(response) == (413, "PAYLOAD_TOO_LARGE")
    response = await stack.call(
        "POST", f"/bunkers/{bunker}/exec", content=b'{"command": "' + b"x" * (27 * 2**20) + b'"}'
    )
    assert error_of(response) == (413, "PAYLOAD_TOO_LARGE")


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "command"),
        ({"command": ""}, "command"),
        ({"command": []}, "command"),
        ({"command": "a\0b"}, "command"),
        ({"command": "x", "timeout_s": 0}, "timeout_s"),
        ({"command": "x", "timeout_s": 86401}, "timeout_s"),
        ({"command": "x", "cwd": "relative"}, "cwd"),
        ({"command": "x", "user": "mallory"}, "user"),
        ({"command": "x", "env": {"A=B": "x"}}, "env"),
        ({"command": "x", "env": {"A": "x\0"}}, "env"),
        ({"command": "x", "stdin_base64": "***"}, "stdin_base64"),
        ({"command": "x", "stdin": "a", "stdin_base64": "YQ=="}, "body"),
        ({"command": "x", "stream": True, "detach": True}, "body"),
        ({"command": "x", "bogus": 1}, "bogus"),
    ],
)
async def test_a_bad_request_names_its_field(
    stack: Stack, worker: SimulatedWorker, bunker: str, body: dict[str, object], field: str
) -> None:
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json=body)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert any(name.split(".")[0] == field for name in fields_of(response))
    assert worker.machines[bunker].execs == {}


async def test_a_refusal_never_repeats_values(stack: Stack, bunker: str) -> None:
    secret = "hunter2-very-secret"
    response = await stack.call(
        "POST", f"/bunkers/{bunker}/exec", json={"command": "x", "env": {"A": secret + "\0"}}
    )
    assert response.status_code == 422
    assert secret not in response.text


async def test_an_unknown_command_is_not_found(stack: Stack, bunker: str) -> None:
    path = f"/bunkers/{bunker}/execs/exe_nope"
    assert error_of(await stack.call("GET", path)) == (404, "EXEC_NOT_FOUND")
    assert error_of(await stack.call("GET", f"{path}/output")) == (404, "EXEC_NOT_FOUND")
    other = "/bunkers/bnk_nope/execs/exe_nope"
    assert error_of(await stack.call("GET", other)) == (404, "BUNKER_NOT_FOUND")


@pytest.mark.parametrize(
    ("command", "field", "message"),
    [
        (5, "command", "must be a string or a list of strings"),
        (None, "command", "must be a string or a list of strings"),
        (["a", 3], "command.1", "Input should be a valid string"),
        (["a\0"], "command.0", "must not contain a NUL character"),
        ("x" * 131_072, "command", "at most 131071 bytes; put longer scripts in a file"),
    ],
)
async def test_what_is_wrong_with_a_command_is_said_plainly(
    stack: Stack, bunker: str, command: object, field: str, message: str
) -> None:
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": command})
    assert error_of(response) == (422, "VALIDATION_ERROR")
    [entry] = response.json()["error"]["details"]
    assert (entry["field"], entry["message"]) == (field, message)
