"""From options to a backend: a local directory, or a bucket of an S3-compatible server."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, S3Store

from scaibunker.storage.errors import BadEndpoint, BadStoreUrl

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

Backend = LocalStore | S3Store

MIB = 1024 * 1024
_WHOLE_REQUEST = timedelta(days=1)
"""How long one request may take that never stands still; large objects are read in one."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where objects are kept, and how patient we are. Times in seconds.

    `url` is `file:///dir` or `s3://bucket[/prefix]`; all but `part_bytes` is about S3. Without
    `access_key_id` the credentials are those of the surroundings: environment or instance role.
    """

    url: str
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    allow_http: bool = False
    path_style: bool = True
    ca: bytes | None = field(default=None, repr=False)
    part_bytes: int = 8 * MIB
    connect_timeout_s: float = 5
    stall_timeout_s: float = 30
    retries: int = 4
    retry_for_s: float = 60


def open_backend(options: StoreOptions) -> Backend:
    """The backend; no connection is made. Raises BadStoreUrl."""
    parts = urlsplit(options.url)
    if parts.scheme == "s3":
        return _bucket(options)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise BadStoreUrl("must be file:/// and the absolute path of a directory, or s3://bucket")
    if parts.query or parts.fragment:
        raise BadStoreUrl("must have nothing after its path")
    return LocalStore(Path(unquote(parts.path)), mkdir=True)


def _bucket(options: StoreOptions) -> S3Store:
    parts = urlsplit(options.url)
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if not bucket or "@" in bucket or ":" in bucket or parts.query or parts.fragment:
        raise BadStoreUrl("must be s3://bucket or s3://bucket/prefix, and no more")
    config: S3Config = {
        "region": options.region,
        "virtual_hosted_style_request": not options.path_style,
        "skip_signature": False,
    }
    endpoint = _endpoint(options, bucket)
    if endpoint is not None:
        # Both, because a variable of the surroundings would win over one that is not given.
        config["endpoint"] = config["aws_endpoint_url_s3"] = endpoint
    client: ClientConfig = {
        "allow_http": options.allow_http,
        "connect_timeout": timedelta(seconds=options.connect_timeout_s),
        "read_timeout": timedelta(seconds=options.stall_timeout_s),
        "timeout": _WHOLE_REQUEST,
    }
    if options.ca is not None:
        client["root_certificate"] = options.ca
    retry: RetryConfig = {
        "max_retries": options.retries,
        "retry_timeout": timedelta(seconds=options.retry_for_s),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options=client,
        retry_config=retry,
        credential_provider=_Credentials.of(options),
    )


def _endpoint(options: StoreOptions, bucket: str) -> str | None:
    if options.endpoint is None:
        return None
    parts = urlsplit(options.endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise BadEndpoint("must be http:// or https:// and a host")
    if parts.scheme == "http" and not options.allow_http:
        raise BadEndpoint("is http, which has to be allowed")
    if options.path_style:
        return options.endpoint.rstrip("/")
    return f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path.rstrip('/')}"


class _Credentials:
    """The configured key pair. Handed over by call, so that no configuration shows the secret, and
    no variable of the surroundings gets mixed in."""

    def __init__(self, access_key_id: str, secret_access_key: str) -> None:
        self._pair = (access_key_id, secret_access_key)

    @classmethod
    def of(cls, options: StoreOptions) -> "_Credentials | None":
        """None if there are none."""
        if options.access_key_id is None or options.secret_access_key is None:
            return None
        return cls(options.access_key_id, options.secret_access_key)

    def __call__(self) -> "S3Credential":
        """What requests are signed with."""
        key_id, secret = self._pair
        return {
            "access_key_id": key_id,
            "secret_access_key": secret,
            "token": None,
            "expires_at": None,
        }
