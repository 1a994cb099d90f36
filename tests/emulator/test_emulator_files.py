from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import batchgen.emulator
from batchgen.emulator import EmulatorSettings, running_emulator
from batchgen.emulator.deliveries import ByteRange, requested_range
from batchgen.emulator.files import MediaCache, MediaFile
from tests.emulator.emulator_client import (
    EDIT,
    IMAGE_TO_VIDEO,
    PICTURE,
    TEXT_TO_IMAGE,
    Client,
    Reply,
    emulating,
)

SCHEMAS = Path(batchgen.emulator.__file__).parent.parent / "models" / "schemas"
SIZE = "width×height"  # noqa: RUF001 - the vendor's own key
NOON = 1_800_000_000.0


def sizes_of(model: str) -> list[str]:
    schema: Any = json.loads((SCHEMAS / f"{model}.json").read_text(encoding="utf-8"))
    names: list[str] = schema["properties"][SIZE]["enum"]
    return names


async def fetched(client: Client, model: str, **job_input: Any) -> Reply:
    return await client.file(await client.made(model, prompt="a boat at noon", **job_input))


@pytest.mark.parametrize("size", sizes_of(TEXT_TO_IMAGE))
async def test_a_picture_is_a_png_of_exactly_the_size_asked(size: str) -> None:
    async with emulating() as client:
        reply = await fetched(client, TEXT_TO_IMAGE, **{SIZE: size})
    picture = Image.open(io.BytesIO(reply.body))
    picture.load()
    assert (picture.format, reply.headers["Content-Type"]) == ("PNG", "image/png")
    assert size.startswith(f"{picture.width}x{picture.height}(")


@pytest.mark.parametrize("size", sizes_of(EDIT))
async def test_an_edit_is_a_jpeg_of_exactly_the_size_asked(size: str) -> None:
    async with emulating() as client:
        reply = await fetched(client, EDIT, image_urls=[PICTURE], **{SIZE: size})
    picture = Image.open(io.BytesIO(reply.body))
    picture.load()
    assert (picture.format, reply.headers["Content-Type"]) == ("JPEG", "image/jpeg")
    assert size.startswith(f"{picture.width}x{picture.height}(")


async def test_a_picture_without_a_size_is_what_the_page_suggests() -> None:
    async with emulating() as client:
        reply = await fetched(client, TEXT_TO_IMAGE)
    assert Image.open(io.BytesIO(reply.body)).size == (2048, 2048)


@pytest.mark.parametrize(
    ("job_input", "frames"), [({}, 121), ({"frames": 121}, 121), ({"frames": 241}, 241)]
)
async def test_a_clip_has_exactly_the_frames_asked(job_input: dict[str, int], frames: int) -> None:
    async with emulating() as client:
        reply = await fetched(client, IMAGE_TO_VIDEO, image_urls=[PICTURE], **job_input)
    with av.open(io.BytesIO(reply.body), "r") as clip:
        stream = clip.streams.video[0]
        decoded = [(frame.width, frame.height) for frame in clip.decode(video=0)]
        rate = stream.average_rate
    assert reply.headers["Content-Type"] == "video/mp4"
    assert decoded == [(480, 270)] * frames
    assert rate == 24


@pytest.mark.parametrize("model", [TEXT_TO_IMAGE, EDIT, IMAGE_TO_VIDEO])
async def test_the_bytes_depend_on_the_request_alone(model: str) -> None:
    bodies = []
    for _ in range(2):
        async with emulating(EmulatorSettings(latency=0, cache_bytes=0)) as client:
            bodies.append((await fetched(client, model, image_urls=[PICTURE])).body)
    assert bodies[0] == bodies[1]


async def test_another_prompt_is_another_picture() -> None:
    async with emulating() as client:
        urls = [await client.made(prompt=prompt) for prompt in ("a boat", "a street")]
        first, second = [(await client.file(url)).body for url in urls]
    assert first != second


async def test_media_bytes_makes_small_pictures_of_about_that_size() -> None:
    async with emulating(EmulatorSettings(latency=0, media_bytes=65536)) as client:
        reply = await fetched(client, TEXT_TO_IMAGE)
    Image.open(io.BytesIO(reply.body)).load()
    assert len(reply.body) == pytest.approx(65536, rel=0.03)


