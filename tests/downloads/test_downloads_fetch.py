"""Downloads from a real HTTP server, each with the problem of a row of failures.md."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from batchgen.downloads import fetch
from batchgen.downloads.allowed_hosts import AllowedHosts, HostNotAllowed
from batchgen.downloads.fetch import Downloader, open_downloader
from batchgen.downloads.outcomes import (
    Corrupt,
    DownloadSettings,
    Fetched,
    FetchOutcome,
    Interrupted,
    Target,
    TooLarge,
    UrlExpired,
)
from batchgen.downloads.part import make_folders
from batchgen.downloads.resume import Sidecar, sidecar_text
from batchgen.errors import BatchgenError, DiskFullError, OutputError, StorageError

BLOCK = 64 * 1024
SETTINGS = DownloadSettings(AllowedHosts.of(loopback=True), block_bytes=BLOCK)


@dataclass
class Site:
    """A file server under the test's control: `answer` is asked for every request."""

    url: str
    requests: list[web.BaseRequest] = field(default_factory=list)
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        assert self.answer is not None
        return await self.answer(request)

    def gives(self, *responses: Callable[[], web.Response]) -> None:
        """One after the other; the last one again and again."""

        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            return responses[min(len(self.requests), len(responses)) - 1]()

        self.answer = answer

    def body(self, content: bytes, **headers: str) -> None:
        self.gives(lambda: web.Response(body=content, headers=headers))

    def sent(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.requests]


@asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    served = Site("")
    runner = web.ServerRunner(web.Server(served.handle), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/boat"
    yield served
    await runner.cleanup()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as served:
        yield served


@dataclass
class Desk:
    """A downloader and the folder it writes to."""

    downloader: Downloader
    folder: Path

    async def fetch(self, url: str, name: str = "boat") -> FetchOutcome:
        return await self.downloader.fetch(url, Target(self.folder, name))

    @property
    def files(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))

    def leave_part(self, content: bytes, etag: str, total: int | None) -> None:
        self.folder.mkdir()
        (self.folder / "boat.part").write_bytes(content)
        (self.folder / "boat.part.json").write_text(sidecar_text(Sidecar(etag, total)))


