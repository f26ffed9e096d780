"""What is in an audit entry, and when refusals are folded."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaigrid.audit.domain import (
    MAX_DETAIL,
    MAX_DETAILS,
    NOBODY,
    Actor,
    ActorType,
    Entry,
    Outcome,
    bounded,
    bounded_details,
    entry_id,
    outcome_of,
    resource_of,
)
from scaigrid.audit.folding import CHEAP, PROVEN, SINGLES, SOURCES, WINDOW_S, Folding
from scaigrid.auth.models import Me
from scaigrid.http.access import Public, Service, Signed
from scaigrid.http.address import source_of
from scaigrid.http.download import cell
from scaigrid.http.routes import Routes, one

AT = datetime(2026, 1, 1, tzinfo=UTC)
REFUSAL = Entry(
    id="aud_1",
    at=AT,
    tenant_id=None,
    actor=NOBODY,
    action="create_bunker",
    method="POST",
    path="/",
    resource_type="bunker",
    resource_id=None,
    outcome=Outcome.REFUSED,
    status=401,
    code="AUTH_TOKEN_INVALID",
    address="192.0.2.1",
    request_id="req_1",
)
ANN = Actor(ActorType.USER, "usr_ann", "ann")


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("/v1/api-keys", {}, ("api_key", None)),
        ("/v1/api-keys/{key_id}", {"key_id": "k"}, ("api_key", "k")),
        ("/v1/modules/{module}/enable", {"module": "m"}, ("module", "m")),
        ("/b/bunkers/{b}/execs/{e}/signal", {"b": "b1", "e": "e1"}, ("exec", "e1")),
        ("/b/bunkers/{b}/exec", {"b": "b1"}, ("bunker", "b1")),
        ("/policies/{p}", {"p": "x" * 300}, ("policy", "x" * 254 + "…")),
        ("/storage/{key:path}", {"key": "a/b"}, ("storage", "a/b")),
        ("/bunkers/{b}", {}, ("bunker", None)),
    ],
)
def test_the_resource_of_a_path(
    template: str, values: dict[str, str], expected: tuple[str, str | None]
) -> None:
    assert resource_of(template, values) == expected


def test_outcomes() -> None:
    assert outcome_of(201, None) is Outcome.SUCCESS
    assert outcome_of(403, "AUTHZ_PERMISSION_DENIED") is Outcome.REFUSED
    assert outcome_of(502, "WORKER_UNREACHABLE") is Outcome.FAILED
    assert outcome_of(422, "REQUEST_ABORTED") is Outcome.ABORTED


def test_an_entry_is_found_by_its_requests_id() -> None:
    assert entry_id("req_01abc") == "aud_01abc"


@given(st.text(), st.integers(1, 200))
def test_text_is_bounded_and_one_line(text: str, limit: int) -> None:
    shown = bounded(text, limit)
    assert len(shown) <= limit
    assert not any(character in shown for character in "\n\r\x00\x1b")
    shown.encode()


def test_what_looks_like_a_secret_is_hidden() -> None:
    key = "sgk_" + "a" * 43
    assert key[4:] not in bounded(f"/v1/{key}", 1024)
    assert key[4:] not in bounded("x" * 50 + key, 64)


def test_details_are_few_short_and_flat() -> None:
    shown = bounded_details(
        {"text": "x" * 1000, "number": 7, "no": None, "yes": True, "nested": {"a": [1]}}
    )
    assert len(shown["text"]) == MAX_DETAIL
    assert (shown["number"], shown["no"], shown["yes"]) == (7, None, True)
    assert shown["nested"] == "{'a': [1]}"
    assert len(bounded_details({str(n): n for n in range(100)})) == MAX_DETAILS


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\tx", "\rx"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_other_cells_are_left_alone() -> None:
    assert [cell(v) for v in ("a=b", None, 7, {"b": 1, "a": "x"})] == [
        "a=b",
        "",
        "7",
        '{"a": "x", "b": 1}',
    ]


def test_a_source_is_an_ipv4_address_or_an_ipv6_network() -> None:
    assert source_of("192.0.2.7") == source_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert source_of("2001:db8:1:2:3::4") == source_of("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert source_of(None) == source_of("a proxy's nonsense") == "unknown"


def test_only_a_services_operation_may_be_exempt() -> None:
    async def endpoint() -> None:
        """Do it."""

    routes = Routes("/x", "x")
    answers = one(Me)
    routes.add("POST", "", endpoint, access=Service("s", "t"), answers=answers, audited=False)
    for access in (Public(), Signed()):
        with pytest.raises(TypeError, match="POST /x"):
            routes.add("POST", "", endpoint, access=access, answers=answers, audited=False)


def test_a_source_has_so_many_entries_of_its_own_in_a_window() -> None:
    folding = Folding()
    taken = [folding.take(replace(REFUSAL, id=f"aud_{n}"), 0.0) for n in range(CHEAP + 3)]
    assert [entry is not None for entry in taken] == [True] * CHEAP + [False] * 3
    assert folding.take(replace(REFUSAL, address="192.0.2.2"), 1.0) is not None
    assert folding.take(replace(REFUSAL, actor=ANN, status=403), 1.0) is not None
    assert folding.due(WINDOW_S - 1) == []
    [folded] = folding.due(WINDOW_S)
    assert folded.id == f"aud_{CHEAP + 2}"
    assert folded.details["folded"] == 3
    assert folding.due(WINDOW_S) == []
    assert folding.take(REFUSAL, WINDOW_S) is not None  # a new window


def test_what_was_counted_is_told_apart_by_status_and_code_and_never_lost() -> None:
    folding = Folding()
    for number in range(CHEAP + 7):
        code = "AUTH_TOKEN_MISSING" if number % 2 else "AUTH_TOKEN_INVALID"
        folding.take(replace(REFUSAL, code=code), 0.0)
    counts = {entry.code: entry.details["folded"] for entry in folding.drain()}
    assert counts == {"AUTH_TOKEN_MISSING": 3, "AUTH_TOKEN_INVALID": 4}
    assert folding.drain() == []


def test_a_proven_caller_has_more_room_unless_it_is_over_its_limit() -> None:
    def singles(entry: Entry) -> int:
        folding = Folding()
        return sum(folding.take(entry, 0.0) is not None for _ in range(PROVEN + 10))

    mine = replace(REFUSAL, actor=ANN, status=403, code="AUTHZ_PERMISSION_DENIED")
    assert singles(mine) == PROVEN
    assert singles(replace(mine, status=429, code="RATE_LIMITED")) == CHEAP


def test_addresses_without_number_are_bounded() -> None:
    folding = Folding()
    written = 0
    for number in range(SOURCES + 5000):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        written += folding.take(replace(REFUSAL, address=address), 0.0) is not None
    [others] = folding.drain()
    assert written == SOURCES + CHEAP
    assert others.address is None
    assert others.details["folded"] == 5000 - CHEAP


def test_all_sources_together_are_bounded() -> None:
    folding = Folding()
    written = sum(
        folding.take(replace(REFUSAL, address=f"10.0.0.{n % 200}"), 0.0) is not None
        for n in range(200 * CHEAP)
    )
    assert written == SINGLES
