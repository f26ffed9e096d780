"""The table of commands: true to what it lists, and quick."""

import json
import subprocess
import sys

import pytest
import typer

from scaibunker import __version__
from scaibunker.cli.app import Commands, app
from scaibunker.cli.exit_codes import MEANINGS, ExitCode
from tests.unit.cli.conftest import Shell

ENTRIES = Commands.entries


@pytest.mark.parametrize("name", ENTRIES)
def test_the_summaries_are_the_commands_own(name: str) -> None:
    root = typer.main.get_command(app)
    command = root.get_command(None, name)  # type: ignore[attr-defined]
    assert command.help.splitlines()[0] == ENTRIES[name].summary
    assert command.name == name


def test_help_and_version(shell: Shell) -> None:
    done = shell("--help")
    assert done.code == 0
    for name, entry in ENTRIES.items():
        assert f"  {name} " in done.text
        assert entry.summary in done.text
    assert shell("-h").text == done.text
    assert shell("--version").text == f"scaibunker {__version__}\n"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_command_has_help(shell: Shell, name: str) -> None:
    done = shell(name, "--help")
    assert done.code == 0
    assert "Usage: scaibunker" in done.text


def test_unknown_commands(shell: Shell) -> None:
    for argv in (("nosuch",), ("bunker", "nosuch"), ("--nonsense",)):
        assert shell(*argv).code == 2


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_the_help_imports_nothing_heavy() -> None:
    """What makes `--help` slow is importing; the time itself depends on who else is busy."""
    code = (
        "import json, sys\n"
        "from scaibunker.cli.main import main\n"
        "main(['--help'])\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(done.stderr))
    assert not {"httpx", "pydantic", "rich", "ssl", "asyncio", "scaibunker.sdk"} & loaded
    assert not {name for name in loaded if name.startswith("scaibunker.cli.commands")}
