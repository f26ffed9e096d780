"""What all tests have in common: the folders that run real machines are marked, and need root; the order
of the files; log lines are rendered at a price that does not count."""

import os
from collections.abc import Iterator

import pytest
import structlog

MACHINES = ("e2e", "host")
"""Folders that run real machines."""
BETWEEN = 5
"""Files without machines that follow on one with them."""


def pytest_configure() -> None:
    # By itself structlog draws a traceback with the variables of every frame, which takes seconds of
    # the event loop's time for one that has been through the database's driver.
    renderer = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are processors: in many tests machines and servers compute, or time passes."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for kind in MACHINES:
            if f"tests/{kind}/" in item.nodeid:
                item.add_marker(kind)
                if os.geteuid() != 0:
                    item.add_marker(pytest.mark.skip(reason="needs root"))
    items[:] = in_order(items)


def in_order(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """File by file, as they are handed to the processes that run them. Those with machines take longest,
    so that they come early; they mostly wait, or have others compute, so that they do not come together.
    """
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    slow = [n for n in files if n.startswith(tuple(f"tests/{kind}/" for kind in MACHINES))]
    quick = [n for n in files if n not in slow]
    while slow or quick:
        for name in (*slow[:1], *quick[:BETWEEN]):
            yield from files[name]
        slow, quick = slow[1:], quick[BETWEEN:]
