"""Lines of the log: whose they are, and which are not worth writing."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from scaigrid import logs
from scaigrid.operation import Caller, System


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    logging.getLogger("asyncmy").removeFilter(logs.is_worth_a_line)
    root.handlers[:] = handlers
    root.setLevel(level)


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    log = structlog.get_logger("test")
    logs.of_request("req_1")
    log.info("before")
    logs.of_caller(Caller("usr_1", "ten_1", "ann", "tenant_user", frozenset()))
    log.info("within")
    logs.of_system("reconciler")
    log.info("apart")
    logs.of_caller(System("worker"))
    log.info("service")
    logs.of_nobody()
    log.info("after")
    context = ("request_id", "tenant_id", "user_id", "system")
    assert [{k: line[k] for k in context if k in line} for line in written(capsys)] == [
        {"request_id": "req_1"},
        {"request_id": "req_1", "tenant_id": "ten_1", "user_id": "usr_1"},
        {"system": "reconciler"},
        {"system": "worker"},
        {},
    ]


def test_no_line_has_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    secret = "sgk_" + "x" * 43
    try:
        raise ValueError(f"what is {secret}?")
    except ValueError:
        structlog.get_logger("test").exception("failed", token="hunter2")
    logging.getLogger("library").error("it was %s", secret)
    first, second = written(capsys)
    assert "ValueError" in str(first["exception"])
    assert secret not in f"{first}{second}"
    assert first["token"] != "hunter2"


def test_the_noise_of_migrations_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    driver = logging.getLogger("asyncmy")
    driver.warning("Name 'pk_tenants' ignored for PRIMARY key.")
    driver.warning("Data truncated for column 'x' at row 1")
    assert [line["event"] for line in written(capsys)] == ["Data truncated for column 'x' at row 1"]
