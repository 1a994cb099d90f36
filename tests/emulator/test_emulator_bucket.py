"""The bucket that the emulator plays."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from batchgen.emulator import EmulatorSettings, Fault
from tests.emulator.emulator_client import EDIT, Client, Reply, emulating
from tests.emulator.test_emulator_inputs import kept_files, picture

KEY = "uploads/a b/é.png"


def place(client: Client, key: str = KEY) -> str:
    return f"{client.emulator.origin}/emulator/bucket/{key}"


async def put(client: Client, body: bytes, key: str = KEY) -> Reply:
    headers = {"Content-Type": "image/png"}
    return await client.call("PUT", place(client, key), data=io.BytesIO(body), headers=headers)


async def head(client: Client, key: str = KEY) -> Reply:
    return await client.call("HEAD", place(client, key), headers={})


async def signed(client: Client, key: str = KEY, seconds: float = 60) -> str:
    reply = await client.post(f"{place(client, key)}/sign", json={"seconds": seconds}, headers={})
    return str(reply.document["url"])


async def test_an_object_is_put_found_and_served_by_a_signed_url() -> None:
    async with emulating() as client:
        body = picture()
        assert (await head(client)).status == 404
        assert (await put(client, body)).status == 200
        found = await head(client)
        assert (found.status, found.headers["Content-Length"]) == (200, str(len(body)))
        whole = await client.file(await signed(client))
        assert (whole.headers["Content-Type"], whole.body) == ("image/png", body)
        part = await client.file(await signed(client), Range="bytes=0-3")
        assert (part.status, part.body) == (206, body[:4])


async def test_without_a_valid_signature_nothing_is_served() -> None:
    async with emulating() as client:
        await put(client, picture())
        await put(client, picture("JPEG"), "other.jpg")
        url = await signed(client)
        for wrong in (
            place(client),
            url.replace("expires=", "expires=9"),
            url.replace("signature=", "signature=0"),
            (await signed(client, "other.jpg")).replace("other.jpg", "uploads/a%20b/%C3%A9.png"),
        ):
            reply = await client.file(wrong)
            assert (reply.status, picture() in reply.body) == (403, False)


@pytest.mark.parametrize("seconds", [0, -1, 8 * 24 * 3600])
async def test_a_url_cannot_be_signed_for_longer_than_a_week(seconds: int) -> None:
    async with emulating() as client:
        reply = await client.post(f"{place(client)}/sign", json={"seconds": seconds})
        assert reply.status == 400
        assert (await client.post(f"{place(client)}/sign", data=b"[]")).status == 400


async def test_a_signed_url_survives_a_restart_on_another_port(tmp_path: Path) -> None:
    settings = EmulatorSettings(latency=0, state=tmp_path / "emulator.db")
    async with emulating(settings) as client:
        await put(client, picture())
        url = await signed(client)
    async with emulating(settings) as client:
        result = await client.finished(await client.accepted(EDIT, prompt="x", image_urls=[url]))
        assert result["status"] == "succeeded"


async def test_an_expired_url_fails_the_request_that_uses_it() -> None:
    async with emulating() as client:
        await put(client, picture())
        client.emulator.arm(Fault(on="sign", kind="expired"))
        url = await signed(client)
        assert (await client.file(url)).status == 403
        result = await client.finished(await client.accepted(EDIT, prompt="x", image_urls=[url]))
        assert "image_urls.0 cannot be used: the URL has expired" in result["error"]
        assert (await client.file(await signed(client))).status == 200


@pytest.mark.parametrize(("kind", "status"), [("reset_before", 404), ("reset_after", 200)])
async def test_an_upload_may_be_lost_before_or_after_it_is_kept(kind: str, status: int) -> None:
    async with emulating() as client:
        # aiohttp repeats a PUT by itself once.
        client.emulator.arm(Fault(on="upload", kind=kind, times=2))
        with pytest.raises(aiohttp.ClientConnectionError):
            await put(client, bytes(3_000_000))
        assert (await head(client)).status == status


async def test_an_upload_may_be_refused_or_late() -> None:
    async with emulating() as client:
        client.emulator.arm(Fault(on="upload", kind="status", status=503))
        assert (await put(client, bytes(3_000_000))).status == 503
        assert (await head(client)).status == 404
        client.emulator.arm(Fault(on="upload", kind="slow", seconds=0.001))
        assert (await put(client, picture())).status == 200


async def test_half_an_upload_is_no_object_and_leaves_nothing(tmp_path: Path) -> None:
    state = tmp_path / "emulator.db"

    async def half() -> AsyncIterator[bytes]:
        yield bytes(100_000)
        await asyncio.sleep(0.01)
        raise ConnectionAbortedError

    async with emulating(EmulatorSettings(latency=0, state=state)) as client:
        with pytest.raises((ConnectionAbortedError, aiohttp.ClientError)):
            await client.call("PUT", place(client), data=half(), headers={})
        assert (await head(client)).status == 404
    assert kept_files(state) == []


async def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    state = tmp_path / "emulator.db"
    folder = tmp_path / "emulator.db.files"
    folder.mkdir()
    (folder / "tmp123.part").write_bytes(b"half")
    async with emulating(EmulatorSettings(latency=0, state=state)) as client:
        await put(client, b"whole")
    assert [path.read_bytes() for path in kept_files(state)] == [b"whole"]


async def test_an_object_may_be_replaced() -> None:
    async with emulating() as client:
        await put(client, b"first")
        await put(client, b"second")
        assert (await client.file(await signed(client))).body == b"second"


async def test_the_bucket_is_no_charge() -> None:
    async with emulating() as client:
        await put(client, picture())
        assert client.emulator.charges() == ()


async def test_too_large_an_object_is_refused() -> None:
    async with emulating() as client:
        headers = {"Content-Length": str(300 * 1024 * 1024)}
        _reader, writer = await asyncio.open_connection("127.0.0.1", client.emulator.port)
        head_lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"PUT /emulator/bucket/big HTTP/1.1\r\nHost: x\r\n{head_lines}\r\n".encode())
        assert b" 413 " in await _reader.readline()
        writer.close()
        await writer.wait_closed()
