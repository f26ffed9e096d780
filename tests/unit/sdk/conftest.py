"""The two clients, before an API in memory."""

from collections.abc import Iterator

import pytest

from scaibunker.sdk import AsyncClient, Client, Files, RetryPolicy
from tests.unit.sdk.fake_api import FakeApi

AT_ONCE = RetryPolicy(base_delay=0, max_delay=0)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def client(api: FakeApi) -> Iterator[Client]:
    with Client("http://localhost", "sgk_test", retries=AT_ONCE, http_transport=api.transport) as c:
        yield c


@pytest.fixture
async def aclient(api: FakeApi) -> AsyncClient:
    return AsyncClient(
        "http://localhost", "sgk_test", retries=AT_ONCE, http_transport=api.transport
    )


@pytest.fixture
def files(api: FakeApi, client: Client) -> Files:
    """The files of a bunker that runs."""
    return client.files(api.add_bunker())
