"""Large bodies: sent in chunks, and what is known of a submit whose upload was cut off."""

from __future__ import annotations

import asyncio
import json
import socket
import weakref
from contextlib import suppress
from dataclasses import dataclass

import pytest

from batchgen.errors import StorageError
from batchgen.runcomfy.client import connect
from batchgen.runcomfy.limits import DEFAULT_LIMITS, Limits
from batchgen.runcomfy.outcomes import Accepted, Halted, NotSent, Refused, Scope, Unclear
from batchgen.runcomfy.token import Token
from batchgen.runcomfy.upload import CHUNK, Upload
from tests.runcomfy.raw_server import (
    Behaviour,
    RawServer,
    as_json,
    hangs,
    http,
    resets,
    says,
    serving,
)

TOKEN = Token("rc-secret-4f9b0a77", "a test")
MODEL = "bytedance/dreamina-4-0/edit"
BODY = json.dumps({"image_urls": ["data:image/png;base64," + "A" * 20_000_000]})
"""More than the buffers of both ends of a connection hold."""
ACCEPTED = as_json({"request_id": "r-1"})
IMPATIENT = Limits(submit=0.2, stall=0.2)


@dataclass(slots=True)
class LastChunk:
    """`trouble` keeps it back; it takes `takes` seconds."""

    trouble: Exception | None = None
    takes: float = 0.0
    is_released: bool = False

    async def release(self) -> None:
        await asyncio.sleep(self.takes)
        if self.trouble:
            raise self.trouble
        self.is_released = True


async def test_a_large_body_arrives_whole_with_its_length() -> None:
    async with serving(says(ACCEPTED)) as server, connect(server.base, TOKEN) as api:
        sent = LastChunk()
        assert isinstance(await api.submit(MODEL, BODY, sent.release), Accepted)
    assert sent.is_released
    (request,) = server.requests
    assert request.body == BODY.encode()
    assert request.headers["Content-Length"] == str(len(BODY))
    assert request.headers["Content-Type"] == "application/json"
    assert "Transfer-Encoding" not in request.headers


@pytest.mark.parametrize("length", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 1])
async def test_letters_of_any_width_are_counted_and_sent(length: int) -> None:
    body = json.dumps("画é🚢a" * length, ensure_ascii=False)[:length]
    async with serving(says(ACCEPTED)) as server, connect(server.base, TOKEN) as api:
        assert isinstance(await api.submit(MODEL, body), Accepted)
    assert server.requests[0].body == body.encode()


async def test_a_reset_in_the_middle_of_the_body_is_not_sent() -> None:
    async with serving(on_connect=resets) as server, connect(server.base, TOKEN) as api:
        sent = LastChunk()
        outcome = await api.submit(MODEL, BODY, sent.release)
    assert isinstance(outcome, NotSent)
    assert outcome.reason.endswith("before all of the input was sent")
    assert not sent.is_released


class LargeText(str):
    """A text that can be referred to weakly."""

    __slots__ = ("__weakref__",)


@pytest.mark.usefixtures("no_garbage_collection")
async def test_a_broken_upload_keeps_no_body_in_memory() -> None:
    """Bodies have up to 60 MB, and on a bad line hundreds of uploads break off."""
    async with serving(on_connect=resets) as server, connect(server.base, TOKEN) as api:
        body = LargeText(BODY)
        kept = weakref.ref(body)
        assert isinstance(await api.submit(MODEL, body), NotSent)
        del body
        assert kept() is None


async def test_a_reset_after_the_whole_body_is_unclear() -> None:
    async with serving(resets) as server, connect(server.base, TOKEN) as api:
        sent = LastChunk()
        assert isinstance(await api.submit(MODEL, BODY, sent.release), Unclear)
    assert sent.is_released


async def test_a_reset_of_a_small_body_is_unclear_at_any_time() -> None:
    async with serving(on_connect=resets) as server, connect(server.base, TOKEN) as api:
        assert isinstance(await api.submit(MODEL, "{}"), Unclear)


async def test_no_answer_after_the_whole_body_is_unclear() -> None:
    async with (
        serving(hangs) as server,
        connect(server.base, TOKEN, limits=IMPATIENT) as api,
    ):
        outcome = await api.submit(MODEL, BODY)
    assert outcome == Unclear("no answer in time")


async def test_a_server_that_stops_reading_has_not_got_the_request() -> None:
    async with (
        serving(on_connect=hangs) as server,
        connect(server.base, TOKEN, limits=IMPATIENT) as api,
    ):
        outcome = await api.submit(MODEL, BODY)
    assert outcome == NotSent("no answer in time, before all of the input was sent")


