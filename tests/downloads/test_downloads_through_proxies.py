"""The proxy of the environment: used for the internet, never for this machine."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.abc import ResolveResult
from yarl import URL

from batchgen.downloads import session
from batchgen.downloads.allowed_hosts import AllowedHosts, HostNotAllowed
from batchgen.downloads.fetch import open_downloader
from batchgen.downloads.outcomes import (
    DownloadSettings,
    Fetched,
    Interrupted,
    Target,
)
from batchgen.errors import UsageError
from batchgen.proxies import Proxies
from batchgen.runcomfy.client import connect
from batchgen.runcomfy.outcomes import Halted, NoAnswer, NotSent
from batchgen.runcomfy.token import Token
from tests.downloads.test_downloads_fetch import FixedResolver

HOST = "cdn.runcomfy.net"
FILE = f"https://{HOST}/boat.png"
PUBLIC = "8.8.8.8"


def proxy_of(**env: str) -> str:
    return str(Proxies.of(env).for_url(URL(FILE)))


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_https_goes_by_the_proxy_that_the_environment_names(name: str) -> None:
    assert proxy_of(**{name: "http://proxy.corp:3128"}) == "http://proxy.corp:3128"
    assert proxy_of(**{name: "proxy.corp:3128"}) == "http://proxy.corp:3128"


def test_a_proxy_for_http_is_none_for_https_and_https_wins_over_all() -> None:
    assert proxy_of(HTTP_PROXY="http://proxy.corp:1") == "None"
    assert proxy_of(ALL_PROXY="http://a.corp:1", HTTPS_PROXY="http://b.corp:2") == "http://b.corp:2"


@pytest.mark.parametrize(
    "no_proxy", ["runcomfy.net", ".runcomfy.net", "a.example, cdn.runcomfy.net", "*", HOST + ":443"]
)
def test_no_proxy_leaves_hosts_out(no_proxy: str) -> None:
    assert proxy_of(HTTPS_PROXY="http://proxy.corp:1", NO_PROXY=no_proxy) == "None"
    assert proxy_of(HTTPS_PROXY="http://proxy.corp:1", no_proxy=no_proxy) == "None"


def test_this_machine_needs_no_proxy() -> None:
    proxies = Proxies.of(
        {"HTTPS_PROXY": "http://proxy.corp:1", "HTTP_PROXY": "http://proxy.corp:1"}
    )
    for url in ("http://127.0.0.1:9/v1", "https://localhost:9/v1", "https://[::1]/v1"):
        assert proxies.for_url(URL(url)) is None


@pytest.mark.parametrize("value", ["socks5://user:secret@proxy.corp:1080", "http://[", "://"])
def test_an_unsupported_proxy_is_refused_without_its_password(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        Proxies.of({"HTTPS_PROXY": value})
    assert caught.value.where == "HTTPS_PROXY"
    assert "secret" not in str(caught.value)


def test_the_source_of_certificates_is_described(tmp_path: Path) -> None:
    assert Proxies.of({}).certificates == "SSL_CERT_FILE is not set"
    elsewhere = Proxies.of({"REQUESTS_CA_BUNDLE": "ca.pem"}).certificates
    assert elsewhere == "SSL_CERT_FILE is not set; REQUESTS_CA_BUNDLE is set, but not used here"
    gone = tmp_path / "gone.pem"
    missing = Proxies.of({"SSL_CERT_FILE": str(gone)}).certificates
    assert missing == f"SSL_CERT_FILE is {gone}, which does not exist"


@dataclass
class Proxy:
    """A CONNECT proxy that leads every host to one port of this machine."""

    leads_to: int
    status: int = 200
    port: int = 0
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://user:secret@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.status} x\r\n\r\n".encode())
        if self.status == 200:
            there, back = await asyncio.open_connection("127.0.0.1", self.leads_to)
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, back))
                group.create_task(pump(there, writer))
        writer.close()

    @property
    def asked(self) -> list[str]:
        return [head.split()[1] for head in self.heads]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SSL_CERT_FILE does to a new process; here it is too late for that."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    make = aiohttp.TCPConnector.__init__

    def trusting(self: aiohttp.TCPConnector, **options: object) -> None:
        make(self, ssl=context, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(aiohttp.TCPConnector, "__init__", trusting)


@asynccontextmanager
async def behind(authority: trustme.CA, content: bytes, status: int = 200) -> AsyncIterator[Proxy]:
    """A TLS server for both hosts of the vendor, and the proxy that alone leads there."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/v1"):
            return web.json_response({"status": "in_queue", "request_id": "r"})
        return web.Response(body=content)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST, "model-api.runcomfy.net").configure_cert(context)
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    proxy = Proxy(runner.addresses[0][1], status)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await runner.cleanup()


