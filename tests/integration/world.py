"""Partners, tenants and callers of every kind, and a thing of each kind for every relation to them."""

import itertools
from typing import Any

from sqlalchemy import insert, select

from scaibunker.controller.images.tables import images
from scaigrid.db.types import metadata
from scaigrid.http.policy import Kind, Refusal
from scaigrid.http.resources import Place, Relation, Resource
from scaigrid.http.routes import Declaration, GuardedRoute
from scaigrid.ids import new_id
from tests.integration.inside import whole
from tests.integration.people import key, tenant, user
from tests.integration.simulated_worker import TOKEN, SimulatedWorker
from tests.integration.stack import BASE, Stack

ROOT = "super_admin"
HOME, SISTER, ELSEWHERE = Relation.SAME_TENANT, Relation.SAME_PARTNER, Relation.FOREIGN
NOWHERE = "nosuch_01h"
OBJECTS = "of-the-world/"
LOGS = {"audit_log", "idempotency_keys", "task_runs", "api_keys"}
"""What may change when a request is refused."""
WRITTEN_LATE = "last_activity_at"
UNLIMITED = dict.fromkeys(
    ("per_key", "per_user", "per_tenant", "per_partner", "failures_per_address"), 1_000_000
)
"""Rate limits of a test that calls every operation many times."""


