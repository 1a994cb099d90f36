"""The vendor's other forms of responses, each a kind of fault."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from batchgen.emulator import EmulatorSettings, Fault
from batchgen.emulator.faults import FaultPlan, Place
from tests.emulator.emulator_client import (
    A_LONG_TIME,
    AUTHORIZATION,
    IMAGE_TO_VIDEO,
    PICTURE,
    TEXT_TO_IMAGE,
    Client,
    emulating,
)

COSTLY = "?include_cost=true"
ONE_SLOW_WORKER = EmulatorSettings(workers=1, latency=A_LONG_TIME)


async def looks(client: Client, number: int, **fault: Any) -> list[dict[str, Any]]:
    """Look at the result of a request that ended with a fault, some times."""
    client.emulator.arm(Fault(on="submit", **fault))
    receipt = await client.accepted()
    while (await client.get(receipt["status_url"])).document["status"].startswith("in_"):
        pass
    return [(await client.get(receipt["result_url"] + COSTLY)).document for _ in range(number)]


async def test_an_unfinished_result_may_be_a_not_ready_error() -> None:
    async with emulating(ONE_SLOW_WORKER) as client:
        receipt = await client.accepted()
        client.emulator.arm(Fault(on="result", kind="not_ready", times=None))
        for _ in range(2):
            reply = await client.get(receipt["result_url"])
            assert (reply.status, reply.document["error_code"]) == (400, 400005)
        assert (await client.get(receipt["status_url"])).document["status"] == "in_progress"


async def test_an_ended_result_is_ready_whatever_fault_waits() -> None:
    async with emulating() as client:
        client.emulator.arm(Fault(on="result", kind="not_ready", times=None))
        receipt = await client.accepted()
        while (reply := await client.get(receipt["result_url"])).status == 400:
            pass
        assert reply.document["status"] == "succeeded"


@pytest.mark.parametrize("on", ["submit", "status", "result", "cancel", "model", "file"])
@pytest.mark.parametrize("status", [200, 403, 409, 422, 425, 502])
async def test_a_gateway_answers_with_a_page_of_any_status(on: Place, status: int) -> None:
    async with emulating() as client:
        receipt = await client.accepted()
        url = (await client.finished(receipt))["output"]["image"]
        client.emulator.arm(Fault(on=on, kind="html", status=status))
        where = {"submit": f"/models/{TEXT_TO_IMAGE}", "model": "/models", "file": url}
        headers = {} if on == "file" else AUTHORIZATION
        method = "POST" if on in ("submit", "cancel") else "GET"
        asked = where.get(on) or receipt[f"{on}_url"]
        reply = await client.call(method, asked, json={"prompt": "x"}, headers=headers)
        assert reply.status == status
        assert reply.headers["Content-Type"].startswith("text/html")


async def test_success_may_come_before_its_output_for_some_looks() -> None:
    async with emulating() as client:
        early, still, over = await looks(client, 3, kind="early_success", size=2)
        assert {one["status"] for one in (early, still, over)} == {"succeeded"}
        assert ["output" in one for one in (early, still, over)] == [False, False, True]


async def test_success_may_come_before_its_output_for_some_seconds() -> None:
    async with emulating() as client:
        (early,) = await looks(client, 1, kind="early_success", seconds=A_LONG_TIME)
        (late,) = await looks(client, 1, kind="early_success", seconds=0.0)
        assert ("output" in early, "output" in late) == (False, True)


async def test_looks_are_counted_across_a_restart(tmp_path: Path) -> None:
    settings = EmulatorSettings(latency=0, state=tmp_path / "emulator.db")
    async with emulating(settings) as client:
        (early,) = await looks(client, 1, kind="early_success", size=2)
    async with emulating(settings) as client:
        where = f"/requests/{early['request_id']}/result"
        again = [(await client.get(where)).document for _ in range(2)]
    assert ["output" in one for one in again] == [False, True]


async def test_the_cost_may_come_later() -> None:
    async with emulating() as client:
        assert ["cost" in one for one in await looks(client, 2, kind="late_cost")] == [False, True]
        later = await looks(client, 4, kind="late_cost", size=3)
        assert ["cost" in one for one in later] == [False, False, False, True]


async def test_the_cost_may_be_text() -> None:
    async with emulating() as client:
        (result,) = await looks(client, 1, kind="text_cost")
        assert result["cost"] == "0.03"


async def test_the_final_state_may_be_unknown() -> None:
    async with emulating() as client:
        (result,) = await looks(client, 1, kind="final_word", word="delivered")
        status = await client.get(f"/requests/{result['request_id']}/status")
        assert result["status"] == status.document["status"] == "delivered"
        assert result["output"]
        assert result["finished_at"]


async def test_a_failure_may_have_its_message_under_failure_reason() -> None:
    async with emulating() as client:
        (result,) = await looks(client, 1, kind="failure_reason", message="too blue")
        assert (result["status"], result["failure_reason"]) == ("failed", "too blue")
        assert not {"error", "output"} & set(result)


async def test_a_request_may_fail_for_the_balance() -> None:
    async with emulating() as client:
        (result,) = await looks(client, 1, kind="failed_for_balance")
        assert (result["status"], result["error_code"], result["cost"]) == ("failed", 400002, 0)


async def test_the_output_may_have_undocumented_keys() -> None:
    async with emulating() as client:
        (result,) = await looks(client, 1, kind="odd_output")
        output = result["output"]
        (url,) = output["data"]["result_urls"]
        answers = [await client.file(one) for one in (url, output["thumbnail_url"])]
        assert [reply.headers["Content-Type"] for reply in answers] == ["image/png", "image/jpeg"]
        assert all(Image.open(io.BytesIO(reply.body)).size > (100, 50) for reply in answers)
        page = await client.file(output["page_url"])
        assert page.headers["Content-Type"].startswith("text/html")
        assert output["source"]["license"] == "https://elsewhere.example/file.png"


async def test_the_output_may_be_the_file_itself() -> None:
    async with emulating() as client:
        (result,) = await looks(client, 1, kind="data_uri")
        head, _, text = result["output"].partition(",")
        file = await client.file(f"{client.emulator.origin}/files/{result['request_id']}/1.png")
        assert (head, base64.b64decode(text)) == ("data:image/png;base64", file.body)


async def test_a_video_model_may_deliver_a_picture() -> None:
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="picture_for_video"))
        url = await client.made(IMAGE_TO_VIDEO, prompt="x", image_urls=[PICTURE])
        picture = await client.file(url)
        assert picture.headers["Content-Type"] == "image/png"
        with Image.open(io.BytesIO(picture.body)) as opened:
            assert opened.format == "PNG"


@pytest.mark.parametrize(("status", "answered"), [(None, 400), (402, 402), (200, 200)])
async def test_the_wallet_has_another_code(status: int | None, answered: int) -> None:
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="no_funds", status=status))
        reply = await client.submit()
        assert (reply.status, reply.document["error_code"]) == (answered, 10001)
        assert client.emulator.charges() == ()


@pytest.mark.parametrize("key", ["detail", "error_message"])
async def test_a_422_has_its_details_as_a_list(key: str) -> None:
    async with emulating() as client:
        fault = Fault(on="submit", kind="invalid_input", message="too rude", word=key)
        client.emulator.arm(fault)
        reply = await client.submit()
        assert (reply.status, reply.document["error_code"]) == (422, 422001)
        (problem,) = reply.document[key]
        assert (problem["loc"], problem["msg"]) == (["body", "prompt"], "too rude")
        assert client.emulator.charges() == ()


async def test_an_answer_may_come_twice_on_one_connection() -> None:
    async with emulating() as client:
        receipt = await client.accepted()
        await client.finished(receipt)
        client.emulator.arm(Fault(on="result", kind="doubled", seconds=0.0))
        reader, writer = await asyncio.open_connection("127.0.0.1", client.emulator.port)
        path = receipt["result_url"].removeprefix(client.emulator.origin)
        asked = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer rehearsal\r\n\r\n"
        writer.write(asked.encode())
        first, second = [await one_answer(reader) for _ in range(2)]
        assert first == second
        assert receipt["request_id"].encode() in first[1]
        writer.close()
        await writer.wait_closed()


async def one_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    return head.split(b"\r\n", 1)[0], await reader.readexactly(int(length.split(b":")[1]))


@pytest.mark.parametrize("on", ["status", "result"])
async def test_the_answer_may_be_about_another_request(on: Place) -> None:
    async with emulating() as client:
        first, second = await client.accepted(), await client.accepted()
        for receipt in (first, second):
            await client.finished(receipt)
        client.emulator.arm(Fault(on=on, kind="other_document"))
        crossed = (await client.get(first[f"{on}_url"])).document
        straight = (await client.get(first[f"{on}_url"])).document
        assert crossed["request_id"] == second["request_id"]
        assert straight["request_id"] == first["request_id"]


async def test_a_file_host_may_be_down_for_a_while() -> None:
    async with emulating() as client:
        url = await client.made()
        client.emulator.arm(Fault(on="file", kind="host_down", seconds=A_LONG_TIME))
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.file(url)
        client.emulator.clear_faults()
        assert (await client.file(url)).status == 200


def test_a_host_that_was_down_comes_back_after_its_seconds() -> None:
    time = [100.0]
    fault = Fault(on="file", kind="host_down", seconds=120.0, after=1)
    plan = FaultPlan([fault], now=lambda: time[0])
    met = []
    for moment in (100.0, 110.0, 150.0, 229.9, 230.1):
        time[0] = moment
        met.append(plan.take("file") is not None)
    assert met == [False, True, True, True, False]
    assert plan.armed() == ()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "text_cost"},
        {"kind": "final_word", "word": "delivered"},
        {"kind": "failure_reason"},
        {"kind": "failed_for_balance"},
        {"kind": "odd_output"},
        {"kind": "data_uri"},
        {"kind": "picture_for_video"},
    ],
)
async def test_what_sticks_to_a_request_outlives_a_restart(
    fault: dict[str, Any], tmp_path: Path
) -> None:
    settings = EmulatorSettings(latency=0, state=tmp_path / "emulator.db")
    async with emulating(settings) as client:
        origin = client.emulator.origin
        (before,) = await looks(client, 1, **fault)
    async with emulating(settings) as client:
        reply = await client.get(f"/requests/{before['request_id']}/result{COSTLY}")
    after = reply.body.replace(client.emulator.origin.encode(), origin.encode())
    assert json.loads(after) == before
