"""Settings: one class per section, each field with its meaning, unit and default.

They come from the environment and a TOML file (`file`), are read once at the start, and are
passed in from there. A value that is wrong stops the start and names the setting.
"""

from scaigrid.settings.auth import AuthSettings
from scaigrid.settings.base import Section, read_section
from scaigrid.settings.database import DatabaseSettings
from scaigrid.settings.errors import SettingsError
from scaigrid.settings.file import check_file
from scaigrid.settings.http import HttpSettings
from scaigrid.settings.jwt import JwtSettings
from scaigrid.settings.rate_limits import RateLimitSettings
from scaigrid.settings.redis import RedisSettings
from scaigrid.settings.tasks import TaskSettings
from scaigrid.settings.tracing import TracingSettings

__all__ = [
    "AuthSettings",
    "DatabaseSettings",
    "HttpSettings",
    "JwtSettings",
    "RateLimitSettings",
    "RedisSettings",
    "Section",
    "SettingsError",
    "TaskSettings",
    "TracingSettings",
    "check_file",
    "read_section",
]
