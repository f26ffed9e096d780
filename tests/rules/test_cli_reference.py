"""The reference page of the command line is what the command line says of itself."""

import importlib.util
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from scaibunker.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "generate_cli_reference.py"
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_cli_reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
