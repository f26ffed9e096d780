"""The server's reference pages say what the code says, and what tiers share is the same in both."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from scaibunker.controller.bunkers.lifecycle import FINAL, TRANSITIONS, State
from scaibunker.wire.api import audit as wire_audit
from scaibunker.wire.api import envelope as wire_envelope
from scaibunker.wire.api import identity as wire_identity
from scaibunker.wire.api.bunkers import BunkerStatus
from scaibunker.wire.codes import Code
from scaigrid.audit import models as audit
from scaigrid.auth import models as identity
from scaigrid.errors import GridError, Kind
from scaigrid.http import envelope
from tests.rules.generators import ROOT, load


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load("generate_server_reference")


@pytest.fixture(scope="module")
def pages(generator: ModuleType) -> dict[str, str]:
    made: dict[str, str] = generator.pages()
    return made


@pytest.mark.parametrize(
    "name",
    [
        "api.md",
        "errors.md",
        "permissions.md",
        "policy.json",
        "policy.md",
        "settings.md",
        "states.md",
    ],
)
def test_a_page_is_up_to_date(pages: dict[str, str], name: str) -> None:
    written = (ROOT / "docs/reference" / name).read_text()
    assert written == pages[name], "run: python scripts/generate_server_reference.py"


def test_what_a_process_had_imported_makes_no_difference() -> None:
    """Nor does what the environment says of the server, of the terminal, or of hashes."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "SCAIGRID_HTTP_PORT": "9",
        "SCAIGRID_JWT_ISSUER": "elsewhere",
        "SCAIBUNKER_EXEC_GRACE_S": "3",
        "COLUMNS": "40",
        "FORCE_COLOR": "1",
    }
    argv = [sys.executable, "-m", "tests.rules.elsewhere"]
    done = subprocess.run(argv, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    made = json.loads(done.stdout)
    assert len(made) == 9
    for name, text in made.items():
        assert text == (ROOT / "docs/reference" / name).read_text(), name


def test_a_code_is_shown_with_all_that_it_may_mean(
    generator: ModuleType, pages: dict[str, str]
) -> None:
    for error in generator.errors():
        section = pages["errors.md"].split(f"\n## {error.code}\n")[1].split("\n## ")[0]
        assert f"HTTP {generator.status_of(error)}." in section
        assert generator.default_message(error) in section
        assert (error.hint or "") in section


def test_a_code_of_two_statuses_is_refused(generator: ModuleType) -> None:
    class Missing(GridError):
        """Not here."""

        kind = Kind.NOT_FOUND

    class Taken(GridError):
        """Here already."""

        kind = Kind.CONFLICT

    with pytest.raises(ValueError, match="X is of more than one HTTP status"):
        list(generator._error("X", [Missing, Taken]))


def test_every_error_code_of_the_server_is_one_of_the_products(generator: ModuleType) -> None:
    known = {code.value for code in Code}
    errors = generator.errors()
    assert len(errors) > 30
    for error in errors:
        assert str(error.code) in known, error
        assert generator.default_message(error), f"{error} has no message"


def test_every_operation_documents_answers_errors_and_permission(
    generator: ModuleType, tmp_path: Path
) -> None:
    document = generator._grid(tmp_path).app.openapi()
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) >= 30
    assert len({operation["operationId"] for _, _, operation in operations}) == len(operations)
    for method, path, operation in operations:
        where = f"{method} {path}"
        assert "x-permissions" in operation, where
        assert operation["description"], where
        good = [s for s in operation["responses"] if int(s) < 400]
        assert good, where
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                assert schema["$ref"].endswith("/Failure"), where
                assert response["x-codes"], where
        if path not in ("/health", "/health/live", "/health/ready", "/metrics"):
            assert operation["security"] == [{"bearer": []}], where
            assert "401" in operation["responses"], where


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (envelope.Failure, wire_envelope.Failure),
        (envelope.Success[int], wire_envelope.Success[int]),
        (envelope.Page[int], wire_envelope.Page[int]),
        (identity.Me, wire_identity.Me),
        (identity.ApiKeyCreate, wire_identity.ApiKeyCreate),
        (identity.ApiKeyCreated, wire_identity.ApiKeyCreated),
        (audit.AuditEntry, wire_audit.AuditEntry),
    ],
)
def test_the_platforms_models_are_those_of_the_wire(
    ours: type[BaseModel], theirs: type[BaseModel]
) -> None:
    assert ours.model_json_schema() == theirs.model_json_schema()


def test_states_are_those_of_the_wire() -> None:
    assert [state.value for state in State] == [status.value for status in BunkerStatus]
    assert {s.value for s in FINAL} == {s.value for s in BunkerStatus if s.is_final}


def test_the_diagram_shows_every_transition(pages: dict[str, str]) -> None:
    for (source, event), target in TRANSITIONS.items():
        assert f"    {source} --> {target}: {event}" in pages["states.md"]
