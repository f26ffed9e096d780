"""Object storage: one section for all who use it, the controller and the storage proxy."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from scaibunker.storage.backend import MIB, StoreOptions
from scaibunker.wire.worker.tokens import tokens_of
from scaigrid.settings import Section, SettingsError

SHORTEST_KEY = 32
"""Characters."""


class StorageSettings(Section):
    """Object storage."""

    model_config = SettingsConfigDict(env_prefix="SCAIBUNKER_")

    object_store_url: str
    """Where objects are kept: `s3://bucket`, or `s3://bucket/prefix`, of any S3-compatible server; or
    `file:///` and an absolute path of a directory. Required."""

    object_store_endpoint: str | None = None
    """Address of the S3 server, `https://` and a host. Without it that of the region at AWS."""

    object_store_region: Annotated[str, Field(min_length=1, max_length=64)] = "us-east-1"
    """Region of the bucket, as requests are signed for it."""

    object_store_access_key_id: str | None = None
    """Id of the access key. Without it the credentials are those of the surroundings: the `AWS_*`
    variables, or the role of the instance."""

    object_store_secret_access_key: SecretStr | None = Field(default=None, validate_default=True)
    """Secret of `SCAIBUNKER_OBJECT_STORE_ACCESS_KEY_ID`."""

    object_store_allow_http: bool = False
    """Whether the endpoint may be `http://`: then everybody on the way can read what is stored."""

    object_store_path_style: bool = True
    """Whether the bucket is a part of the path of requests, which every server understands; else it is
    a part of the host name."""

    object_store_ca: Path | None = None
    """PEM file with the CAs that the endpoint's certificate is verified with, beside the system's."""

    object_store_part_bytes: Annotated[int, Field(ge=5 * MIB, le=256 * MIB)] = 8 * MIB
    """Size of the parts that large objects are uploaded in, in bytes; each upload holds two of them in
    memory, and an object has 10,000 at most."""

    object_store_connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5
    """How long a connection to the server may take to be made, in seconds."""

    object_store_stall_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30
    """How long the server may say nothing while an answer is awaited, in seconds: a part must be
    uploaded within it."""

    object_store_retries: Annotated[int, Field(ge=0, le=20)] = 4
    """How often a request is tried again that the server failed, or did not answer."""

    object_store_retry_for_s: Annotated[float, Field(gt=0, le=240)] = 60
    """How long after its beginning a request is still tried again, in seconds."""

    storage_capability_keys: SecretStr | None = None
    """Keys that storage capabilities are signed with, each of at least 32 characters; several with commas
    between them or as a JSON list: the first signs, any is accepted, so that one is replaced without a
    pause. Without it they come of `SCAIBUNKER_WORKER_TOKEN`. The same for controllers and proxies."""

    storage_capability_max_lifetime_s: Annotated[int, Field(ge=1, le=604_800)] = 3600
    """How long a capability is good at most, in seconds; one that says more is refused."""

    storage_max_object_bytes: Annotated[int, Field(ge=1, le=1 << 50)] = 64 * 1024 * MIB
    """Largest object that is taken, in bytes."""

    storage_idle_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60
    """How long an upload or download may stand still, in seconds."""

    @field_validator("storage_capability_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        if min(len(key) for key in tokens_of(value.get_secret_value())) < SHORTEST_KEY:
            raise ValueError(f"each key must have at least {SHORTEST_KEY} characters")
        return value

    @field_validator("object_store_secret_access_key")
    @classmethod
    def _belongs_to_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (value is None) is not (info.data.get("object_store_access_key_id") is None):
            raise ValueError("it and SCAIBUNKER_OBJECT_STORE_ACCESS_KEY_ID are set together")
        return value

    def options(self) -> StoreOptions:
        """For the store. Raises SettingsError if a file cannot be read."""
        secret = self.object_store_secret_access_key
        return StoreOptions(
            url=self.object_store_url,
            endpoint=self.object_store_endpoint,
            region=self.object_store_region,
            access_key_id=self.object_store_access_key_id,
            secret_access_key=secret.get_secret_value() if secret else None,
            allow_http=self.object_store_allow_http,
            path_style=self.object_store_path_style,
            ca=_content(self.object_store_ca),
            part_bytes=self.object_store_part_bytes,
            connect_timeout_s=self.object_store_connect_timeout_s,
            stall_timeout_s=self.object_store_stall_timeout_s,
            retries=self.object_store_retries,
            retry_for_s=self.object_store_retry_for_s,
        )


def _content(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"SCAIBUNKER_OBJECT_STORE_CA: the file cannot be read: {error.strerror}"
        ) from None
