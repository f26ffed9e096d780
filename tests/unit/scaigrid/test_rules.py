"""The platform's small pure rules."""

import contextlib
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaigrid.auth.domain import ApiKey, digest, has_shape, new_secret
from scaigrid.errors import Kind, ValidationFailed, default_message
from scaigrid.http.errors import STATUS, from_validation
from scaigrid.http.paging import PageRequest, decode, encode
from scaigrid.ids import new_id, new_token
from scaigrid.operation import Caller, Operation, System, system_operation
from scaigrid.permissions.domain import PermissionKey, Permissions, Role

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_every_kind_of_error_has_a_status() -> None:
    assert set(STATUS) == set(Kind)


def test_ids_are_unique_readable_and_in_order() -> None:
    earlier = new_token()
    while time.time_ns() // 1_000_000 <= _milliseconds(earlier):
        pass
    assert earlier < new_token()
    assert len({new_token() for _ in range(1000)}) == 1000
    assert new_id("bnk").startswith("bnk_")
    assert len(new_id("bnk")) == 30
    assert new_id("bnk", "x") == "bnk_x"


def _milliseconds(token: str) -> int:
    """The time in a token: its first ten characters, but for the last two bits."""
    value = 0
    for character in token:
        value = value * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    return value >> 80


def test_keys_have_their_shape_and_are_never_alike() -> None:
    keys = {new_secret() for _ in range(100)}
    assert len(keys) == 100
    assert all(has_shape(key) and len(key) >= 36 for key in keys)
    assert len({digest(key) for key in keys}) == 100


@pytest.mark.parametrize("text", ["", "sgk_", "sgk_short", "xxx_" + "a" * 40, "sgk_" + "ü" * 40])
def test_what_is_no_key(text: str) -> None:
    assert not has_shape(text)


def test_when_a_key_is_good() -> None:
    def key(expires: datetime | None, revoked: datetime | None = None) -> ApiKey:
        return ApiKey("k", "t", "u", "n", "sgk_", NOW, expires, revoked)

    assert key(None).is_good(NOW)
    assert key(NOW + timedelta(seconds=1)).is_good(NOW)
    assert not key(NOW).is_good(NOW)
    assert not key(None, NOW).is_good(NOW)


def test_which_role_has_which_key() -> None:
    permissions = Permissions(
        [PermissionKey("a", ""), PermissionKey("b", ""), PermissionKey("p", "", platform=True)]
    )
    held = {role: permissions.of(role) for role in Role}
    assert held == {
        Role.SUPER_ADMIN: {"a", "b", "p"},
        Role.PARTNER_ADMIN: {"a", "b"},
        Role.TENANT_ADMIN: {"a", "b"},
        Role.TENANT_USER: frozenset(),
        Role.TENANT_VIEWER: frozenset(),
    }
    assert permissions.of(Role.TENANT_USER, ["a", "p", "gone"]) == {"a"}
    assert permissions.of("made_up", ["b"]) == {"b"}


@given(st.datetimes(timezones=st.just(UTC)), st.text(max_size=80).filter(lambda t: t.isprintable()))
def test_a_cursor_comes_back_as_it_was(at: datetime, key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    assert decode(encode((at, key))) == (at, key)


def test_a_cursor_is_the_same_time_in_every_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    assert encode((elsewhere, "x")) == encode((NOW, "x"))


@given(st.text(max_size=60))
def test_whatever_is_no_cursor_is_refused(text: str) -> None:
    with contextlib.suppress(ValidationFailed):
        at, _ = decode(text)
        assert at.tzinfo is not None


def test_a_page_has_a_cursor_only_if_there_is_more() -> None:
    rows = [(NOW, str(n)) for n in range(3)]
    page = PageRequest(limit=2)
    assert page.slice(rows, lambda r: r).items == rows[:2]
    assert page.slice(rows, lambda r: r).next_cursor == encode(rows[1])
    assert page.slice(rows[:2], lambda r: r).next_cursor is None


def test_a_refusal_names_fields_and_never_values() -> None:
    error = from_validation(
        [
            {"loc": ("body", "env", "A"), "msg": "Value error, too long", "input": "secret"},
            {"loc": ("query", "limit"), "msg": "bad", "input": "secret"},
            {"loc": ("body",), "msg": "Field required", "input": None},
        ]
    )
    assert [d["field"] for d in error.details] == ["env.A", "limit", "body"]
    assert error.details[0]["message"] == "too long"
    assert "secret" not in repr(error.details) + error.message


def test_a_loop_acts_for_no_user() -> None:
    class Still:
        def now(self) -> datetime:
            return NOW

        def monotonic(self) -> float:
            return 0.0

    op = system_operation("loop", Still())
    assert op.caller == System("loop")
    with pytest.raises(TypeError):
        _ = op.user
    person = Operation(Caller("u", "t", "n", "r", frozenset()), "req", Still())
    assert person.user.user_id == "u"
    assert person.token != op.token


def test_an_errors_docstring_is_its_message() -> None:
    class Sample(ValidationFailed):
        """One sentence
        over two lines.

        And more.
        """

    assert default_message(Sample) == "One sentence over two lines."
    assert Sample().message == "One sentence over two lines."
    assert Sample("other").message == "other"
