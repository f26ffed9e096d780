"""TLS contexts from files. TLS 1.2 at least; the other side's host name is always verified.

Files are read once, at the start. What is wrong with one is told by the setting that names it, never by
what is in it.
"""

import functools
import ssl
from pathlib import Path

from scaigrid.settings.errors import SettingsError


def serving(certificate: Path, key: Path, *, setting: str) -> ssl.SSLContext:
    """For a server. Raises SettingsError that names `setting`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, certificate, key, setting)
    return context


def asking(
    trusted: Path | None,
    certificate: Path | None,
    key: Path | None,
    *,
    ca_setting: str,
    setting: str,
) -> ssl.SSLContext:
    """For a client: trusts the certificates of `trusted` alone, or the system's without it; shows its
    own to who asks for one. Raises SettingsError that names the setting."""
    if trusted is None and certificate is None:
        return _of_the_system()
    try:
        context = ssl.create_default_context(cafile=str(trusted) if trusted else None)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{ca_setting}: {_why(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None and key is not None:
        _load_chain(context, certificate, key, setting)
    return context


@functools.cache
def _of_the_system() -> ssl.SSLContext:
    """One for all: reading hundreds of certificates takes a while. Nobody may change it."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path, setting: str) -> None:
    try:
        # Without a password here OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{setting} (with its key): {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").replace("_", " ").lower()
        return f"the files do not fit together or are not PEM, unencrypted: {reason}".rstrip(": ")
    if isinstance(error, OSError):
        return f"a file cannot be read: {error.strerror}"
    return "the files cannot be used"
