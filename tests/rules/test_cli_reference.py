"""The reference page of the command line is what the command line says of itself."""

import shlex
from types import ModuleType
from typing import Any

import pytest
import typer

from scaibunker.cli.app import app
from tests.rules.generators import ROOT, load

GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load("generate_cli_reference")


def test_up_to_date(generator: ModuleType) -> None:
    page = generator.TARGET.read_text()
    assert page == generator.reference(), "run: python scripts/generate_cli_reference.py"
    for path in ("run", "bunker create", "bunker attach", "image ls", "doctor"):
        assert f"## `scaibunker {path}`" in page
    assert "| 125 |" in page


def commands_shown() -> list[Any]:
    found = []
    for path in GUIDES:
        for line in path.read_text().replace("\\\n", " ").splitlines():
            text = line.strip().removeprefix("$ ").removeprefix("sudo ").removeprefix(".venv/bin/")
            if text.startswith("scaibunker "):
                found.append(pytest.param(text, id=f"{path.name}: {text[:50]}"))
    return found


@pytest.mark.parametrize("line", commands_shown())
def test_command_lines_in_the_guides_are_valid(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    for stop in ("|", ">", "<", "&&", "&", "2>"):
        words = words[: words.index(stop)] if stop in words else words
    command: Any = typer.main.get_command(app)
    while hasattr(command, "get_command"):
        context = command.make_context("scaibunker", words)
        rest: list[str] = [*getattr(context, "_protected_args", []), *context.args]
        name, words = rest[0], rest[1:]
        command = command.get_command(context, name)
        assert command is not None, name
    command.make_context("scaibunker", words)
