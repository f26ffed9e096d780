"""What all tests have in common: the folders that run real machines are marked, and need root."""

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for kind in ("host", "e2e"):
            if f"tests/{kind}/" in item.nodeid:
                item.add_marker(kind)
                if os.geteuid() != 0:
                    item.add_marker(pytest.mark.skip(reason="needs root"))
