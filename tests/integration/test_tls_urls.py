"""`rediss`: servers, a cluster and Sentinels that ask for a certificate; sync and async.

Skipped where the server was built without TLS, as those of the wheels are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from langchain_redis_session import (
    BackendUnavailableError,
    RedisSessionService,
)
from tests.contract.backends import Mode, Verbs
from tests.methods import call_all_methods
from tests.servers import (
    Certificates,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    ServerBinary,
    supports_tls,
)
from tests.waits import PATIENCE_S

PATIENT: dict[str, Any] = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
MODES = ["sync", "async"]


@pytest.fixture(scope="module", autouse=True)
def only_with_tls(redis_binary: ServerBinary) -> None:
    """Skip where there is no TLS."""
    if not supports_tls(redis_binary):
        pytest.skip(f"{redis_binary} was built without TLS")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What all servers and clients of this module show."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=["server", "cluster", "sentinel"])
def url(
    request: pytest.FixtureRequest, redis_binary: ServerBinary, certificates: Certificates
) -> Iterator[str]:
    """A URL with the certificate to show, of a server of each kind."""
    with ExitStack() as stack:
        if request.param == "server":
            server = RedisServer(redis_binary, tls=certificates, asks_for_certificate=True)
            yield stack.enter_context(server).url
        elif request.param == "cluster":
            yield stack.enter_context(RedisCluster(redis_binary, tls=certificates)).url
        else:
            yield stack.enter_context(RedisSentinel(redis_binary, tls=certificates)).url


@pytest.mark.parametrize("mode", MODES)
async def test_every_method_works_with_a_client_certificate(
    url: str, key_prefix: str, mode: Mode
) -> None:
    service = RedisSessionService(
        url, key_prefix=key_prefix, summarizer=lambda _: "s", extra_options=PATIENT
    )
    results = await call_all_methods(Verbs(service, mode))
    assert len(results["get_messages"]) > 0


@pytest.mark.parametrize("mode", MODES)
async def test_certificates_may_be_options_too(
    url: str, certificates: Certificates, mode: Mode
) -> None:
    options = {
        **PATIENT,
        "ssl_ca_certs": str(certificates.authority),
        "ssl_certfile": str(certificates.certificate),
        "ssl_keyfile": str(certificates.key),
    }
    service = RedisSessionService(url.partition("?")[0], extra_options=options)
    async with Verbs(service, mode) as verbs:
        assert await verbs.ping()


@pytest.mark.parametrize("mode", MODES)
async def test_without_a_client_certificate_the_server_refuses(
    url: str, certificates: Certificates, mode: Mode
) -> None:
    service = RedisSessionService(
        f"{url.partition('?')[0]}?ssl_ca_certs={certificates.authority}", extra_options=PATIENT
    )
    async with Verbs(service, mode) as verbs:
        with pytest.raises(BackendUnavailableError):
            await verbs.ping()


@pytest.mark.parametrize("mode", MODES)
async def test_a_server_of_another_authority_is_refused(
    url: str, tmp_path: Path, mode: Mode
) -> None:
    other = Certificates.make(tmp_path)
    service = RedisSessionService(f"{url.partition('?')[0]}{other.query(is_shown=True)}")
    async with Verbs(service, mode) as verbs:
        with pytest.raises(BackendUnavailableError) as raised:
            await verbs.ping()
    assert "certificate" in str(raised.value).lower() or "No master found" in str(raised.value)
