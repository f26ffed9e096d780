"""Settings: one class per section, each field with its meaning, unit and default.

They come from the environment only, are read once at the start, and are passed in from there. A
value that is wrong stops the start and names the setting.
"""

from scaigrid.settings.auth import AuthSettings
from scaigrid.settings.base import Section, SettingsError, read_section
from scaigrid.settings.database import DatabaseSettings
from scaigrid.settings.http import HttpSettings

__all__ = [
    "AuthSettings",
    "DatabaseSettings",
    "HttpSettings",
    "Section",
    "SettingsError",
    "read_section",
]
