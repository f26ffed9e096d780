"""What can be refused about a bunker."""

from scaibunker.wire.codes import Code
from scaigrid.errors import GridError, Kind, PermissionDenied, ValidationFailed, detail


class BunkerNotFound(GridError):
    """There is no such bunker."""

    kind = Kind.NOT_FOUND
    code = Code.BUNKER_NOT_FOUND


class BunkerInvalidTransition(GridError):
    """The bunker's state does not allow this."""

    kind = Kind.CONFLICT
    code = Code.BUNKER_INVALID_TRANSITION
    hint = "Read the bunker's status first."

    @classmethod
    def between(cls, source: str, target: str) -> "BunkerInvalidTransition":
        """The refusal of a move from `source` to `target`."""
        entry = detail("status", f"{source} cannot become {target}", to=target)
        entry["from"] = source
        return cls(f"A bunker that is {source} cannot become {target}.", details=[entry])


class BunkerNotRunning(GridError):
    """The bunker does not run."""

    kind = Kind.CONFLICT
    code = Code.BUNKER_NOT_RUNNING
    hint = "Wait until its status is running, or resume it if it is paused."

    @classmethod
    def because(cls, status: str) -> "BunkerNotRunning":
        """The refusal that says what it does instead."""
        entry = detail("status", f"is {status}", status=status)
        return cls(f"The bunker is {status}.", details=[entry])


class LifecycleModeDenied(PermissionDenied):
    """The caller may not create bunkers of this lifecycle mode."""

    code = Code.LIFECYCLE_MODE_DENIED


class NetworkProfileDenied(PermissionDenied):
    """The caller may not use this network profile."""

    code = Code.NETWORK_PROFILE_DENIED


class L2TransparencyDenied(PermissionDenied):
    """The caller may not switch the spoof guard of an interface off."""

    code = Code.L2_TRANSPARENCY_DENIED


class NetworkAllowlistInvalid(ValidationFailed):
    """The allowlist does not fit the network profile, or an entry is no host name."""

    code = Code.NETWORK_ALLOWLIST_INVALID


class InterfacesNotAllowed(ValidationFailed):
    """Interfaces are for the network profile transit alone."""

    code = Code.INTERFACES_NOT_ALLOWED


class TransitMissingInterfaces(ValidationFailed):
    """The network profile transit needs at least one interface."""

    code = Code.TRANSIT_MISSING_INTERFACES
