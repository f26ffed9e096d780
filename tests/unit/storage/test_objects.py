"""The object store's addresses and secrets; what it does with bytes is tested where they are."""

import pytest

from scaibunker.storage.backend import StoreOptions, open_backend
from scaibunker.storage.errors import BadEndpoint, BadStoreUrl
from scaibunker.storage.objects import ObjectStore


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/x",
        "file://host/x",
        "file:relative",
        "file:///x?y",
        "s3://",
        "s3:///key",
        "s3://user:password@bucket",
        "s3://bucket:80",
        "s3://bucket?x=y",
        "http://x/y",
        "gs://bucket",
    ],
)
def test_an_address_that_is_not_supported_is_refused(url: str) -> None:
    with pytest.raises(BadStoreUrl):
        ObjectStore(url)


@pytest.mark.parametrize(
    "endpoint", ["http://host", "host", "ftp://host", "https://", "https://user:pw@host"]
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(BadEndpoint):
        ObjectStore(StoreOptions("s3://bucket", endpoint=endpoint))


def test_http_has_to_be_allowed() -> None:
    ObjectStore(StoreOptions("s3://bucket", endpoint="http://host", allow_http=True))


def test_the_bucket_is_in_the_path_or_in_the_host() -> None:
    for path_style, expected in ((True, "https://host:9"), (False, "https://bucket.host:9")):
        options = StoreOptions("s3://bucket", endpoint="https://host:9", path_style=path_style)
        config = open_backend(options).config  # type: ignore[union-attr]
        assert config["endpoint"] == expected


def test_nothing_shows_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    options = StoreOptions("s3://b", access_key_id="id", secret_access_key="the-secret")
    backend = open_backend(options)
    assert "the-secret" not in repr(options) + repr(backend) + repr(backend.config)  # type: ignore[union-attr]


def test_variables_of_the_surroundings_do_not_redirect_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere")
    monkeypatch.setenv("AWS_ENDPOINT", "https://elsewhere")
    options = StoreOptions(
        "s3://b", endpoint="https://here", access_key_id="i", secret_access_key="s"
    )
    config = open_backend(options).config  # type: ignore[union-attr]
    assert "elsewhere" not in repr(config)
