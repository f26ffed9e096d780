"""What operations on partners, tenants and users act on."""

from scaigrid.http.resources import Reach, Relation, Resource
from scaigrid.tenancy.errors import ModuleNotFound, PartnerNotFound, TenantNotFound, UserNotFound

PARTNER = Resource(
    "partner_id", Reach.ADMINISTERED, PartnerNotFound, (Relation.OWN, Relation.FOREIGN)
)
TENANT = Resource(
    "tenant_id",
    Reach.ADMINISTERED,
    TenantNotFound,
    (Relation.OWN, Relation.SAME_PARTNER, Relation.FOREIGN),
)
USER = Resource("user_id", Reach.ADMINISTERED, UserNotFound)
MODULE = Resource("module_id", Reach.ALL, ModuleNotFound)