async def test_a_part_of_a_file_has_a_content_range() -> None:
    async with emulating() as client:
        url = await client.made()
        all_of_it = await client.file(url)
        total = len(all_of_it.body)
        part = await client.file(url, Range="bytes=10-19")
        rest = await client.file(url, Range="bytes=100-", If_Range=all_of_it.headers["ETag"])
        assert all_of_it.headers["Accept-Ranges"] == "bytes"
        assert (part.status, part.body) == (206, all_of_it.body[10:20])
        assert part.headers["Content-Range"] == f"bytes 10-19/{total}"
        assert part.headers["ETag"] == all_of_it.headers["ETag"]
        assert (rest.status, rest.body) == (206, all_of_it.body[100:])


async def test_a_changed_validator_gets_the_whole_file() -> None:
    async with emulating() as client:
        url = await client.made()
        reply = await client.file(url, Range="bytes=10-", If_Range='"older"')
        assert (reply.status, "Content-Range" in reply.headers) == (200, False)


async def test_a_part_beyond_the_end_is_refused() -> None:
    async with emulating() as client:
        url = await client.made()
        total = len((await client.file(url)).body)
        reply = await client.file(url, Range=f"bytes={total}-")
        assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{total}")


async def test_head_has_the_length_and_no_body() -> None:
    async with emulating() as client:
        url = await client.made()
        whole = await client.file(url)
        head = await client.call("HEAD", url, headers={})
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(whole.body))
        assert head.headers["ETag"] == whole.headers["ETag"]


@pytest.mark.parametrize("name", ["0.png", "2.png", "1.jpg", "01.png", "x.png", "1"])
async def test_a_file_that_the_request_did_not_make_is_not_found(name: str) -> None:
    async with emulating() as client:
        url = await client.made()
        assert (await client.file(url.rsplit("/", 1)[0] + f"/{name}")).status == 404


async def test_a_token_at_the_files_is_seen_in_the_ledger() -> None:
    """Row 66."""
    async with emulating() as client:
        url = await client.made()
        await client.file(url)
        assert (await client.ledger())["token_leaks"] == 0
        await client.file(url, Authorization="Bearer rehearsal")
        assert (await client.ledger())["token_leaks"] == 1


async def test_an_expired_url_is_forbidden_and_the_result_gives_a_new_one() -> None:
    """Row 40."""
    wall = [NOON]
    settings = EmulatorSettings(latency=0, url_ttl=60)
    async with running_emulator(settings, now=lambda: wall[0]) as emulator, emulating() as other:
        client = Client(emulator, other.session)
        receipt = await client.accepted()
        url = (await client.finished(receipt))["output"]["image"]
        assert (await client.file(url)).status == 200
        assert (await client.file(url.split("?")[0])).status == 403
        assert (await client.file(url.replace("expires=1", "expires=2"))).status == 403
        wall[0] += 61
        expired = await client.file(url)
        assert (expired.status, "expired" in expired.document["error_message"]) == (403, True)
        fresh = (await client.finished(receipt))["output"]["image"]
        assert (await client.file(fresh)).status == 200


def test_the_cache_forgets_what_was_asked_for_longest_ago() -> None:
    cache = MediaCache(limit=20)
    for name in ("a", "b"):
        cache.put(name, MediaFile(bytes(8), "image/png", name))
    assert cache.get("a") is not None
    cache.put("a", MediaFile(bytes(9), "image/png", "a"))
    cache.put("c", MediaFile(bytes(8), "image/png", "c"))
    assert [cache.get(name) is None for name in ("a", "b", "c")] == [False, True, False]


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 200))
def test_any_range_is_inside_the_file_or_no_part(text: str, total: int) -> None:
    part = requested_range({"Range": text}, '"e"', total)
    if isinstance(part, ByteRange):
        assert 0 <= part.first <= part.last < total


@pytest.mark.parametrize(
    ("text", "expected"),
    [("bytes=-5", ByteRange(95, 99)), ("bytes=-500", ByteRange(0, 99)),
     ("bytes=90-500", ByteRange(90, 99)),
     ("bytes=5-2", None), ("bytes=-", None), ("bytes=0-1,5-6", None), ("lines=0-1", None)],
)  # fmt: skip
def test_ranges_are_parsed_as_the_standard_defines_them(
    text: str, expected: ByteRange | None
) -> None:
    assert requested_range({"Range": text}, '"e"', 100) == expected
