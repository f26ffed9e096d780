"""What operations on bunkers, their commands and files act on."""

from scaibunker.controller.bunkers.errors import BunkerNotFound
from scaibunker.controller.permissions import ADMIN_KEYS
from scaigrid.http.resources import Reach, Resource

BUNKER = Resource("bunker_id", Reach.OWNER, BunkerNotFound, admin=ADMIN_KEYS)