def settings_by(proxy: Proxy) -> DownloadSettings:
    return DownloadSettings(AllowedHosts.of(), proxies=Proxies.of({"HTTPS_PROXY": proxy.url}))


@pytest.mark.usefixtures("trusting")
async def test_files_and_the_api_come_through_the_proxy(
    authority: trustme.CA, tmp_path: Path, media: dict[str, bytes]
) -> None:
    target = Target(tmp_path / "files", "boat")
    async with behind(authority, media["png"]) as proxy:
        settings = settings_by(proxy)
        async with open_downloader(settings, resolver=FixedResolver(PUBLIC)) as downloader:
            assert isinstance(await downloader.fetch(FILE, target), Fetched)
        base = "https://model-api.runcomfy.net/v1"
        token = Token("the-token", "test")
        async with connect(base, token, proxies=settings.proxies) as api:
            assert not isinstance(await api.result("r"), NoAnswer)
    assert proxy.asked == [f"{HOST}:443", "model-api.runcomfy.net:443"]
    assert "the-token" not in "".join(proxy.heads)


async def test_a_name_that_leads_inside_is_not_asked_of_the_proxy(
    authority: trustme.CA, tmp_path: Path
) -> None:
    target = Target(tmp_path / "files", "boat")
    async with behind(authority, b"") as proxy:
        async with open_downloader(
            settings_by(proxy), resolver=FixedResolver("10.0.0.7")
        ) as downloader:
            outcome = await downloader.fetch(FILE, target)
        literal = DownloadSettings(
            AllowedHosts.in_public(), proxies=Proxies.of({"HTTPS_PROXY": proxy.url})
        )
        async with open_downloader(literal, resolver=FixedResolver(PUBLIC)) as downloader:
            assert isinstance(await downloader.fetch("https://10.0.0.7/a", target), HostNotAllowed)
            assert isinstance(await downloader.fetch("https://127.0.0.1/a", target), HostNotAllowed)
    reason = f"{HOST} leads to 10.0.0.7, a private address"
    assert outcome == HostNotAllowed(HOST, reason, by_dns=True)
    assert proxy.asked == []


@pytest.mark.usefixtures("trusting")
async def test_a_machine_that_knows_no_names_outside_leaves_them_to_the_proxy(
    authority: trustme.CA,
    tmp_path: Path,
    media: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "LOCAL_DNS_SECONDS", 0.05)

    class Silent(FixedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            await asyncio.sleep(3600)
            raise OSError(host, port, family)

    target = Target(tmp_path / "files", "boat")
    async with (
        behind(authority, media["png"]) as proxy,
        open_downloader(settings_by(proxy), resolver=Silent("")) as downloader,
    ):
        assert isinstance(await downloader.fetch(FILE, target), Fetched)


@pytest.mark.parametrize("status", [407, 502])
async def test_a_proxy_that_refuses_has_let_nothing_through(
    authority: trustme.CA, tmp_path: Path, status: int
) -> None:
    async with behind(authority, b"", status) as proxy:
        settings = settings_by(proxy)
        async with open_downloader(settings, resolver=FixedResolver(PUBLIC)) as downloader:
            outcome = await downloader.fetch(FILE, Target(tmp_path / "files", "boat"))
        async with connect(
            "https://model-api.runcomfy.net/v1", Token("t", "test"), proxies=settings.proxies
        ) as api:
            sent = await api.submit("bytedance/dreamina-4-0/edit", "{}")
    assert outcome == Interrupted(f"the proxy (HTTPS_PROXY) answered {status}", unreached=True)
    assert isinstance(sent, NotSent)
    way = f"through the proxy 127.0.0.1:{proxy.port} of HTTPS_PROXY"
    assert sent.reason == f"the proxy answered {status}; {way}"


async def test_an_untrusted_company_certificate_is_reported_with_the_variable_to_set(
    authority: trustme.CA,
) -> None:
    async with behind(authority, b"") as proxy:
        proxies = Proxies.of({"HTTPS_PROXY": proxy.url, "REQUESTS_CA_BUNDLE": "ca.pem"})
        async with connect(
            "https://model-api.runcomfy.net/v1", Token("t", "test"), proxies=proxies
        ) as api:
            outcome = await api.result("r")
    assert isinstance(outcome, Halted)
    assert (
        "SSL_CERT_FILE is not set; REQUESTS_CA_BUNDLE is set, but not used here" in outcome.reason
    )
    assert "secret" not in outcome.reason
