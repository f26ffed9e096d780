"""The worker's TLS: what its API shows and asks for, and whom it believes to be the controller.

TLS 1.2 at least. Files are read once, at the start; a fault names the setting, never what is in a file.
"""

import ssl
from pathlib import Path

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.settings import WorkerSettings

PREFIX = "SCAIBUNKER_WORKER_"


def serving(settings: WorkerSettings) -> ssl.SSLContext | None:
    """For the API; None if it is served plainly. Raises WorkerFault."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password here OpenSSL would ask the terminal for one.
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise _fault("TLS_CERTIFICATE (with TLS_KEY)", error) from None
    if settings.tls_client_ca is not None:
        _trust(context, settings.tls_client_ca, "TLS_CLIENT_CA")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def asking(settings: WorkerSettings) -> ssl.SSLContext | None:
    """For requests to the controller, whose host name is verified; None if it is asked plainly, since the
    system's CAs take their time to be read. Raises WorkerFault."""
    if settings.controller_ca is None:
        if not (settings.controller_url or "").lower().startswith("https:"):
            return None
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts nobody yet
        _trust(context, settings.controller_ca, "CONTROLLER_CA")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _trust(context: ssl.SSLContext, file: Path, setting: str) -> None:
    try:
        context.load_verify_locations(file)
    except (OSError, ValueError) as error:
        raise _fault(setting, error) from None


def _fault(setting: str, error: Exception) -> WorkerFault:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").replace("_", " ").lower()
        why = f"the files do not fit together or are not PEM, unencrypted: {reason}".rstrip(": ")
    elif isinstance(error, OSError):
        why = f"a file cannot be read: {error.strerror}"
    else:
        why = "the files cannot be used"
    return WorkerFault(f"{PREFIX}{setting}: {why}")
