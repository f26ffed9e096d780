"""What operations on bridges act on."""

from scaibunker.controller.bridges.errors import BridgeNotFound
from scaigrid.http.resources import Reach, Relation, Resource

BRIDGE = Resource(
    "bridge_id",
    Reach.TENANT,
    BridgeNotFound,
    (Relation.SAME_TENANT, Relation.SAME_PARTNER, Relation.FOREIGN),
)
