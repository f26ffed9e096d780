"""`/v1/me` and `/v1/api-keys`."""

from typing import Annotated

from fastapi import Query

from scaigrid.auth import models
from scaigrid.auth.domain import ApiKey
from scaigrid.auth.service import ApiKeys
from scaigrid.errors import NotFound, PermissionDenied
from scaigrid.http.access import Signed
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.resources import Place, Reach, Resource
from scaigrid.http.routes import Op, Routes, many, one
from scaigrid.tenancy.errors import UserNotFound
from scaigrid.tenancy.resources import USER

PATH = "/v1/api-keys"
API_KEY = Resource("key_id", Reach.ADMINISTERED, NotFound)


class IdentityEndpoints:
    """Who the caller is, and its keys."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes("", "identity", API_KEY)
        signed = Signed()
        routes.add("GET", "/v1/me", self.get_me, access=signed, answers=one(models.Me))
        routes.add("GET", PATH, self.list_api_keys, access=signed, answers=many(models.ApiKey))
        routes.add(
            "POST",
            PATH,
            self.create_api_key,
            access=signed,
            answers=one(models.ApiKeyCreated, 201, "The key, shown this once."),
            errors=[UserNotFound, PermissionDenied],
            names=[USER.at(Place.BODY)],
            keeps_answer=False,
        )
        routes.add(
            "DELETE",
            PATH + "/{key_id}",
            self.revoke_api_key,
            access=signed,
            answers=one(models.ApiKey),
            errors=[NotFound],
        )
        return routes

    async def get_me(self, op: Op) -> models.Me:
        """Tell who the caller is and which permissions it holds."""
        caller = op.user
        return models.Me(
            user_id=caller.user_id,
            tenant_id=caller.tenant_id,
            name=caller.name,
            role=caller.role,
            permissions=sorted(caller.permissions),
        )

    async def list_api_keys(
        self,
        op: Op,
        page: Paged,
        user_id: Annotated[
            str | None, Query(max_length=64, description="A user that the caller administers.")
        ] = None,
    ) -> Slice[models.ApiKey]:
        """List API keys, revoked ones included: the caller's own, or those of a user that it
        administers."""
        return (await self._keys.listing(op, page, user_id)).map(_view)

    async def create_api_key(self, op: Op, body: models.ApiKeyCreate) -> models.ApiKeyCreated:
        """Make an API key that acts as the caller, or as a user that it administers. The answer is
        the only place that has it."""
        key, secret = await self._keys.create(op, body.name, body.expires_at, body.user_id)
        op.notes.take(key)  # the answer does not say whose tenant it is in
        return models.ApiKeyCreated(**_view(key).model_dump(), key=secret)

    async def revoke_api_key(self, op: Op, key_id: str) -> models.ApiKey:
        """Revoke an API key of the caller's, or of a user that it administers. It is refused from the next request on."""
        key = await self._keys.revoke(op, key_id)
        op.notes.take(key)
        return _view(key)


def _view(key: ApiKey) -> models.ApiKey:
    return models.ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        user_id=key.user_id,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )
