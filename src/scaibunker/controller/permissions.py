"""The module's permission keys. Source: the product contract, §3."""

from enum import StrEnum

from scaigrid.permissions.domain import PermissionKey


class Key(StrEnum):
    """What a caller may be allowed to do."""

    CREATE = "scaibunker:create"
    CREATE_SESSION = "scaibunker:create:session"
    CREATE_PERSISTENT = "scaibunker:create:persistent"
    EXECUTE = "scaibunker:execute"
    ROOT = "scaibunker:root"
    SHELL = "scaibunker:shell"
    FILES = "scaibunker:files"
    NETWORK_REGISTRY = "scaibunker:network:registry"
    NETWORK_ALLOWLISTED = "scaibunker:network:allowlisted"
    NETWORK_UNRESTRICTED = "scaibunker:network:unrestricted"
    NETWORK_TRANSIT = "scaibunker:network:transit"
    L2_TRANSPARENCY = "scaibunker:l2_transparency"
    IMAGES_MANAGE = "scaibunker:images:manage"
    ADMIN = "scaibunker:admin"
    ADMIN_TENANT = "scaibunker:admin:tenant"
    ADMIN_PLATFORM = "scaibunker:admin:platform"


ADMIN_KEYS = (Key.ADMIN, Key.ADMIN_TENANT, Key.ADMIN_PLATFORM)
"""Any of these reaches every bunker of the tenant, not only the caller's own."""

DECLARED = (
    PermissionKey(Key.CREATE, "ephemeral bunkers; own bunkers; reading images"),
    PermissionKey(Key.CREATE_SESSION, "bunkers of the lifecycle mode `session`"),
    PermissionKey(Key.CREATE_PERSISTENT, "bunkers of the lifecycle mode `persistent`"),
    PermissionKey(Key.EXECUTE, "commands as the unprivileged user"),
    PermissionKey(Key.ROOT, "commands, files and shell as root"),
    PermissionKey(Key.SHELL, "the interactive shell"),
    PermissionKey(Key.FILES, "file operations"),
    PermissionKey(Key.NETWORK_REGISTRY, "the network profile `registry`"),
    PermissionKey(Key.NETWORK_ALLOWLISTED, "the network profile `allowlisted`"),
    PermissionKey(Key.NETWORK_UNRESTRICTED, "the network profile `unrestricted`"),
    PermissionKey(Key.NETWORK_TRANSIT, "the network profile `transit`"),
    PermissionKey(Key.L2_TRANSPARENCY, "interfaces without spoof guard"),
    PermissionKey(
        Key.IMAGES_MANAGE,
        "registering, deactivating, scanning and warming images; giving out storage capabilities",
    ),
    PermissionKey(Key.ADMIN, "every bunker of the tenant; workers; bridges"),
    PermissionKey(Key.ADMIN_TENANT, "the tenant's quotas, groups and bunkers"),
    PermissionKey(
        Key.ADMIN_PLATFORM, "platform defaults, platform groups, workers of all", platform=True
    ),
)
