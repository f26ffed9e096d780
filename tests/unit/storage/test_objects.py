"""The object store's addresses; what it does with bytes is tested where they are."""

import pytest

from scaibunker.storage.objects import BadStoreUrl, ObjectStore


@pytest.mark.parametrize(
    "url", ["", "/srv/x", "file://host/x", "file:relative", "s3://bucket", "http://x/y"]
)
def test_an_address_that_is_not_supported_is_refused(url: str) -> None:
    with pytest.raises(BadStoreUrl):
        ObjectStore(url)
