"""TLS between controller and worker: real handshakes, good ones and bad ones."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError

from scaibunker.controller.settings import WorkerSettings as ControllerSide
from scaibunker.controller.workers.client import WorkerClient, WorkerSilent
from scaibunker.sdk import AsyncClient, ConnectionFailed
from scaibunker.wire.worker.heartbeat import HeartbeatAnswer
from scaibunker.worker import tls
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.settings import WorkerSettings
from scaigrid.settings import HttpSettings, SettingsError
from tests.certificates import Authority
from tests.integration.simulated_worker import TOKEN, SimulatedWorker
from tests.integration.stack import Stack, error_of, fields_of

GONE = timedelta(days=-1)


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def worker_side(folder: Path, **files: Path | None) -> WorkerSettings:
    return WorkerSettings(token=SecretStr(TOKEN), data_dir=folder, **files)  # type: ignore[arg-type]


def controller_side(**more: Any) -> ControllerSide:
    return ControllerSide(worker_token=SecretStr(TOKEN), **more)


async def ask(server: ssl.SSLContext | None, settings: ControllerSide) -> None:
    """One request of the controller's client to a worker's door."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_delete("/v1/machines/{machine}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
    port = runner.addresses[0][1]
    client = WorkerClient(settings)
    await client.start()
    try:
        scheme = "https" if server else "http"
        await client.remove(f"{scheme}://127.0.0.1:{port}", "bnk_1")
    finally:
        await client.stop()
        await runner.cleanup()


async def test_a_worker_with_a_certificate_is_asked(ca: Authority, tmp_path: Path) -> None:
    certificate, key = ca.issue("worker")
    served = tls.serving(worker_side(tmp_path, tls_certificate=certificate, tls_key=key))
    await ask(served, controller_side(worker_ca=ca.file))


@pytest.mark.parametrize("fault", ["another CA", "no CA", "another host", "expired"])
async def test_a_worker_that_cannot_show_who_it_is_gets_nothing(
    ca: Authority, tmp_path: Path, fault: str
) -> None:
    address = "127.0.0.2" if fault == "another host" else "127.0.0.1"
    lasts = GONE if fault == "expired" else timedelta(days=1)
    certificate, key = ca.issue("worker", address, lasts)
    served = tls.serving(worker_side(tmp_path, tls_certificate=certificate, tls_key=key))
    trusted = {"another CA": Authority(tmp_path, "other").file, "no CA": None}.get(fault, ca.file)
    with pytest.raises(WorkerSilent) as silent:
        await ask(served, controller_side(worker_ca=trusted))
    assert silent.value.sent is False


@pytest.mark.parametrize("shown", ["a good one", "none", "another CA's"])
async def test_a_worker_may_ask_the_controller_for_a_certificate(
    ca: Authority, tmp_path: Path, shown: str
) -> None:
    certificate, key = ca.issue("worker")
    served = tls.serving(
        worker_side(tmp_path, tls_certificate=certificate, tls_key=key, tls_client_ca=ca.file)
    )
    own: dict[str, Path] = {}
    if shown != "none":
        signer = ca if shown == "a good one" else Authority(tmp_path, "other")
        own = dict(
            zip(("worker_client_certificate", "worker_client_key"), signer.issue("me"), strict=True)
        )
    settings = controller_side(worker_ca=ca.file, **own)
    if shown == "a good one":
        await ask(served, settings)
    else:
        with pytest.raises(WorkerSilent):
            await ask(served, settings)


async def test_a_plain_address_is_not_asked_where_https_is_required() -> None:
    await ask(None, controller_side())
    with pytest.raises(WorkerSilent):
        await ask(None, controller_side(worker_require_https=True))


async def test_a_heartbeat_with_a_plain_address_is_refused_where_https_is_required(
    bare: Stack, worker: SimulatedWorker
) -> None:
    bare.knobs.workers = {"worker_require_https": True}
    await bare.restart()
    response = await worker.send(bare.client, worker.heartbeat())
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == ["address"]
    secure = worker.heartbeat().model_copy(update={"address": "https://127.0.0.1:1"})
    assert (await worker.send(bare.client, secure)).status_code == 200


async def test_the_controller_serves_https_and_the_worker_verifies_it(
    bare: Stack, worker: SimulatedWorker, ca: Authority, tmp_path: Path
) -> None:
    certificate, key = ca.issue("controller")
    bare.knobs.http = {"tls_certificate": certificate, "tls_key": key}
    await bare.restart()
    url = f"https://127.0.0.1:{bare.client.base_url.port}/v1/modules/scaibunker/heartbeat"

    async def report(trusted: Path) -> HeartbeatAnswer:
        context = tls.asking(worker_side(tmp_path, controller_ca=trusted))
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.post(
                url,
                data=worker.heartbeat().model_dump_json(),
                headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            ) as response,
        ):
            return HeartbeatAnswer.model_validate_json(await response.read())

    assert (await report(ca.file)).interval_s > 0
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await report(Authority(tmp_path, "other").file)


async def test_a_client_trusts_the_authority_that_it_is_told_of(
    bare: Stack, ca: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = ca.issue("controller")
    bare.knobs.http = {"tls_certificate": certificate, "tls_key": key}
    await bare.restart()

    async def look() -> None:
        url = f"https://127.0.0.1:{bare.client.base_url.port}"
        async with AsyncClient(url, bare.keys["user"]) as client:
            assert [bunker async for bunker in client.bunkers.list()] == []

    with pytest.raises(ConnectionFailed, match="certificate"):
        await look()
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    await look()


def test_files_that_cannot_be_used_are_named_by_their_setting(
    ca: Authority, tmp_path: Path
) -> None:
    certificate, key = ca.issue("one")
    _, another = ca.issue("two")
    for wrong in (another, tmp_path / "missing", certificate):
        with pytest.raises(WorkerFault, match="SCAIBUNKER_WORKER_TLS_CERTIFICATE"):
            tls.serving(worker_side(tmp_path, tls_certificate=certificate, tls_key=wrong))
        with pytest.raises(SettingsError, match="SCAIBUNKER_WORKER_CLIENT_CERTIFICATE"):
            WorkerClient(
                controller_side(worker_client_certificate=certificate, worker_client_key=wrong)
            )
    for wrong in (key, tmp_path / "missing"):
        with pytest.raises(WorkerFault, match="SCAIBUNKER_WORKER_CONTROLLER_CA"):
            tls.asking(worker_side(tmp_path, controller_ca=wrong))
        with pytest.raises(SettingsError, match="SCAIBUNKER_WORKER_CA"):
            WorkerClient(controller_side(worker_ca=wrong))
    with pytest.raises(ValidationError, match="together"):
        worker_side(tmp_path, tls_certificate=certificate)
    with pytest.raises(ValidationError, match="together"):
        HttpSettings(tls_key=key)