class World:
    """`callers`: the stack's name of the caller of each kind. All of them are of one tenant."""

    def __init__(self, stack: Stack, worker: SimulatedWorker) -> None:
        self.stack = stack
        self.worker = worker
        self.callers: dict[str, str] = {}
        self._tenants: dict[Relation, str] = {}
        self._partners: dict[Relation, str] = {}
        self._made: dict[tuple[str, str], str] = {}
        self._count = itertools.count()

    async def build(self, kinds: list[Kind]) -> None:
        """The people."""
        for at, name in ((HOME, "near"), (ELSEWHERE, "far")):
            made = await self._post("/v1/partners", name=name)
            self._partners[at] = made["id"]
        for at, name in ((HOME, "home"), (SISTER, "sister"), (ELSEWHERE, "other")):
            partner = self._partners[ELSEWHERE if at is ELSEWHERE else HOME]
            self._tenants[at] = await tenant(self.stack, name, partner_id=partner)
            # Whose the things are that are nobody's of the callers.
            await self._person(f"owner at {at}", at, "tenant_admin")
        for kind in kinds:
            if kind.role is not None:
                self.callers[kind.name] = kind.name.replace(" ", "_")
                await self._person(self.callers[kind.name], HOME, kind.role, *kind.keys)

    async def _person(self, name: str, at: Relation, role: str, *keys: str) -> None:
        person = await user(self.stack, name, role, tenant_id=self._tenants[at])
        if role == "tenant_user" and keys:
            path = f"/v1/users/{person}/permissions"
            body = {"permissions": sorted(keys)}
            await self.stack.data_of("PUT", path, ROOT, json=body)
        self._made["user_id", name] = person

    async def _post(self, path: str, **body: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self.stack.data_of("POST", path, ROOT, json=body)
        return made

    def own_space(self) -> str:
        """The part of the object store that is the callers' tenant's."""
        return f"tenants/{self._tenants[HOME]}/"

    def name(self) -> str:
        """One that nothing has yet."""
        return f"name{next(self._count)}"

    async def request(
        self,
        each: Declaration,
        kind: Kind,
        relation: Relation | None,
        missing: Refusal | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Path and options of a good request; but what is `missing` is something that nobody has."""
        path = each.template.removeprefix(BASE)
        query, body = _more(each.endpoint.__name__, self)
        for thing in each.resources:
            found = NOWHERE
            if thing.missing is not missing:
                found = await self.thing(thing, kind, relation)
            match thing.place:
                case Place.PATH:
                    path = path.replace(f"{{{thing.parameter}}}", found)
                case Place.QUERY:
                    query[thing.parameter] = found
                case Place.BODY:
                    body = {**(body or {}), thing.parameter: found}
        if each.endpoint.__name__ == "assign_quota_profile":
            at = HOME if relation is None else relation
            target = await self._get("user_id", f"colleague to bound at {at}", at)
            body = {"target_kind": "user", "target_id": target}
        options: dict[str, Any] = {"params": query}
        if body is not None:
            options["json"] = body
        return path, options

    async def thing(self, thing: Resource, kind: Kind, relation: Relation | None) -> str:
        """The id of one; made if there is none yet."""
        caller = self.callers.get(kind.name)
        holder = f"owner at {relation}"
        if relation is Relation.OWN:
            holder = caller or f"owner at {HOME}"
        at = HOME if relation in (None, Relation.OWN) else relation
        assert at is not None
        match thing.parameter:
            case "partner_id":
                return self._partners[ELSEWHERE if at is ELSEWHERE else HOME]
            case "tenant_id":
                return self._tenants[at]
            case "module_id":
                return "scaibunker"
            case "key":
                return await self.object()
            case "worker_id":
                return self.worker.worker_id
            case "exec_id" | "batch_name" as parameter:
                bunker = await self._get("bunker_id", holder, at)
                return await self._get(parameter, bunker, at)
            case "user_id" if relation is not Relation.OWN:
                return await self._get("user_id", f"colleague at {at}", at)
        return await self._get(thing.parameter, holder, at)

    async def object(self) -> str:
        """The key of an object, which is there."""
        key = f"{OBJECTS}{self.name()}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        path = f"/storage/{key}"
        await self.stack.data_of("PUT", path, None, content=b"x" * 2000, headers=headers)
        return key

    async def capability(self) -> str:
        """One that is good for all that `object` makes."""
        body = {"prefix": OBJECTS, "methods": ["PUT", "GET", "DELETE"]}
        made = await self._post(f"{BASE}/storage/capabilities", **body)
        return str(made["capability"])

    async def _get(self, parameter: str, holder: str, at: Relation) -> str:
        known = self._made.get((parameter, holder))
        if known is None:
            known = await self._make(parameter, holder, at)
            self._made[parameter, holder] = known
        return known

    async def _make(self, parameter: str, holder: str, at: Relation) -> str:
        tenant_id = self._tenants.get(at, "")
        match parameter:
            case "user_id":
                return await user(self.stack, self.name(), tenant_id=tenant_id)
            case "key_id":
                person = self._made["user_id", holder]
                if holder.startswith("owner"):  # an administrator's keys are out of others' reach
                    person = await self._get("user_id", f"colleague at {at}", at)
                return await key(self.stack, "unused", person, ROOT)
            case "group_id":
                made = await self._post("/v1/groups", name=self.name(), tenant_id=tenant_id)
                if not holder.startswith("owner"):
                    member = self._made["user_id", holder]
                    path = f"/v1/groups/{made['id']}/members/{member}"
                    await self.stack.data_of("PUT", path, ROOT)
            case "role_id":
                path = "/v1/iam/custom-roles"
                made = await self._post(path, name=self.name(), tenant_id=tenant_id)
            case "bunker_id":
                owner = holder
                mine = await self.stack.data_of("GET", "/v1/me", holder)
                if "scaibunker:create" not in mine["permissions"]:
                    owner = f"owner at {HOME}"  # it can have none of its own
                made = await self.stack.create(owner)
            case "exec_id":
                path = f"/bunkers/{holder}/exec"
                made = await self.stack.data_of("POST", path, ROOT, json={"command": "x"})
                return str(made["exec_id"])
            case "batch_name":
                name = f"1700000000000000-{len(self._made)}.ndjson"
                path = f"/storage/scaibunker/audit/{holder}/{name}"
                headers = {"Authorization": f"Bearer {TOKEN}"}
                await self.stack.data_of("PUT", path, None, content=b"{}\n", headers=headers)
                return name
            case "snapshot_id":
                bunker = await self._make("bunker_id", holder, at)
                path = f"{BASE}/bunkers/{bunker}/snapshot"
                made = await self._post(path, kind="disk")
            case "profile_id":
                shared = at is Relation.SHARED
                path = f"{BASE}/quota-profiles"
                body = {"name": self.name(), "tenant_id": None if shared else tenant_id}
                made = await self._post(path, **body)
            case "assignment_id":
                profile = await self._get("profile_id", holder, at)
                made = await self._post(
                    f"{BASE}/quota-profiles/{profile}/assignments",
                    target_kind="user",
                    target_id=await self._make("user_id", holder, at),
                )
            case "bridge_id":
                owner = f"owner at {at}"
                body = {"name": self.name(), "worker_id": self.worker.worker_id}
                made = await self.stack.data_of("POST", "/bridges", owner, json=body)
            case "image_id":
                return await self._image(at, tenant_id or None)
            case _:
                raise AssertionError(f"nobody has said how to make a {parameter}")
        return str(made["id"])

    async def _image(self, at: Relation, tenant_id: str | None) -> str:
        row = {
            "id": new_id("img"),
            "owner": tenant_id or "platform",
            "tenant_id": tenant_id,
            "name": self.name(),
            "version": "1",
            "scope": "platform" if at is Relation.SHARED else "tenant",
            "status": "ready",
            "created_at": self.stack.grid.clock.now(),
        }
        async with self.stack.grid.database.write() as db:
            await db.execute(insert(images).values(row))
        return str(row["id"])

    async def after(self, each: Declaration) -> None:
        """Something was done to a thing: what is no longer as it was is made anew the next time."""
        name = each.endpoint.__name__
        if name == "disable_module":
            for tenant_id in self._tenants.values():
                path = "/v1/modules/scaibunker/enable"
                await self.stack.data_of("POST", path, ROOT, params={"tenant_id": tenant_id})
        elif each.method == "DELETE" or name in ("pause_bunker", "snapshot_bunker"):
            spent = {t.parameter for t in each.resources if t.parameter != "user_id"}
            spent |= {"user_id"} if name == "end_user" else set()
            spent |= {"assignment_id"} if "profile_id" in spent else set()
            for parameter, holder in list(self._made):
                is_caller = parameter == "user_id" and not holder.startswith("colleague")
                if parameter in spent and not is_caller:
                    del self._made[parameter, holder]


def declarations_of(stack: Stack) -> list[Declaration]:
    """All operations."""
    routes = stack.grid.app.router.routes
    return [route.declaration for route in routes if isinstance(route, GuardedRoute)]


async def settle(stack: Stack) -> None:
    """Have the ends of commands written that still wait for company."""
    for bunker in await stack.data_of("GET", "/bunkers", ROOT):
        await stack.data_of("GET", f"/bunkers/{bunker['id']}/execs", ROOT)


async def everything(stack: Stack) -> dict[str, list[Any]]:
    """All rows that a refusal must leave as they are."""
    found = {}
    async with stack.grid.database.read() as db:
        for each in metadata.sorted_tables:
            if each.name not in LOGS:
                kept = [column for column in each.columns if column.name != WRITTEN_LATE]
                rows = await db.rows(whole(select(*kept).order_by(*each.primary_key.columns)))
                found[each.name] = [tuple(row.values()) for row in rows]
    return found


def _more(operation: str, world: World) -> tuple[dict[str, str], dict[str, Any] | None]:
    """Query and body of an operation, beside the things that it names."""
    query: dict[str, str] = {}
    match operation:
        case "read_file" | "write_file" | "delete_file" | "list_files" | "stat_file":
            query["path"] = "/home"
    body: dict[str, Any] | None = None
    match operation:
        case "create_api_key" | "create_partner" | "change_partner" | "create_tenant":
            body = {"name": world.name()}
        case "change_tenant" | "create_user" | "change_user" | "create_group" | "change_group":
            body = {"name": world.name()}
        case "create_custom_role" | "change_custom_role" | "create_quota_profile":
            body = {"name": world.name()}
        case "create_bridge":
            body = {"name": world.name()}
        case "change_quota_profile":
            body = {"name": world.name()}
        case "set_user_permissions":
            body = {"permissions": []}
        case "create_bunker":
            body = {"image": "debian-12"}
        case "snapshot_bunker":
            body = {"kind": "disk"}
        case "run_command":
            body = {"command": "x"}
        case "signal_command":
            body = {"signal": "SIGTERM"}
        case "feed_command":
            body = {"data": "x"}
        case "make_directory":
            body = {"path": f"/home/{world.name()}"}
        case "move_file":
            body = {"source": "/home/nosuch", "destination": "/home/other"}
        case "create_storage_capability":
            body = {"prefix": world.own_space(), "methods": ["GET"]}
        case "post_heartbeat":
            body = world.worker.heartbeat().model_dump(mode="json")
    return query, body
