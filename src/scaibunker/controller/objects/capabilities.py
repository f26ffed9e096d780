"""`POST /storage/capabilities`."""

from datetime import timedelta

from scaibunker.controller.permissions import Key
from scaibunker.controller.settings import StorageSettings
from scaibunker.storage.capabilities import Capability, Signer, confined, tenant_space
from scaibunker.storage.keys import BadKey, check_prefix
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api.storage import CapabilityRequest, IssuedCapability
from scaigrid.errors import PermissionDenied, ValidationFailed, detail
from scaigrid.http.access import Needs
from scaigrid.http.routes import Op, Routes, one
from scaigrid.ids import new_id


class CapabilityEndpoints:
    """Giving out capabilities. Nothing of them is kept: they end by themselves."""

    def __init__(self, signer: Signer, settings: StorageSettings) -> None:
        self._signer = signer
        self._settings = settings

    def routes(self) -> Routes:
        """The declaration."""
        routes = Routes(f"{BASE_PATH}/storage/capabilities", "storage")
        routes.add(
            "POST",
            "",
            self.create_storage_capability,
            access=Needs(Key.IMAGES_MANAGE),
            answers=one(IssuedCapability, 201),
            keeps_answer=False,
        )
        return routes

    async def create_storage_capability(self, op: Op, body: CapabilityRequest) -> IssuedCapability:
        """Give out a capability: a token that opens a part of the object store for a while, at the
        controller and at storage proxies. Its prefix is in the tenant's own part,
        `tenants/{tenant_id}/`; only who administers the platform names another."""
        self._check(op, body)
        now = op.now().replace(microsecond=0)
        most = self._settings.storage_max_object_bytes
        capability = Capability(
            id=new_id("cap"),
            prefix=body.prefix,
            methods=frozenset(body.methods),
            max_bytes=most if body.max_bytes is None else min(body.max_bytes, most),
            expires_at=now + timedelta(seconds=body.expires_in_s),
            tenant_id=op.user.tenant_id,
            user_id=op.user.user_id,
        )
        op.note(prefix=capability.prefix, methods=" ".join(sorted(capability.methods)))
        return IssuedCapability(
            id=capability.id,
            capability=self._signer.sign(capability, now),
            prefix=capability.prefix,
            methods=sorted(capability.methods),
            max_bytes=capability.max_bytes,
            tenant_id=capability.tenant_id,
            expires_at=capability.expires_at,
        )

    def _check(self, op: Op, body: CapabilityRequest) -> None:
        try:
            check_prefix(body.prefix)
        except BadKey as error:
            raise ValidationFailed.of("prefix", str(error)) from None
        most = self._settings.storage_capability_max_lifetime_s
        if body.expires_in_s > most:
            raise ValidationFailed.of("expires_in_s", f"must be at most {most} here")
        own = op.user.tenant_id
        if not confined(body.prefix, own) and not op.user.holds(Key.ADMIN_PLATFORM):
            raise PermissionDenied(
                "The prefix is not in the tenant's own part of the object store.",
                hint=f"Begin it with {tenant_space(own)}",
                details=[detail("prefix", f"must begin with {tenant_space(own)}")],
            )