@asynccontextmanager
async def desk_in(
    folder: Path,
    settings: DownloadSettings = SETTINGS,
    fsync: Callable[[int], None] = os.fsync,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[Desk]:
    async with open_downloader(settings, fsync=fsync, resolver=resolver) as downloader:
        yield Desk(downloader, folder / "files")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_in(tmp_path) as opened:
        yield opened


def ranged(content: bytes, etag: str) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """A server that knows Range and If-Range."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        start = request.http_range.start or 0
        if start == 0 or request.headers.get("If-Range") != etag:
            return web.Response(body=content, headers={"ETag": etag})
        content_range = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers = {"ETag": etag, "Content-Range": content_range}
        return web.Response(status=206, body=content[start:], headers=headers)

    return answer


def broken_off(
    content: bytes, announced: int, etag: str
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Announces more than it sends, then closes the connection."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(announced), "ETag": etag})
        await response.prepare(request)
        await response.write(content)
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


# --- what a good download leaves


@pytest.mark.parametrize("name", ["png", "jpg", "webp", "gif", "mp4", "mov", "webm"])
async def test_a_file_arrives_whole_and_verified(
    site: Site, desk: Desk, media: dict[str, bytes], name: str
) -> None:
    content = media[name]
    site.body(content)
    outcome = await desk.fetch(site.url)
    assert isinstance(outcome, Fetched)
    assert outcome.file.path == f"files/boat.{name}"
    assert outcome.file.bytes == len(content)
    assert outcome.file.sha256 == hashlib.sha256(content).hexdigest()
    assert (outcome.file.width, outcome.file.height) == (96, 64)
    assert desk.files == [f"boat.{name}"]
    assert (desk.folder / f"boat.{name}").read_bytes() == content


async def test_a_part_of_a_new_file_is_not_looked_for(
    site: Site, desk: Desk, large_png: bytes
) -> None:
    desk.leave_part(large_png[:BLOCK], '"v1"', len(large_png))
    site.body(large_png, ETag='"v1"')
    target = Target(desk.folder, "boat", is_new=True)
    assert isinstance(await desk.downloader.fetch(site.url, target), Fetched)
    assert "Range" not in site.requests[0].headers
    assert desk.files == ["boat.png"]
    assert (desk.folder / "boat.png").read_bytes() == large_png


async def test_a_large_file_arrives_in_blocks(site: Site, desk: Desk, large_png: bytes) -> None:
    site.body(large_png, ETag='"v1"')
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert desk.files == ["boat.png"]
    assert (desk.folder / "boat.png").read_bytes() == large_png


async def test_a_file_without_announced_length_arrives(
    site: Site, desk: Desk, large_png: bytes
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for start in range(0, len(large_png), 50_000):
            await response.write(large_png[start : start + 50_000])
        return response

    site.answer = answer
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert (desk.folder / "boat.png").read_bytes() == large_png


async def test_a_body_of_exactly_one_block_arrives(
    site: Site, tmp_path: Path, media: dict[str, bytes]
) -> None:
    site.body(media["png"])
    async with desk_in(tmp_path, replace(SETTINGS, block_bytes=len(media["png"]))) as desk:
        assert isinstance(await desk.fetch(site.url), Fetched)
        assert desk.files == ["boat.png"]


async def test_the_extension_follows_the_bytes_and_not_the_server(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    """Row 68."""
    headers = {
        "Content-Type": "image/jpeg",
        "Content-Disposition": 'attachment; filename="../x.exe"',
    }
    site.body(media["png"], **headers)
    await desk.fetch(site.url + "/photo.jpg")
    assert desk.files == ["boat.png"]


async def test_a_name_may_have_folders_and_dots(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    site.body(media["png"])
    outcome = await desk.fetch(site.url, "hero/v1.0/boat")
    assert isinstance(outcome, Fetched)
    assert outcome.file.path == "files/hero/v1.0/boat.png"
    assert (desk.folder / "hero" / "v1.0" / "boat.png").exists()


@pytest.mark.parametrize("name", ["../boat", "/boat", "a//b", "", ".", "a\\b", "a\0b"])
def test_a_name_that_leaves_the_folder_is_a_bug_of_the_caller(tmp_path: Path, name: str) -> None:
    """Row 67."""
    with pytest.raises(ValueError, match="not a safe file name"):
        Target(tmp_path, name)


async def test_many_downloads_at_once_do_not_disturb_each_other(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    site.body(media["png"])
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(desk.fetch(site.url, f"boat-{number}"), name=f"fetch {number}")
    assert len(desk.files) == 20


async def test_a_second_download_replaces_the_file(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    desk.folder.mkdir()
    (desk.folder / "boat.png").write_bytes(b"old")
    site.body(media["png"])
    await desk.fetch(site.url)
    assert (desk.folder / "boat.png").read_bytes() == media["png"]


# --- what is sent


async def test_neither_token_nor_cookie_nor_proxy_is_used(
    site: Site, tmp_path: Path, media: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 66 and 70."""
    monkeypatch.setenv("RUNCOMFY_TOKEN", "tok-secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password tok-secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    site.body(media["png"], **{"Set-Cookie": "session=1; Path=/"})
    async with desk_in(tmp_path) as desk:
        assert isinstance(await desk.fetch(site.url), Fetched)
        assert isinstance(await desk.fetch(site.url), Fetched)
    assert site.sent("Authorization") == site.sent("Cookie") == [None, None]
    assert site.sent("Accept-Encoding") == ["identity", "identity"]
    assert not any("secret" in str(request.headers) for request in site.requests)


async def test_the_query_of_a_signed_url_is_sent_as_it_came(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    site.body(media["png"])
    await desk.fetch(site.url + "?Key=AKIA%2F2024&Sig=a%2Bb%7E")
    assert site.requests[0].path_qs == "/boat?Key=AKIA%2F2024&Sig=a%2Bb%7E"


# --- rows 48, 69, 70: where nothing is sent


async def test_a_foreign_host_is_not_asked(site: Site, tmp_path: Path) -> None:
    """Row 48."""
    async with desk_in(tmp_path, DownloadSettings(AllowedHosts.of())) as desk:
        outcome = await desk.fetch("https://evil.example/boat.png")
        assert isinstance(outcome, HostNotAllowed)
        assert outcome.host == "evil.example"
        assert 'output.allow_hosts: ["evil.example"]' in outcome.reason
        assert isinstance(await desk.fetch(site.url), HostNotAllowed)
    assert site.requests == []


class FixedResolver(AbstractResolver):
    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        flags = socket.AI_NUMERICHOST
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=flags,
            )
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
async def test_an_allowed_name_that_leads_home_is_refused_at_connect(
    tmp_path: Path, address: str
) -> None:
    """Row 69."""
    async with desk_in(tmp_path, resolver=FixedResolver(address)) as desk:
        outcome = await desk.fetch("https://cdn.runcomfy.net/boat.png")
    assert isinstance(outcome, HostNotAllowed)
    assert outcome.host == "cdn.runcomfy.net"
    assert address in outcome.reason


def redirect(location: str, status: int = 302) -> Callable[[], web.Response]:
    return lambda: web.Response(status=status, headers={"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_an_allowed_host_is_followed(
    site: Site, desk: Desk, media: dict[str, bytes], status: int
) -> None:
    """Row 70."""
    site.gives(redirect("/elsewhere", status), lambda: web.Response(body=media["png"]))
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert [request.path for request in site.requests] == ["/boat", "/elsewhere"]


@pytest.mark.parametrize(
    "location", ["https://evil.example/x", "http://10.0.0.1/x", "file:///etc/passwd", "https://["]
)
async def test_a_redirect_to_another_host_is_refused(site: Site, desk: Desk, location: str) -> None:
    """Row 70."""
    site.gives(redirect(location))
    assert isinstance(await desk.fetch(site.url), HostNotAllowed)
    assert len(site.requests) == 1
    assert desk.files == []


async def test_endless_redirects_end(site: Site, desk: Desk) -> None:
    site.gives(redirect("/boat"))
    assert await desk.fetch(site.url) == Interrupted("more than 5 redirects")
    assert len(site.requests) == 6


# --- rows 40 to 46, 49: what the server may answer


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_an_expired_url_is_distinguished(site: Site, desk: Desk, status: int) -> None:
    """Row 40."""
    site.gives(lambda: web.Response(status=status))
    outcome = await desk.fetch(site.url)
    assert isinstance(outcome, UrlExpired)
    assert outcome.status == status


async def test_an_expired_url_leaves_the_part_for_the_new_one(
    site: Site, desk: Desk, large_png: bytes
) -> None:
    desk.leave_part(large_png[:200_000], '"v1"', len(large_png))
    site.gives(lambda: web.Response(status=403))
    await desk.fetch(site.url)
    site.answer = ranged(large_png, '"v1"')
    assert isinstance(await desk.fetch(site.url + "?new=1"), Fetched)
    assert site.sent("Range") == ["bytes=200000-", "bytes=200000-"]


async def test_a_busy_server_is_obeyed(site: Site, desk: Desk) -> None:
    site.gives(lambda: web.Response(status=429, headers={"Retry-After": "30"}))
    assert await desk.fetch(site.url) == Interrupted("the file server answered 429", 30.0)


async def test_a_small_short_body_never_takes_the_final_name(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    """Row 41."""
    site.answer = broken_off(media["png"], len(media["png"]) + 1, '"v1"')
    assert await desk.fetch(site.url) == Interrupted("the file broke off before its end")
    assert desk.files == ["boat.part", "boat.part.json"]


@pytest.mark.usefixtures("no_garbage_collection")
async def test_a_broken_download_keeps_no_block_in_memory(
    site: Site, desk: Desk, large_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that breaks off each download for hours costs no memory."""
    readers: list[weakref.ref[Any]] = []

    class Blocks(fetch._Blocks):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            readers.append(weakref.ref(self))

    monkeypatch.setattr(fetch, "_Blocks", Blocks)
    site.answer = broken_off(large_png[:300_000], len(large_png), '"v1"')
    assert isinstance(await desk.fetch(site.url), Interrupted)
    assert [reader() for reader in readers] == [None]


async def test_what_cannot_be_continued_is_not_kept(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    site.answer = broken_off(media["png"], len(media["png"]) + 1, 'W/"v1"')
    assert isinstance(await desk.fetch(site.url), Interrupted)
    assert desk.files == []


def trickle(content: bytes, etag: str) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """A byte at a time, for ever: the client hangs up."""

    async def answer(request: web.BaseRequest) -> web.Response:
        response = web.StreamResponse(headers={"ETag": etag, "Content-Length": str(len(content))})
        await response.prepare(request)
        with suppress(ConnectionError):
            for byte in content:
                await response.write(bytes([byte]))
                await asyncio.sleep(0.005)
        return web.Response()

    return answer


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rate_window": 0.1, "min_rate": 1e6}, "bytes a second, which is too slow"),
        ({"attempt_limit": 0.1}, "was not complete after"),
    ],
)
async def test_a_body_that_trickles_gives_its_place_back_and_is_continued(
    site: Site, tmp_path: Path, large_png: bytes, changes: dict[str, Any], why: str
) -> None:
    site.answer = trickle(large_png, '"v1"')
    async with desk_in(tmp_path, replace(SETTINGS, **changes)) as desk:
        outcome = await desk.fetch(site.url)
        assert isinstance(outcome, Interrupted)
        assert why in outcome.reason
        assert not outcome.unreached
        site.answer = ranged(large_png, '"v1"')
        assert isinstance(await desk.fetch(site.url), Fetched)
    (
        _,
        range_,
    ) = site.sent("Range")
    assert range_ is not None
    assert int(range_.removeprefix("bytes=").removesuffix("-")) > 0
    assert (desk.folder / "boat.png").read_bytes() == large_png


async def test_a_broken_download_is_continued(site: Site, desk: Desk, large_png: bytes) -> None:
    """Row 41: what came is kept, and the rest is asked for."""
    desk.leave_part(large_png[:BLOCK], '"v1"', len(large_png))
    site.answer = broken_off(large_png[:300_000], len(large_png), '"v1"')
    assert isinstance(await desk.fetch(site.url), Interrupted)
    assert not (desk.folder / "boat.png").exists()
    site.answer = ranged(large_png, '"v1"')
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert all(text is not None and text.startswith("bytes=") for text in site.sent("Range"))
    assert (desk.folder / "boat.png").read_bytes() == large_png
    assert desk.files == ["boat.png"]


async def test_only_the_missing_bytes_are_sent(site: Site, desk: Desk, large_png: bytes) -> None:
    desk.leave_part(large_png[:200_000], '"v1"', len(large_png))
    site.answer = ranged(large_png, '"v1"')
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert (site.sent("Range"), site.sent("If-Range")) == (["bytes=200000-"], ['"v1"'])
    assert (desk.folder / "boat.png").read_bytes() == large_png


@pytest.mark.parametrize(("start", "end"), [(200_000, 300_000), (200_000, None)])
async def test_a_range_of_the_wrong_length_never_takes_the_final_name(
    site: Site, desk: Desk, large_png: bytes, start: int, end: int | None
) -> None:
    """Row 41: too short, and too long."""
    desk.leave_part(large_png[:start], '"v1"', len(large_png))
    rest = large_png[start:end] + (b"" if end else b"more")
    headers = {"ETag": '"v1"', "Content-Range": f"bytes {start}-{len(large_png) - 1}/*"}
    site.gives(lambda: web.Response(status=206, body=rest, headers=headers))
    outcome = await desk.fetch(site.url)
    came = start + len(rest)
    assert outcome == Interrupted(f"{came} bytes came instead of {len(large_png)}")
    assert not (desk.folder / "boat.png").exists()
    site.answer = ranged(large_png, '"v1"')
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert site.sent("Range")[-1] == (f"bytes={came}-" if end else None)


async def test_of_a_complete_part_one_byte_is_asked_for(
    site: Site, desk: Desk, large_png: bytes
) -> None:
    desk.leave_part(large_png, '"v1"', len(large_png))
    site.answer = ranged(large_png, '"v1"')
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert site.sent("Range") == [f"bytes={len(large_png) - 1}-"]


async def test_a_server_that_ignores_ranges_starts_over(
    site: Site, desk: Desk, large_png: bytes
) -> None:
    """Row 43."""
    desk.leave_part(b"x" * 200_000, '"v1"', len(large_png))
    site.body(large_png, ETag='"v1"')
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert len(site.requests) == 1
    assert (desk.folder / "boat.png").read_bytes() == large_png


async def test_a_changed_file_starts_over(site: Site, desk: Desk, large_png: bytes) -> None:
    """Row 44: If-Range makes the server send the whole new file."""
    desk.leave_part(b"x" * 200_000, '"v1"', len(large_png))
    site.answer = ranged(large_png, '"v2"')
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert (desk.folder / "boat.png").read_bytes() == large_png


@pytest.mark.parametrize("status", [206, 416])
async def test_a_range_of_another_file_starts_over(
    site: Site, desk: Desk, large_png: bytes, status: int
) -> None:
    """Row 44: from a server that does not know If-Range."""
    desk.leave_part(b"x" * 200_000, '"v1"', len(large_png))
    rest = {"ETag": '"v2"', "Content-Range": f"bytes 200000-{len(large_png) - 1}/{len(large_png)}"}
    site.gives(
        lambda: web.Response(status=status, body=large_png[200_000:], headers=rest),
        lambda: web.Response(body=large_png, headers={"ETag": '"v2"'}),
    )
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert site.sent("Range") == ["bytes=200000-", None]
    assert (desk.folder / "boat.png").read_bytes() == large_png


async def test_a_part_without_its_sidecar_is_not_trusted(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    desk.leave_part(b"x" * 100, '"v1"', None)
    (desk.folder / "boat.part.json").write_text('{"etag":')
    site.body(media["png"])
    assert isinstance(await desk.fetch(site.url), Fetched)
    assert site.sent("Range") == [None]
    assert desk.files == ["boat.png"]


async def test_a_part_that_was_spoilt_is_noticed_and_removed(
    site: Site, desk: Desk, large_png: bytes
) -> None:
    """Row 42."""
    desk.leave_part(bytes(200_000), '"v1"', len(large_png))
    site.answer = ranged(large_png, '"v1"')
    assert isinstance(await desk.fetch(site.url), Corrupt)
    assert desk.files == []
    assert isinstance(await desk.fetch(site.url), Fetched)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>Sorry</html>", "the file is an HTML page, not a picture or video"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "the PNG does not decode"),
        (b"<html>" + b"x" * 3 * BLOCK, "the file is an HTML page, not a picture or video"),
    ],
)
async def test_what_is_no_media_is_refused_and_removed(
    site: Site, desk: Desk, content: bytes, reason: str
) -> None:
    """Rows 42, 45 and 46."""
    site.body(content, **{"Content-Type": "image/png"})
    outcome = await desk.fetch(site.url)
    assert isinstance(outcome, Corrupt)
    assert outcome.reason.startswith(reason)
    assert desk.files == []


async def test_a_compressed_body_is_refused(site: Site, desk: Desk) -> None:
    """Row 72."""
    site.body(b"\x1f\x8b" + bytes(1000), **{"Content-Encoding": "gzip"})
    assert isinstance(await desk.fetch(site.url), Corrupt)
    assert desk.files == []


async def test_an_announced_oversize_is_not_even_read(
    site: Site, tmp_path: Path, large_png: bytes
) -> None:
    """Row 49."""
    site.body(large_png)
    async with desk_in(tmp_path, replace(SETTINGS, max_bytes=100_000)) as desk:
        desk.leave_part(b"x" * 10, '"v1"', None)
        assert await desk.fetch(site.url) == TooLarge(len(large_png))
        assert desk.files == []


@pytest.mark.parametrize("max_bytes", [1000, 100_000])
async def test_an_endless_body_is_stopped_at_the_cap(
    site: Site, tmp_path: Path, large_png: bytes, max_bytes: int
) -> None:
    """Row 49."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": '"v1"'})
        response.enable_chunked_encoding()
        await response.prepare(request)
        while True:
            await response.write(large_png)

    site.answer = answer
    async with desk_in(tmp_path, replace(SETTINGS, max_bytes=max_bytes)) as desk:
        outcome = await desk.fetch(site.url)
        assert isinstance(outcome, TooLarge)
        assert max_bytes < outcome.bytes <= max_bytes + BLOCK
        assert desk.files == []


async def test_a_body_of_exactly_the_cap_is_taken(
    site: Site, tmp_path: Path, large_png: bytes
) -> None:
    site.body(large_png)
    async with desk_in(tmp_path, replace(SETTINGS, max_bytes=len(large_png))) as desk:
        assert isinstance(await desk.fetch(site.url), Fetched)


# --- the network


async def test_a_closed_port_is_an_interruption(desk: Desk) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/boat?Sig=secret"
        outcome = await desk.fetch(url)
    assert isinstance(outcome, Interrupted)
    assert outcome.reason.startswith("no connection to 127.0.0.1")
    assert "secret" not in outcome.reason


async def test_a_server_that_hangs_up_is_an_interruption(site: Site, desk: Desk) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    site.answer = answer
    closed = Interrupted("the file server closed the connection", unreached=True)
    assert await desk.fetch(site.url) == closed


async def test_a_silent_server_is_an_interruption(site: Site, tmp_path: Path) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    site.answer = answer
    async with desk_in(tmp_path, replace(SETTINGS, stall_timeout=0.05)) as desk:
        assert await desk.fetch(site.url) == Interrupted("the file server stopped sending")


async def test_a_cancelled_download_is_continued(
    site: Site, tmp_path: Path, large_png: bytes
) -> None:
    """Rows 56 and 58: the `.part` waits for the next run."""
    half = len(large_png) // 2
    asked = asyncio.Event()

    async def stall(request: web.BaseRequest) -> web.StreamResponse:
        start = request.http_range.start or 0
        content_range = f"bytes {start}-{len(large_png) - 1}/{len(large_png)}"
        headers = {"ETag": '"v1"', "Content-Range": content_range}
        response = web.StreamResponse(status=206, headers=headers)
        await response.prepare(request)
        await response.write(large_png[start:half])
        asked.set()
        await asyncio.Event().wait()
        return response

    site.answer = stall
    async with desk_in(tmp_path) as desk:
        desk.leave_part(large_png[:100_000], '"v1"', len(large_png))
        task = asyncio.create_task(desk.fetch(site.url), name="fetch")
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert desk.files == ["boat.part", "boat.part.json"]
        kept = (desk.folder / "boat.part").read_bytes()
        assert kept == large_png[: len(kept)]
        assert len(kept) >= 100_000
        site.answer = ranged(large_png, '"v1"')
        assert isinstance(await desk.fetch(site.url), Fetched)
        assert site.sent("Range")[-1] == f"bytes={len(kept)}-"
        assert (desk.folder / "boat.png").read_bytes() == large_png


# --- rows 50, 52, 53, 73: the disk


async def failing(desk: Desk, site: Site) -> BatchgenError:
    with pytest.raises(BatchgenError) as caught:
        await desk.fetch(site.url)
    return caught.value


@pytest.mark.parametrize("name", ["boat.part", "boat.part.json", "boat.png"])
@pytest.mark.parametrize("dangling", [False, True])
async def test_a_link_where_a_file_should_go_is_not_followed(
    site: Site, desk: Desk, large_png: bytes, name: str, *, dangling: bool
) -> None:
    """Row 73."""
    desk.folder.mkdir()
    victim = desk.folder.parent / "victim"
    if not dangling:
        victim.write_bytes(b"precious")
    (desk.folder / name).symlink_to(victim)
    site.body(large_png, ETag='"v1"')
    error = await failing(desk, site)
    assert isinstance(error, OutputError)
    assert "symbolic link" in str(error)
    assert victim.exists() != dangling
    assert dangling or victim.read_bytes() == b"precious"


async def test_a_linked_folder_in_a_name_is_not_followed(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    """Row 73."""
    desk.folder.mkdir()
    elsewhere = desk.folder.parent / "elsewhere"
    elsewhere.mkdir()
    (desk.folder / "hero").symlink_to(elsewhere)
    site.body(media["png"])
    with pytest.raises(OutputError, match="symbolic link"):
        await desk.fetch(site.url, "hero/boat")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["boat.png", "boat.part"])
async def test_a_folder_where_a_file_should_go_is_kept(
    site: Site, desk: Desk, media: dict[str, bytes], name: str
) -> None:
    """Row 73."""
    (desk.folder / name / "inside").mkdir(parents=True)
    site.body(media["png"])
    assert isinstance(await failing(desk, site), OutputError)
    assert (desk.folder / name / "inside").exists()


async def test_a_pipe_where_a_file_should_go_blocks_nothing(
    site: Site, desk: Desk, media: dict[str, bytes]
) -> None:
    desk.folder.mkdir()
    os.mkfifo(desk.folder / "boat.part")
    site.body(media["png"])
    assert "not a file" in str(await failing(desk, site))


async def test_a_missing_disk_is_not_replaced_by_a_new_folder(
    site: Site, tmp_path: Path, media: dict[str, bytes]
) -> None:
    """Row 53."""
    site.body(media["png"])
    async with desk_in(tmp_path / "unmounted") as desk:
        error = await failing(desk, site)
    assert isinstance(error, OutputError)
    assert str(tmp_path / "unmounted") in str(error)
    assert not (tmp_path / "unmounted").exists()


async def test_a_full_disk_pauses_and_keeps_what_came(
    site: Site, tmp_path: Path, large_png: bytes, small_disk: Path
) -> None:
    """Row 50."""
    site.answer = ranged(large_png, '"v1"')
    async with desk_in(small_disk) as desk:
        error = await failing(desk, site)
        assert isinstance(error, DiskFullError)
        assert str(desk.folder / "boat.part") in str(error)
        assert "make room" in str(error)
        assert desk.files == ["boat.part", "boat.part.json"]
        (small_disk / "ballast").unlink()
        assert isinstance(await desk.fetch(site.url), Fetched)
        assert (desk.folder / "boat.png").read_bytes() == large_png


class FailingFsync:
    """Works `good` times, then always fails."""

    def __init__(self, number: int, good: int = 0) -> None:
        self._error = OSError(number, os.strerror(number))
        self.calls = 0
        self._good = good

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        if self.calls > self._good:
            raise self._error


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, StorageError),
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
    ],
)
async def test_a_failed_fsync_is_never_repeated(
    site: Site, tmp_path: Path, large_png: bytes, number: int, kind: type[BatchgenError]
) -> None:
    """Row 52: nor can anything be continued from what the disk refused."""
    site.body(large_png, ETag='"v1"')
    fsync = FailingFsync(number)
    (tmp_path / "files").mkdir()
    async with desk_in(tmp_path, fsync=fsync) as desk:
        assert type(await failing(desk, site)) is kind
        assert fsync.calls == 1
        assert desk.files == ["boat.part"]


