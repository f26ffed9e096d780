"""Who may use the storage operations: the worker, or whoever shows a capability; and for what."""

from datetime import datetime

import structlog

from scaibunker.controller.settings import StorageSettings
from scaibunker.storage.capabilities import BadCapability, Capability, Signer, derived_key
from scaibunker.wire.worker.tokens import tokens_of
from scaigrid.errors import PermissionDenied, ServiceTokenInvalid, detail
from scaigrid.http.access import Delegated, Service
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)


def signer(settings: StorageSettings, worker_tokens: tuple[str, ...]) -> Signer:
    """The configured keys; else those that come of the worker tokens, which all who check have."""
    configured = settings.storage_capability_keys
    if configured is not None:
        keys = [key.encode() for key in tokens_of(configured.get_secret_value())]
    else:
        keys = [derived_key(token) for token in worker_tokens]
    return Signer(keys, settings.storage_capability_max_lifetime_s)


def access(signs: Signer, worker_tokens: tuple[str, ...]) -> Delegated:
    """The access of the storage operations."""

    def verify(token: str, now: datetime) -> Capability:
        try:
            return signs.verify(token, now)
        except BadCapability as error:
            log.info("a capability is refused", reason=str(error))
            raise ServiceTokenInvalid(
                "The token is neither the worker's nor a good capability.",
                hint="Get a new capability from POST /v1/modules/scaibunker/storage/capabilities.",
            ) from None

    return Delegated(Service("worker", *worker_tokens), "storage capability", verify)


def check(op: Operation, method: str, key: str, limit: int) -> int:
    """Raise PermissionDenied unless the operation may do that to that key; else how many bytes it may
    store. The worker may do everything."""
    grant = op.grant
    if not isinstance(grant, Capability):
        return limit
    op.notes.tenant_id = grant.tenant_id
    op.note(capability=grant.id, for_user=grant.user_id)
    if not grant.allows(method):
        raise _denied("method", f"the capability is not for {method}")
    if not grant.covers(key):
        raise _denied("key", "the key is not below the capability's prefix")
    return min(limit, grant.max_bytes)


def _denied(field: str, message: str) -> PermissionDenied:
    return PermissionDenied(
        f"The capability does not allow this: {message}.",
        hint="Get a capability for what you mean to do.",
        details=[detail(field, message)],
    )
