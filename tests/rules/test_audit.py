"""What the audit log leaves out is on a list, and what it records has a name."""

from pathlib import Path

import pytest

from scaigrid.audit.domain import MAX_NAME, resource_of
from scaigrid.audit.middleware import MUTATING
from scaigrid.http.routes import Declaration, GuardedRoute
from tests.rules.generators import load

EXEMPT = ["post_heartbeat"]
"""Once a second from every worker, and no person's doing. Without a good token it is recorded."""


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> list[Declaration]:
    scratch: Path = tmp_path_factory.mktemp("grid")
    app = load("generate_server_reference")._grid(scratch).app
    return [r.declaration for r in app.router.routes if isinstance(r, GuardedRoute)]


def test_nothing_else_is_exempt(declarations: list[Declaration]) -> None:
    assert [d.endpoint.__name__ for d in declarations if not d.audited] == EXEMPT


def test_every_method_that_is_used_is_a_read_or_recorded(declarations: list[Declaration]) -> None:
    assert {d.method for d in declarations} <= MUTATING | {"GET", "HEAD"}


def test_actions_and_resources_have_names(declarations: list[Declaration]) -> None:
    for each in declarations:
        if each.method in MUTATING:
            kind, _ = resource_of(each.path, {})
            assert kind, each.path
            assert len(each.endpoint.__name__) <= MAX_NAME
