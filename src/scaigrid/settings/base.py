"""How a section of settings is read and how a wrong value is reported."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from scaigrid.settings.errors import SettingsError
from scaigrid.settings.file import values_of


class Section(BaseSettings):
    """Base of every section. A field `x` of a section with prefix `P_` is the variable `P_X`."""

    model_config = SettingsConfigDict(
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
        extra="ignore",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the file."""
        in_file = InitSettingsSource(settings_cls, init_kwargs=values_of(settings_cls))
        return init_settings, env_settings, in_file


S = TypeVar("S", bound=Section)


def variable(section: type[Section], field: str) -> str:
    """The environment variable of a field."""
    return f"{section.model_config.get('env_prefix', '')}{field}".upper()


def read_section(section: type[S]) -> S:
    """Read a section from environment and file. Raises SettingsError naming each wrong setting."""
    try:
        return section()
    except ValidationError as error:
        faults = [
            f"{variable(section, str(fault['loc'][0]) if fault['loc'] else '')}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise SettingsError("; ".join(faults)) from None
