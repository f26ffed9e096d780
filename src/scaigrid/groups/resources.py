"""What operations on groups act on; one's own are those that one is in."""

from scaigrid.groups.errors import GroupNotFound
from scaigrid.http.resources import Reach, Resource

GROUP = Resource("group_id", Reach.ADMINISTERED, GroupNotFound)
