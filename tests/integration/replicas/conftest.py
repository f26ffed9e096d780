"""Two controllers on one database and one Redis."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.integration.stack import Knobs, Stack


@pytest.fixture
def knobs() -> Knobs:
    """The timer of no replica comes within a test: who acts is the test's to say."""
    return Knobs(reconcile_interval_s=60, request_timeout_s=5)


@pytest.fixture
async def other(bare: Stack) -> AsyncIterator[Stack]:
    """A second controller, beside `stack`."""
    made = Stack(
        bare.data, bare.database_settings, bare.redis_settings, bare.keys, replace(bare.knobs)
    )
    await made.start()
    yield made
    await made.stop()
