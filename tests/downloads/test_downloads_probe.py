"""Probing input images on a real HTTP server, helpful or not."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from batchgen.downloads.allowed_hosts import AllowedHosts
from batchgen.downloads.probe import (
    FIRST_BYTES,
    MAX_HEAD_BYTES,
    Gone,
    NoAnswer,
    NotUsable,
    Picture,
    Probed,
    Prober,
    ProbeSettings,
    announced_bytes,
    open_prober,
    refusal_of,
)
from tests.downloads.conftest import picture

HERE = ProbeSettings(AllowedHosts.of(loopback=True))
PLENTY = 50_000_000
"""Bytes that no buffer of the way holds: a server that sends them all would hang in the test."""


@dataclass
class Gallery:
    """A server of one picture; `serve` is how it does that."""

    content: bytes = b""
    url: str = ""
    serve: Callable[[Gallery, web.BaseRequest], Awaitable[web.StreamResponse]] | None = None
    requests: list[web.BaseRequest] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        assert self.serve is not None
        return await self.serve(self, request)

    @property
    def ranges(self) -> list[str | None]:
        return [request.headers.get("Range") for request in self.requests]


@pytest.fixture
async def gallery() -> AsyncIterator[Gallery]:
    made = Gallery(serve=in_ranges)
    runner = web.ServerRunner(web.Server(made.handle), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/boat.jpg?sig=1"
    yield made
    made.over.set()
    await runner.cleanup()


async def probe_url(url: str, settings: ProbeSettings = HERE) -> Probed:
    async with open_prober(settings) as prober:
        return await prober.probe(url)


async def in_ranges(gallery: Gallery, request: web.BaseRequest) -> web.StreamResponse:
    asked = re.fullmatch(r"bytes=0-(\d+)", request.headers["Range"])
    assert asked is not None
    total = len(gallery.content)
    part = gallery.content[: int(asked[1]) + 1]
    headers = {"Content-Range": f"bytes 0-{len(part) - 1}/{total}", "Content-Type": "text/plain"}
    return web.Response(status=206, body=part, headers=headers)


async def whole(gallery: Gallery, _: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=gallery.content)


def answering(status: int, **headers: str) -> Callable[..., Awaitable[web.StreamResponse]]:
    async def answer(gallery: Gallery, _: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=gallery.content, headers=headers)

    return answer


def endless(length: int | None) -> Callable[..., Awaitable[web.StreamResponse]]:
    """A picture, then zeros until the one who looks goes away."""

    async def answer(gallery: Gallery, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = length
        await response.prepare(request)
        await response.write(gallery.content)
        block = bytes(100_000)
        try:
            while not gallery.over.is_set():
                await response.write(block)
        except ConnectionError:
            gallery.over.set()
        return response

    return answer


def with_long_exif(size: int) -> bytes:
    plain = picture("JPEG")
    blocks = b""
    while len(blocks) < size:
        content = b"Exif\0\0" + bytes(60_000)
        blocks += struct.pack(">BBH", 0xFF, 0xE1, len(content) + 2) + content
    return plain[:2] + blocks + plain[2:]


@pytest.mark.parametrize(("codec", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
async def test_a_picture_is_known_by_its_first_bytes(
    gallery: Gallery, codec: str, media_type: str
) -> None:
    """Neither by its name nor by what the server calls it."""
    gallery.content = picture(codec, (900, 760))
    assert len(gallery.content) > FIRST_BYTES
    assert await probe_url(gallery.url) == Picture(media_type, 900, 760, len(gallery.content))
    assert gallery.ranges == [f"bytes=0-{FIRST_BYTES - 1}"]


async def test_a_server_without_ranges_gives_the_size_by_content_length(gallery: Gallery) -> None:
    gallery.content, gallery.serve = picture("PNG"), whole
    assert await probe_url(gallery.url) == Picture("image/png", 96, 64, len(gallery.content))


async def test_of_a_large_file_no_more_is_taken_than_the_header_needs(gallery: Gallery) -> None:
    gallery.content, gallery.serve = picture("PNG"), endless(PLENTY)
    assert await probe_url(gallery.url) == Picture("image/png", 96, 64, PLENTY)
    await asyncio.wait_for(gallery.over.wait(), 10)


async def test_a_server_without_content_length_leaves_the_size_unknown(gallery: Gallery) -> None:
    gallery.content, gallery.serve = picture("PNG"), endless(None)
    assert await probe_url(gallery.url) == Picture("image/png", 96, 64, None)


async def test_a_small_file_without_a_length_is_counted(gallery: Gallery) -> None:
    async def chunked(gallery: Gallery, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(gallery.content)
        return response

    gallery.content, gallery.serve = picture("PNG"), chunked
    assert await probe_url(gallery.url) == Picture("image/png", 96, 64, len(gallery.content))


@pytest.mark.parametrize("serve", [in_ranges, whole])
async def test_a_jpeg_whose_exif_is_long_is_read_on(
    gallery: Gallery, serve: Callable[..., Awaitable[web.StreamResponse]]
) -> None:
    gallery.content, gallery.serve = with_long_exif(900_000), serve
    assert await probe_url(gallery.url) == Picture("image/jpeg", 96, 64, len(gallery.content))
    assert gallery.ranges == [f"bytes=0-{FIRST_BYTES - 1}", f"bytes=0-{MAX_HEAD_BYTES - 1}"]


async def test_a_header_without_end_is_not_read_for_ever(gallery: Gallery) -> None:
    gallery.content = with_long_exif(MAX_HEAD_BYTES)
    found = await probe_url(gallery.url)
    assert isinstance(found, NotUsable)
    assert len(gallery.requests) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (picture("WEBP"), "it is a WebP picture; the vendor takes JPEG and PNG"),
        (picture("GIF"), "it is a GIF picture; the vendor takes JPEG and PNG"),
        (b"<!doctype html><title>Sign in</title>", "an HTML page"),
        (picture("JPEG")[:100], "damaged or cut off"),
        (b"", "empty"),
    ],
)
async def test_what_is_no_jpeg_and_no_png_is_not_usable(
    gallery: Gallery, content: bytes, words: str
) -> None:
    gallery.content, gallery.serve = content, whole
    found = await probe_url(gallery.url)
    assert isinstance(found, NotUsable)
    assert words in found.reason


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_file_that_is_not_given_out_is_gone(gallery: Gallery, status: int) -> None:
    gallery.serve = answering(status)
    found = await probe_url(gallery.url)
    assert isinstance(found, Gone)
    assert str(status) in found.reason


@pytest.mark.parametrize("status", [400, 401, 402, 405, 414, 416, 451])
async def test_a_refusal_is_not_usable(gallery: Gallery, status: int) -> None:
    gallery.serve = answering(status)
    assert isinstance(await probe_url(gallery.url), NotUsable)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_server_error_says_nothing_about_the_file(gallery: Gallery, status: int) -> None:
    gallery.serve = answering(status)
    assert await probe_url(gallery.url) == NoAnswer(f"the server answered {status}")


async def test_an_unrequested_range_is_not_taken_for_the_beginning(
    gallery: Gallery,
) -> None:
    gallery.content = picture("PNG")
    gallery.serve = answering(206, **{"Content-Range": "bytes 5-100/1000"})
    assert isinstance(await probe_url(gallery.url), NotUsable)


async def test_a_truncated_response_says_nothing_about_the_file(gallery: Gallery) -> None:
    async def cut(gallery: Gallery, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(gallery.content[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    gallery.content, gallery.serve = picture("PNG"), cut
    assert isinstance(await probe_url(gallery.url), NoAnswer)


@pytest.mark.parametrize(
    "settings", [replace(HERE, deadline=0.05), replace(HERE, stall_timeout=0.05)]
)
async def test_a_slow_server_says_nothing_about_the_file(
    gallery: Gallery, settings: ProbeSettings
) -> None:
    async def slow(gallery: Gallery, _: web.BaseRequest) -> web.StreamResponse:
        await gallery.over.wait()
        return web.Response()

    gallery.serve = slow
    assert isinstance(await probe_url(gallery.url, settings), NoAnswer)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_a_closed_port_of_this_machine_will_not_serve_it_again() -> None:
    """A rehearsal that is continued has its emulator on another port."""
    found = await probe_url(f"http://127.0.0.1:{closed_port()}/a.png")
    assert found == Gone("nothing on this machine serves it any more")


async def test_an_unknown_host_says_nothing_and_keeps_the_signature_secret() -> None:
    class Nowhere(Names):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise OSError(socket.EAI_NONAME, "no such name")

    async with in_public(Nowhere("")) as prober:
        found = await prober.probe("https://pictures.example.com/a.png?sig=secret")
    assert found == NoAnswer("no address is known for pictures.example.com")


async def test_redirects_are_followed_to_the_picture(gallery: Gallery) -> None:
    async def moved(gallery: Gallery, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/boat.jpg":
            return web.Response(status=302, headers={"Location": "/there"})
        return await in_ranges(gallery, request)

    gallery.content, gallery.serve = picture("PNG"), moved
    assert await probe_url(gallery.url) == Picture("image/png", 96, 64, len(gallery.content))
    assert [request.path for request in gallery.requests] == ["/boat.jpg", "/there"]


async def test_redirects_in_a_circle_end(gallery: Gallery) -> None:
    gallery.serve = answering(302, Location="/boat.jpg")
    assert await probe_url(gallery.url) == NoAnswer("more than 5 redirects")


@pytest.mark.parametrize(
    "location",
    ["https://10.0.0.1/a.png", "http://pictures.example.com/a.png", "file:///etc/passwd"],
)
async def test_a_redirect_into_a_private_network_or_off_https_is_not_followed(
    gallery: Gallery, location: str
) -> None:
    gallery.serve = answering(302, Location=location)
    assert isinstance(await probe_url(gallery.url), NotUsable)
    assert len(gallery.requests) == 1


async def test_nothing_that_could_be_a_key_is_sent(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNCOMFY_TOKEN", "secret-token")
    gallery.content = picture("PNG")
    await probe_url(gallery.url)
    (request,) = gallery.requests
    assert not {"Authorization", "Cookie", "Proxy-Authorization"} & set(request.headers)
    assert "secret-token" not in str(request.headers)


@dataclass
class Names(AbstractResolver):
    """A DNS in which every name leads to one address."""

    address: str
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host,
                host=self.address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=0,
            )
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def in_public(names: Names) -> AsyncIterator[Prober]:
    async with open_prober(ProbeSettings(AllowedHosts.in_public()), resolver=names) as prober:
        yield prober


async def test_any_public_host_is_asked_but_not_where_its_name_leads_home() -> None:
    names = Names("192.168.1.1")
    async with in_public(names) as prober:
        found = await prober.probe("https://pictures.example.com/a.png")
    reason = "pictures.example.com leads to 192.168.1.1, a private address"
    assert found == NotUsable(reason, by_dns=True)
    assert names.asked == ["pictures.example.com"]


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.example.com/a.png",
        "https://user:secret@pictures.example.com/a.png",
        "https://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ],
)
async def test_a_url_that_leads_home_is_not_even_resolved(url: str) -> None:
    names = Names("192.168.1.1")
    async with in_public(names) as prober:
        assert isinstance(await prober.probe(url), NotUsable)
    assert names.asked == []


@pytest.mark.parametrize(
    ("status", "headers", "size"),
    [
        (206, {"Content-Range": "bytes 0-99/1000", "Content-Length": "100"}, 1000),
        (206, {"Content-Range": "bytes 0-99/*", "Content-Length": "100"}, None),
        (200, {"Content-Length": "1000"}, 1000),
        (200, {}, None),
        (200, {"Content-Length": "many"}, None),
    ],
)
def test_the_size_is_that_of_the_whole_file(
    status: int, headers: dict[str, str], size: int | None
) -> None:
    assert refusal_of(status, headers) is None
    assert announced_bytes(status, headers) == size
