"""Which modules a tenant has."""

from collections.abc import Mapping

from scaigrid.auth.bearer import Authenticator
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation
from scaigrid.tenancy import repository
from scaigrid.tenancy.errors import ModuleNotFound, TenantNotFound
from scaigrid.tenancy.models import ModuleState


class TenantModules:
    """The modules of this installation (title by id), as a tenant has them."""

    def __init__(
        self, database: Database, authenticator: Authenticator, titles: Mapping[str, str]
    ) -> None:
        self._database = database
        self._authenticator = authenticator
        self._titles = titles

    async def listing(self, op: Operation, tenant_id: str | None) -> list[ModuleState]:
        """All modules, for the caller's own tenant or another one in its reach.

        Raises TenantNotFound.
        """
        home = tenant_id or op.user.tenant_id
        async with self._database.read() as db:
            if await repository.tenant(op, db, home) is None:
                raise TenantNotFound
            disabled = await repository.disabled_modules(op, db, home)
        return [self._state(module, home, module not in disabled) for module in self._titles]

    async def switch(
        self, op: Operation, module: str, tenant_id: str | None, *, enabled: bool
    ) -> ModuleState:
        """Give a tenant a module, or take it away. Raises ModuleNotFound, TenantNotFound."""
        if module not in self._titles:
            raise ModuleNotFound
        home = tenant_id or op.user.tenant_id

        async def switch(db: Writer) -> None:
            if await repository.tenant(op, db, home) is None:
                raise TenantNotFound
            await repository.set_module(op, db, home, module, enabled=enabled)

        await self._database.upsert(switch)
        self._authenticator.forget_tenant(home)
        return self._state(module, home, enabled)

    def _state(self, module: str, tenant_id: str, enabled: bool) -> ModuleState:
        title = self._titles[module]
        return ModuleState(id=module, title=title, tenant_id=tenant_id, enabled=enabled)
