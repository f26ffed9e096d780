"""Make the blocking client, `scaibunker.sdk._sync`, from the asyncio one, `scaibunker.sdk._async`.

    python scripts/generate_sdk_sync.py            write it
    python scripts/generate_sdk_sync.py --check    exit with 1 if it is not up to date

The result is checked in, so that an installed package needs no generator and a reader can read it;
`tests/rules/test_sdk_generated.py` fails when it is stale. `unasync` replaces the words of the
language; the words of ours lose their `Async` or `a`; ruff then lays the text out again.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src/scaibunker/sdk/_async"
TARGET = ROOT / "src/scaibunker/sdk/_sync"

HEADER = """\
# Generated from _async/{name} by scripts/generate_sdk_sync.py. Edit that, not this.
"""
PACKAGE_DOC = '"""The blocking client, generated from `_async`, file by file."""\n'
WORDS = {
    "_async": "_sync",
    "aclose": "close",
    "aclosing": "closing",
    "acall": "call",
    "asleep": "sleep",
    "aiter_bytes": "iter_bytes",
    "AbstractAsyncContextManager": "AbstractContextManager",
    "Awaitable": "Ours",  # see `_plain`: a blocking function gives the value itself
}


def generate(source: Path, target: Path) -> None:
    """Write the blocking twin of every file of `source` into the empty folder `target`."""
    with tempfile.TemporaryDirectory() as scratch:
        rule = unasync.Rule(f"{source}/", f"{scratch}/", {**WORDS, **_our_names(source)})
        unasync.unasync_files([str(path) for path in sorted(source.glob("*.py"))], [rule])
        for path in sorted(Path(scratch).glob("*.py")):
            text = PACKAGE_DOC if path.name == "__init__.py" else _plain(path.read_text())
            (target / path.name).write_text(HEADER.format(name=path.name) + text)
    _lay_out(target)


def _our_names(source: Path) -> dict[str, str]:
    """`AsyncThing` is called `Thing` in the blocking client."""
    text = "".join(path.read_text() for path in source.glob("*.py"))
    standard = {"AsyncIterator", "AsyncIterable", "AsyncGenerator"}
    return {name: name[5:] for name in set(re.findall(r"\bAsync[A-Z]\w*", text)) - standard}


def _plain(text: str) -> str:
    """What words alone cannot say."""
    text = re.sub(r"\bOurs\[(\w+)\]", r"\1", text)  # Awaitable[T] is T
    text = re.sub(r"(import .*), Ours\b", r"\1", text)
    text = re.sub(r"\bOurs, ", "", text)
    text = re.sub(r"\bGenerator\[(\w+), None\]", r"Generator[\1, None, None]", text)
    return re.sub(r"`Async([A-Z])", r"`\1", text)  # names in docstrings


def _lay_out(folder: Path) -> None:
    for command in (
        ["check", "--quiet", "--select", "I,UP028", "--fix", "--unsafe-fixes"],
        ["format", "--quiet"],
    ):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *command,
                "--config",
                str(ROOT / "pyproject.toml"),
                str(folder),
            ],
            check=True,
        )


def stale_files() -> list[str]:
    """Names of the files that are missing, left over, or different from what would be made."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(SOURCE, fresh)
        names = {path.name for path in (*fresh.glob("*.py"), *TARGET.glob("*.py"))}
        return sorted(name for name in names if _text(fresh / name) != _text(TARGET / name))


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _write() -> None:
    TARGET.mkdir(exist_ok=True)
    for path in TARGET.glob("*.py"):
        path.unlink()
    generate(SOURCE, TARGET)


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description="Make the blocking SDK from the asyncio one.")
    parser.add_argument("--check", action="store_true", help="only tell whether it is up to date")
    if not parser.parse_args().check:
        _write()
        return 0
    stale = stale_files()
    if stale:
        print(f"not up to date: {', '.join(stale)}; run scripts/generate_sdk_sync.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
