"""Rules that the tree keeps: every module says what it is, none is long, no import hides."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
GO_SOURCES = sorted(p for m in ("guest-agent", "image-baker") for p in (ROOT / m).rglob("*.go"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
OURS = ("scaibunker", "scaigrid")
LINK = re.compile(r"\[[^\]`]+\]\(([\w./-]+)(?:#[\w-]+)?\)")
SHARED = re.compile(r"^from (tests\.[\w.]+) import", re.MULTILINE)
LONGEST = 500
"""Lines. A longer file holds more than one idea."""


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "no module docstring"


@pytest.mark.parametrize("path", SOURCES + TESTS + GO_SOURCES, ids=_name)
def test_a_file_holds_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_no_import_of_ours_hides_in_a_function(path: Path) -> None:
    hidden = [
        f"line {node.lineno}"
        for function in _functions(ast.parse(path.read_text()))
        for node in ast.walk(function)
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OURS))
        or (isinstance(node, ast.Import) and any(a.name.startswith(OURS) for a in node.names))
    ]
    assert hidden == []


def test_what_tests_share_is_in_no_file_of_tests() -> None:
    found = [
        f"{_name(path)}: {module}"
        for path in TESTS
        for module in SHARED.findall(path.read_text())
        if module.rpartition(".")[2].startswith("test_")
    ]
    assert found == []


def test_what_the_documents_point_to_exists() -> None:
    missing = [
        f"{_name(document)}: {target}"
        for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in LINK.findall(document.read_text())
        if not (document.parent / target).exists()
    ]
    assert missing == []