async def test_the_time_for_the_answer_begins_when_all_is_handed_over() -> None:
    """A slow line: the upload takes longer than an answer may, but something moves all the time."""
    slow, head = asyncio.Event(), bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head.extend(await reader.readuntil(b"\r\n\r\n"))
        left = len(BODY)
        while left:
            left -= len(await reader.read(250_000))
            await asyncio.sleep(0.02)
        slow.set()
        writer.write(ACCEPTED)
        await writer.drain()
        writer.close()

    # The server's own buffer is part of the line: data in it has arrived.
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    server = await asyncio.start_server(serve, sock=sock)
    base = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
    async with server, connect(base, TOKEN, limits=Limits(submit=1.0, stall=10.0)) as api:
        assert isinstance(await api.submit(MODEL, BODY), Accepted)
    assert slow.is_set()


def answers_early(data: bytes, *, reads_on: bool) -> Behaviour:
    """Answer after the head; then read the rest, or only keep the connection open."""

    async def behave(server: RawServer, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if not reads_on:
            await server.over.wait()

    return behave


@pytest.mark.parametrize("reads_on", [True, False])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (as_json({"error_code": 413, "message": "too large"}, 413), Refused),
        (as_json({"message": "no"}, 401), Halted),
        (as_json({"message": "busy"}, 503), NotSent),
        (http(b"<html>", 500), NotSent),
    ],
)
async def test_an_answer_in_the_middle_of_the_body_is_read(
    answer: bytes, expected: type, reads_on: bool
) -> None:
    early = answers_early(answer, reads_on=reads_on)
    async with (
        serving(says(ACCEPTED), on_connect=early) as server,
        connect(server.base, TOKEN, limits=Limits(submit=5.0, stall=5.0)) as api,
    ):
        outcome = await api.submit(MODEL, BODY)
    assert isinstance(outcome, expected)
    if isinstance(outcome, Refused):
        assert outcome.scope is Scope.JOB


async def test_a_cancelled_upload_leaves_nothing_behind() -> None:
    connected = asyncio.Event()

    async def hold(server: RawServer, _writer: asyncio.StreamWriter) -> None:
        connected.set()
        await server.over.wait()

    async with serving(on_connect=hold) as server, connect(server.base, TOKEN) as api:
        sent = LastChunk()
        post = asyncio.create_task(api.submit(MODEL, BODY, sent.release), name="post")
        await connected.wait()
        post.cancel()
        with suppress(asyncio.CancelledError):
            await post
        assert post.cancelled()
        assert not sent.is_released
    assert {task.get_name() for task in asyncio.all_tasks()} & {"post"} == set()


async def test_the_last_chunk_is_announced_before_it_is_handed_over() -> None:
    sent = LastChunk()
    upload = Upload("x" * (2 * CHUNK + 1), sent.release, DEFAULT_LIMITS)
    seen: list[tuple[int, bool]] = []
    async with upload.progressing():
        data = await upload.data()
        assert not isinstance(data, bytes)
        seen = [(len(chunk), sent.is_released) async for chunk in data]
    assert seen == [(CHUNK, False), (CHUNK, False), (1, True)]


@pytest.mark.parametrize("body", [BODY, "{}"])
async def test_what_may_not_go_out_never_does(body: str) -> None:
    """The state failed at that moment: the vendor must not get what nobody would remember."""
    sent = LastChunk(StorageError("the disk is gone"))
    async with serving(says(ACCEPTED)) as server, connect(server.base, TOKEN) as api:
        try:
            outcome: object = await api.submit(MODEL, body, sent.release)
        except StorageError:
            outcome = None
        assert body is not BODY or isinstance(outcome, NotSent)
        await asyncio.sleep(0.05)
    assert server.requests == []


async def test_the_last_chunk_waits_for_its_permission() -> None:
    sent = LastChunk(takes=0.3)
    async with serving(says(ACCEPTED)) as server, connect(server.base, TOKEN) as api:
        post = asyncio.create_task(api.submit(MODEL, BODY, sent.release), name="post")
        await asyncio.sleep(0.2)
        assert server.requests == []
        assert isinstance(await post, Accepted)


async def test_a_permission_that_takes_too_long_ends_the_upload() -> None:
    sent = LastChunk(takes=5.0)
    async with (
        serving(says(ACCEPTED)) as server,
        connect(server.base, TOKEN, limits=IMPATIENT) as api,
    ):
        outcome = await api.submit(MODEL, BODY, sent.release)
        await asyncio.sleep(0.05)
    assert outcome == NotSent("no answer in time, before all of the input was sent")
    assert server.requests == []
