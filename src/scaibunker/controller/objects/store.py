"""The object store that the settings name."""

from scaibunker.controller.settings import StorageSettings
from scaibunker.storage.errors import BadEndpoint, BadStoreUrl
from scaibunker.storage.objects import ObjectStore
from scaigrid.settings import SettingsError
from scaigrid.settings.base import variable


def open_store(settings: StorageSettings) -> ObjectStore:
    """The store; no connection is made. Raises SettingsError."""
    try:
        return ObjectStore(settings.options())
    except BadStoreUrl as error:
        field = "object_store_endpoint" if isinstance(error, BadEndpoint) else "object_store_url"
        raise SettingsError(f"{variable(StorageSettings, field)}: {error}") from None
