"""Files as inputs: inside the request, and behind URLs of this machine."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from batchgen.emulator import EmulatorSettings, Fault
from batchgen.emulator.sounds import wav
from batchgen.emulator.validation import input_validator
from tests.emulator.emulator_client import A_LONG_TIME, EDIT, PICTURE, Client, emulating

SOUNDS_AND_VIDEOS = "someone/mix"
SCHEMA = {
    "type": "object",
    "properties": {
        "clip": {"type": "string", "format": "video_uri"},
        "sounds": {"type": "array", "format": "audio_uris"},
        "scene": {
            "type": "object",
            "properties": {
                "mask": {
                    "type": "string",
                    "format": "image_uri",
                    "validations": [
                        {
                            "validation_rule": "width_pixels<=",
                            "validation_value": 100,
                            "validation_error": "A mask is at most 100 pixels wide.",
                        }
                    ],
                }
            },
        },
    },
}


def picture(codec: str = "PNG", size: tuple[int, int] = (60, 40), colour: str = "teal") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, codec)
    return file.getvalue()


def uri(body: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(body).decode()}"


def with_schema(folder: Path, **more: Any) -> EmulatorSettings:
    path = folder / "schemas" / f"{SOUNDS_AND_VIDEOS}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(SCHEMA))
    return EmulatorSettings(latency=0, schemas=(folder / "schemas",), **more)


def kept_files(state: Path) -> list[Path]:
    folder = state.with_name(state.name + ".files")
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_picture_in_the_body_is_kept_and_shown_by_its_own_url() -> None:
    async with emulating() as client:
        sent = picture("JPEG")
        body = {"prompt": "x", "image_urls": [PICTURE, uri(sent, "image/jpeg")]}
        result = await client.finished(await client.accepted(EDIT, **body))
        first, second = result["input"]["image_urls"]
        assert first == PICTURE
        kept = await client.file(second)
        assert (kept.headers["Content-Type"], kept.body) == ("image/jpeg", sent)
        part = await client.file(second, Range="bytes=2-5", If_Range=kept.headers["ETag"])
        assert (part.status, part.body) == (206, sent[2:6])
        assert (await client.file(second.replace(".jpg", ".exe"))).status == 404


async def test_the_url_of_a_kept_input_may_be_the_next_input() -> None:
    async with emulating() as client:
        receipt = await client.accepted(EDIT, prompt="x", image_urls=[uri(picture())])
        urls = (await client.finished(receipt))["input"]["image_urls"]
        result = await client.finished(await client.accepted(EDIT, prompt="y", image_urls=urls))
        assert result["status"] == "succeeded"


async def test_equal_contents_are_kept_once_and_outlive_the_process(tmp_path: Path) -> None:
    settings = EmulatorSettings(latency=0, state=tmp_path / "emulator.db")
    async with emulating(settings) as client:
        urls = [uri(picture()), uri(picture())]
        await client.accepted(EDIT, prompt="x", image_urls=urls)
        receipt = await client.accepted(EDIT, prompt="y", image_urls=urls)
    assert [path.read_bytes() for path in kept_files(tmp_path / "emulator.db")] == [picture()]
    async with emulating(settings) as client:
        where = f"/requests/{receipt['request_id']}/result"
        url = (await client.get(where)).document["input"]["image_urls"][1]
        assert (await client.file(url)).body == picture()
        charges = client.emulator.charges()
        assert max(len(charge.input) for charge in charges) < 300


WRONG_PICTURES: list[tuple[Callable[[], str], str]] = [
    (lambda: "data:image/png;base64,", "sound JPEG or PNG"),
    (lambda: "data:image/gif;base64,AAAA", "data: URI of image/png, image/jpeg"),
    (lambda: "data:image/png,AAAA", "data: URI of image/png, image/jpeg"),
    (lambda: "data:image/png;base64,%%", "base64"),
    (lambda: uri(picture()[:-40]), "sound JPEG or PNG"),
    (lambda: uri(picture("JPEG")), "not of the type"),
    (lambda: uri(b"\0" * 100), "sound JPEG or PNG"),
    (lambda: uri(wav(1, 0.1), "audio/wav"), "data: URI of image/png, image/jpeg"),
    (lambda: uri(picture(size=(400, 100))), "aspect ratio must be within"),
    (lambda: uri(picture(size=(4097, 2000))), "Maximum resolution is 4096x4096."),
    (lambda: uri(picture(size=(6000, 6000))), "32 megapixels"),
    (lambda: uri(picture() + bytes(6 * 1024 * 1024)), "6 MiB is the limit"),
]


@pytest.mark.parametrize(("make", "words"), WRONG_PICTURES)
async def test_a_picture_that_the_vendor_would_not_take_is_refused_with_its_place(
    make: Callable[[], str], words: str
) -> None:
    async with emulating() as client:
        body = {"prompt": "x", "image_urls": [uri(picture()), make()]}
        reply = await client.post(f"/models/{EDIT}", data=io.BytesIO(json.dumps(body).encode()))
        assert reply.status == 422
        (problem,) = reply.document["detail"]
        assert problem["loc"] == ["body", "image_urls", 1]
        assert words in problem["msg"]
        assert client.emulator.charges() == ()


async def test_videos_sounds_and_inner_places_are_checked_by_their_own_rules(
    tmp_path: Path,
) -> None:
    async with emulating(with_schema(tmp_path)) as client:
        clip = await client.made(
            "bytedance/dreamina-3-0/pro/image-to-video", prompt="x", image_urls=[PICTURE]
        )
        video = (await client.file(clip)).body
        good = {
            "clip": uri(video, "video/mp4"),
            "sounds": [uri(wav(1, 0.1), "audio/wav"), uri(wav(2, 0.1), "audio/wav")],
            "scene": {"mask": uri(picture(size=(100, 100)))},
        }
        result = await client.finished(await client.accepted(SOUNDS_AND_VIDEOS, **good))
        assert (await client.file(result["input"]["clip"])).body == video
        bad = {
            "clip": uri(wav(1, 0.1), "video/mp4"),
            "sounds": [uri(video[: len(video) // 2], "audio/mpeg")],
            "scene": {"mask": uri(picture(size=(101, 100)))},
        }
        reply = await client.submit(SOUNDS_AND_VIDEOS, **bad)
        places = {tuple(one["loc"][1:]): one["msg"] for one in reply.document["detail"]}
        assert places == {
            ("clip",): "the video has no video in it",
            ("sounds", 0): "the audio is not a sound audio file",
            ("scene", "mask"): "A mask is at most 100 pixels wide.",
        }


async def test_a_file_at_a_place_of_no_file_is_kept_outside_the_state_too(tmp_path: Path) -> None:
    settings = EmulatorSettings(latency=0, state=tmp_path / "emulator.db")
    async with emulating(settings) as client:
        await client.accepted(EDIT, prompt="x", image_urls=[PICTURE], extra=uri(picture()))
        (charge,) = client.emulator.charges()
        assert "base64" not in charge.input


def test_a_format_at_a_place_is_no_business_of_the_schema_check() -> None:
    assert not list(input_validator(SCHEMA).iter_errors({"clip": "data:nonsense"}))


class Site:
    """Pictures of this machine. `asked` are the paths that were asked for."""

    def __init__(self) -> None:
        self.shelf: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.asked: list[str] = []
        self.first_call = asyncio.Event()
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.port}{path}"

    async def _serve(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.first_call.set()
        if request.path in self.moved:
            return web.Response(status=302, headers={"Location": self.moved[request.path]})
        if request.path not in self.shelf:
            return web.Response(status=404)
        return web.Response(body=self.shelf[request.path])


async def ended(client: Client, *urls: str) -> dict[str, Any]:
    return await client.finished(await client.accepted(EDIT, prompt="x", image_urls=list(urls)))


async def test_a_picture_of_this_machine_is_fetched_when_the_request_starts_to_run() -> None:
    settings = EmulatorSettings(latency=A_LONG_TIME, workers=1)
    async with Site() as site, emulating(settings) as client:
        site.shelf = {"/a.png": picture(), "/b.png": picture()}
        first = await client.accepted(EDIT, prompt="x", image_urls=[site.url("/a.png?key=secret")])
        await client.accepted(EDIT, prompt="y", image_urls=[site.url("/b.png")])
        await site.first_call.wait()
        status = (await client.get(first["status_url"])).document["status"]
        assert (status, site.asked) == ("in_progress", ["/a.png"])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/gone.png?sig=secret", None, "HTTP 404"),
        ("/text.png", b"hello", "sound JPEG or PNG"),
        ("/cut.png", picture()[:-40], "sound JPEG or PNG"),
        ("/wide.png", picture(size=(400, 100)), "aspect ratio must be within [1/3, 3]"),
        ("/empty.png", b"", "sound JPEG or PNG"),
    ],
)
async def test_a_url_that_the_vendor_could_not_use_fails_the_request_at_a_charge(
    path: str, body: bytes | None, words: str
) -> None:
    async with Site() as site, emulating() as client:
        site.shelf = {"/good.png": picture()} | ({} if body is None else {path: body})
        result = await ended(client, site.url("/good.png"), site.url(path))
        assert result["status"] == "failed"
        assert result["error"].startswith("The input image_urls.1 cannot be used: ")
        assert words in result["error"]
        assert "secret" not in result["error"]
        assert "output" not in result
        (charge,) = client.emulator.charges()
        assert (charge.status, charge.usd) == ("failed", 0.03)


async def test_a_server_that_is_gone_fails_the_request_and_others_go_on(unused_port: int) -> None:
    async with emulating(EmulatorSettings(latency=0, workers=1)) as client:
        failed = await client.accepted(
            EDIT, prompt="x", image_urls=[f"http://localhost:{unused_port}/a.png"]
        )
        assert (await ended(client, PICTURE))["status"] == "succeeded"
        error = (await client.finished(failed))["error"]
        assert "could not be fetched" in error
        assert str(unused_port) not in error


@pytest.fixture
async def unused_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    return port


async def test_redirects_are_followed_on_this_machine_only() -> None:
    async with Site() as site, emulating() as client:
        site.shelf = {"/a.png": picture()}
        site.moved = {
            "/here": "/a.png",
            "/away": "https://files.batchgen.invalid/a.png",
            "/round": "/round",
        }
        assert (await ended(client, site.url("/here")))["status"] == "succeeded"
        assert (await ended(client, site.url("/away")))["status"] == "succeeded"
        assert "redirects" in (await ended(client, site.url("/round")))["error"]


async def test_a_chain_goes_on_after_a_restart_on_another_port(tmp_path: Path) -> None:
    settings = EmulatorSettings(latency=0, state=tmp_path / "emulator.db", url_ttl=A_LONG_TIME)
    async with emulating(settings) as client:
        url = await client.made()
        old = client.emulator.port
    async with emulating(settings) as client:
        assert client.emulator.port != old
        assert (await ended(client, url))["status"] == "succeeded"
        assert "expired" in (await ended(client, url.replace("signature=", "signature=0")))["error"]


async def test_what_ends_a_request_is_its_input_before_any_sticky_fault() -> None:
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="data_uri"))
        result = await ended(client, f"{client.emulator.origin}/files/none/1.png")
        assert (result["status"], "HTTP 404" in result["error"]) == ("failed", True)


async def test_a_failed_input_is_still_known_after_a_restart(tmp_path: Path) -> None:
    settings = EmulatorSettings(latency=0, state=tmp_path / "emulator.db")
    async with Site() as site, emulating(settings) as client:
        before = await ended(client, site.url("/gone.png"))
    async with emulating(settings) as client:
        after = (await client.get(f"/requests/{before['request_id']}/result")).document
        assert after["error"] == before["error"]
