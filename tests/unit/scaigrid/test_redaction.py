"""What looks like a secret does not get into a log."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from scaigrid.redaction import HIDDEN, redact

KEY = "sgk_" + "Ab3-_" * 8
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c3IifQ.c2lnbmF0dXJl"


def line(**event: Any) -> Mapping[str, Any]:
    return redact(None, "info", event)


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "token",
        "worker_token",
        "accessToken",
        "secret",
        "client_secret",
        "password",
        "db-password",
        "env",
        "env_values",
        "environment",
        "api_key",
        "set-cookie",
    ],
)
def test_a_value_is_hidden_for_its_name(name: str) -> None:
    assert line(**{name: "hunter2"}) == {name: HIDDEN}
    assert line(body={"deep": [{name: "hunter2"}]}) == {"body": {"deep": [{name: HIDDEN}]}}


@pytest.mark.parametrize(
    "text",
    [
        f"the key {KEY} is bad",
        f"Authorization: Bearer {KEY}",
        "Bearer a-service-token-of-some-length",
        "authorization: BASIC dXNlcjpwYXNzd29yZA==",
        f"got {JWT}, which is old",
        "cannot connect to mariadb://grid:hunter2@db.internal/grid",
        "redis://:hunter2@cache:6379/0",
    ],
)
def test_a_secret_is_hidden_wherever_it_stands(text: str) -> None:
    hidden = line(event=text, error=ValueError(text), nested={"list": [text, {text: 1}]})
    shown = repr(hidden)
    for secret in (KEY, KEY[4:], JWT, "hunter2", "a-service-token", "dXNlcjpwYXNzd29yZA"):
        assert secret not in shown
    assert HIDDEN in hidden["event"]


def test_the_rest_stays_as_it_is() -> None:
    event = {
        "event": "request",
        "path": "/v1/modules/scaibunker/bunkers/bnk_01/files",
        "status": 200,
        "ms": 1.5,
        "user_id": None,
        "ok": True,
        "envelope": "https://example.org/a:b@c",
        "bunkers": ["bnk_1", "bnk_2"],
    }
    assert line(**event) == event


def test_what_is_no_plain_value_is_looked_at_as_text() -> None:
    class Holder:
        def __repr__(self) -> str:
            return f"<Holder {KEY}>"

    assert line(held=Holder(), raw=KEY.encode()) == {
        "held": f"<Holder sgk_{HIDDEN}>",
        "raw": f"b'sgk_{HIDDEN}'",
    }
    assert line(settings=SecretStr("hunter2")) == {"settings": "SecretStr('**********')"}


def test_what_has_no_end_is_cut_off() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    assert HIDDEN in repr(line(value=endless))
