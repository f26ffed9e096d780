"""The Python in the guides is valid, and uses names that there are."""

import ast
import re
from pathlib import Path

import pytest

import scaibunker.sdk

GUIDES = sorted((Path(__file__).resolve().parents[2] / "docs" / "guides").glob("*.md"))


def blocks() -> list[object]:
    return [
        pytest.param(block, id=f"{path.name} {number}")
        for path in GUIDES
        for number, block in enumerate(
            re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
        )
    ]


@pytest.mark.parametrize("block", blocks())
def test_example(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scaibunker"):
            assert node.module == "scaibunker.sdk", "the rest is private"
            assert {alias.name for alias in node.names} <= set(scaibunker.sdk.__all__)
