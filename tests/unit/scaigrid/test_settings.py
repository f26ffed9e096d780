"""Settings: read from the environment, and a wrong one is named without its value."""

import pytest

from scaibunker.controller.module import MODULE
from scaigrid.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    JwtSettings,
    RateLimitSettings,
    Section,
    SettingsError,
    read_section,
)

SECTIONS: list[type[Section]] = [
    HttpSettings,
    DatabaseSettings,
    AuthSettings,
    JwtSettings,
    RateLimitSettings,
    *MODULE.settings,
]


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIGRID_HTTP_PORT", "1234")
    monkeypatch.setenv("SCAIGRID_HTTP_HOST", "")
    settings = read_section(HttpSettings)
    assert (settings.port, settings.host) == (1234, "127.0.0.1")


def test_proxies_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIGRID_HTTP_TRUSTED_PROXIES", "10.0.0.0/8, ::1,")
    assert read_section(HttpSettings).trusted_proxies == ("10.0.0.0/8", "::1")


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        (HttpSettings, "SCAIGRID_HTTP_PORT", "70000"),
        (HttpSettings, "SCAIGRID_HTTP_LOG_LEVEL", "LOUD"),
        (HttpSettings, "SCAIGRID_HTTP_TRUSTED_PROXIES", "10.0.0.0/8, 10.0.0.1/8"),
        (JwtSettings, "SCAIGRID_JWT_JWKS_URL", "ftp://secret/keys"),
        (JwtSettings, "SCAIGRID_JWT_JWKS_URL", "file://relative/keys"),
        (JwtSettings, "SCAIGRID_JWT_JWKS_URL", "https:///keys-of-nobody"),
        (JwtSettings, "SCAIGRID_JWT_JWKS_URL", "http://[secret"),
        (JwtSettings, "SCAIGRID_JWT_STALE_S", "299"),
        (RateLimitSettings, "SCAIGRID_RATE_LIMIT_PER_KEY", "-1"),
        (DatabaseSettings, "SCAIGRID_DATABASE_URL", "postgres-secret://x"),
        (DatabaseSettings, "SCAIGRID_DATABASE_URL", "sqlite:///relative.db"),
        (DatabaseSettings, "SCAIGRID_DATABASE_URL", "nonsense-secret"),
        (MODULE.settings[1], "SCAIBUNKER_WORKER_TOKEN", "too-short"),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, section: type[Section], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_section(section)
    assert name in str(caught.value)
    assert value not in str(caught.value)


def test_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCAIBUNKER_WORKER_TOKEN", raising=False)
    with pytest.raises(SettingsError, match="SCAIBUNKER_WORKER_TOKEN"):
        read_section(MODULE.settings[1])


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_says_what_it_means(section: type[Section]) -> None:
    for name, field in section.model_fields.items():
        assert field.description, name
        if name.endswith("_s"):
            assert "second" in field.description, name
        if name.endswith("_bytes"):
            assert "byte" in field.description, name


def test_a_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIBUNKER_WORKER_TOKEN", "a-token-that-is-secret")
    assert "a-token-that-is-secret" not in repr(read_section(MODULE.settings[1]))