async def test_a_failed_fsync_of_the_folder_is_never_repeated(
    site: Site, tmp_path: Path, media: dict[str, bytes]
) -> None:
    """Row 52."""
    site.body(media["png"])
    fsync = FailingFsync(errno.EIO, good=1)
    (tmp_path / "files").mkdir()
    async with desk_in(tmp_path, fsync=fsync) as desk:
        assert type(await failing(desk, site)) is StorageError
    assert fsync.calls == 2


async def test_a_file_is_durable_before_its_name_is(
    site: Site, tmp_path: Path, media: dict[str, bytes]
) -> None:
    """Row 59: fsync of the file, rename, fsync of the folder."""
    seen: list[list[str]] = []
    site.body(media["png"])
    (tmp_path / "files").mkdir()

    def fsync(descriptor: int) -> None:
        seen.append(sorted(p.name for p in (tmp_path / "files").iterdir()))
        os.fsync(descriptor)

    async with desk_in(tmp_path, fsync=fsync) as desk:
        await desk.fetch(site.url)
    assert seen == [["boat.part"], ["boat.png"]]


def test_only_new_folders_are_made_durable(tmp_path: Path) -> None:
    calls: list[int] = []
    target = Target(tmp_path / "files", "hero/boat")
    make_folders(target, calls.append)
    make_folders(target, calls.append)
    assert len(calls) == 2
    assert (tmp_path / "files" / "hero").is_dir()
