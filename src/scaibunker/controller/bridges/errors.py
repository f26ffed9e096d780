"""What can be refused about a bridge."""

from collections.abc import Sequence

from scaibunker.wire.codes import Code
from scaigrid.errors import GridError, Kind, detail

MOST_NAMED = 20


class BridgeNotFound(GridError):
    """There is no such bridge."""

    kind = Kind.NOT_FOUND
    code = Code.BRIDGE_NOT_FOUND

    @classmethod
    def named(cls, field: str, name: str) -> "BridgeNotFound":
        """The refusal of an interface that names none of the tenant's."""
        message = f"there is no bridge {name}"
        return cls(f"There is no bridge {name}.", details=[detail(field, message, bridge=name)])


class BridgeInUse(GridError):
    """Bunkers are plugged into the bridge."""

    kind = Kind.CONFLICT
    code = Code.BRIDGE_IN_USE
    hint = "End the bunkers that `details` names first."

    @classmethod
    def by(cls, bunker_ids: Sequence[str]) -> "BridgeInUse":
        """The refusal that names who uses it, as far as there is room."""
        return cls(
            f"Bunkers are plugged into the bridge: {len(bunker_ids)}.",
            details=[
                detail("bunker_id", f"{bunker_id} is plugged in", bunker_id=bunker_id)
                for bunker_id in bunker_ids[:MOST_NAMED]
            ],
        )
