from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from batchgen.emulator import EmulatorSettings
from batchgen.emulator.submits import parse_body
from tests.emulator.emulator_client import (
    A_LONG_TIME,
    AUTHORIZATION,
    EDIT,
    IMAGE_TO_VIDEO,
    PICTURE,
    TEXT_TO_IMAGE,
    Client,
    emulating,
)

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SIZE = "width×height"  # noqa: RUF001 - the vendor's own key

# The bodies of the curl lines on the three published pages.
CURL_LINES = {
    TEXT_TO_IMAGE: """{
    "prompt": "A beautiful girl is walking on the street"
  }""",
    EDIT: """{
    "image_urls": [
      "https://playgrounds-storage-public.runcomfy.net/tools/7002/media-files/usecase5-1-1-input.jpg",
      "https://playgrounds-storage-public.runcomfy.net/tools/7002/media-files/usecase5-1-2-input.jpg"
    ],
    "prompt": "A beautiful girl is sitting on the boat"
  }""",
    IMAGE_TO_VIDEO: """{
"prompt": "A slow, sweeping tracking shot moves through a sun-drenched vintage street.",
"image_urls": [
"https://playgrounds-storage-public.runcomfy.net/tools/7013/media-files/usecase2-2-input.jpeg"
]
}""",
}


@pytest.mark.parametrize("model", CURL_LINES)
async def test_the_curl_commands_of_the_documentation_work_unchanged(model: str) -> None:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer <token>"}
    async with emulating() as client:
        reply = await client.post(f"/models/{model}", data=CURL_LINES[model], headers=headers)
        receipt = reply.document
        base = f"{client.emulator.base_url}/requests/{receipt['request_id']}"
        assert reply.status == 200
        assert UUID4.fullmatch(receipt["request_id"])
        assert receipt == {
            "request_id": receipt["request_id"],
            "status_url": f"{base}/status",
            "result_url": f"{base}/result",
            "cancel_url": f"{base}/cancel",
        }
        await client.finished(receipt)
        status = await client.get(f"{base}/status", headers=headers)
        result = await client.get(f"{base}/result", headers=headers)
        cancel = await client.post(f"{base}/cancel", headers=headers)
        assert (status.status, status.document["status"]) == (200, "completed")
        assert (result.status, result.document["status"]) == (200, "succeeded")
        assert (cancel.status, cancel.document["outcome"]) == (202, "not_cancellable")


async def test_urls_name_the_host_that_the_client_used() -> None:
    async with emulating() as client:
        url = f"http://localhost:{client.emulator.port}/v1/models/{TEXT_TO_IMAGE}"
        receipt = (await client.post(url, json={"prompt": "x"})).document
        prefix = f"http://localhost:{client.emulator.port}/"
        result = await client.finished(receipt)
        assert receipt["status_url"].startswith(prefix)
        assert result["output"]["image"].startswith(prefix)


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic x"}]
)
async def test_no_token_is_refused_with_its_code(headers: dict[str, str]) -> None:
    async with emulating() as client:
        replies = [
            await client.post(f"/models/{TEXT_TO_IMAGE}", json={"prompt": "x"}, headers=headers),
            await client.get("/models", headers=headers),
            await client.get("/requests/x/result", headers=headers),
        ]
        for reply in replies:
            assert reply.status == 401
            assert reply.document["error_code"] == 400004
            assert "token" in reply.document["error_message"]
        assert client.emulator.charges() == ()


async def test_a_named_token_is_the_only_one() -> None:
    async with emulating(EmulatorSettings(token="sésame", latency=0)) as client:
        right = {"Authorization": "bearer sésame"}
        url, body = f"/models/{TEXT_TO_IMAGE}", {"prompt": "x"}
        assert (await client.post(url, json=body)).status == 401
        assert (await client.post(url, json=body, headers=right)).status == 200


async def test_an_unknown_model_is_an_invalid_resource() -> None:
    async with emulating() as client:
        reply = await client.submit("bytedance/dreamina-9")
        assert (reply.status, reply.document["error_code"]) == (400, 400001)
        assert "bytedance/dreamina-9" in reply.document["error_message"]


BAD_INPUTS: list[tuple[str, dict[str, Any], list[Any], str]] = [
    (TEXT_TO_IMAGE, {}, ["body"], "required"),
    (TEXT_TO_IMAGE, {"prompt": "x" * 801}, ["body", "prompt"], "801 characters"),
    (TEXT_TO_IMAGE, {"prompt": 7}, ["body", "prompt"], "string"),
    (TEXT_TO_IMAGE, {"prompt": "x", "scale": 1.5}, ["body", "scale"], "maximum"),
    (TEXT_TO_IMAGE, {"prompt": "x", "scale": True}, ["body", "scale"], "float"),
    (TEXT_TO_IMAGE, {"prompt": "x", "scale": "0.5"}, ["body", "scale"], "float"),
    (TEXT_TO_IMAGE, {"prompt": "x", SIZE: "2048x2048"}, ["body", SIZE], "2048x2048(1:1)"),
    (TEXT_TO_IMAGE, {"prompt": "x", "force_single": 1}, ["body", "force_single"], "boolean"),
    (EDIT, {"prompt": "x", "image_urls": []}, ["body", "image_urls"], "0 items"),
    (EDIT, {"prompt": "x", "image_urls": [PICTURE] * 11}, ["body", "image_urls"], "11 items"),
    (
        IMAGE_TO_VIDEO,
        {"prompt": "x", "image_urls": [PICTURE], "frames": 120},
        ["body", "frames"],
        "121, 241",
    ),
]


@pytest.mark.parametrize(("model", "job_input", "place", "words"), BAD_INPUTS)
async def test_a_bad_input_is_reported_with_path_and_reason(
    model: str, job_input: dict[str, Any], place: list[Any], words: str
) -> None:
    async with emulating() as client:
        reply = await client.post(f"/models/{model}", json=job_input)
        (detail,) = reply.document["detail"]
        assert reply.status == 422
        assert detail["loc"] == place
        assert words in detail["msg"]
        assert words in reply.document["error_message"]
        assert client.emulator.charges() == ()


async def test_all_problems_are_reported_at_once() -> None:
    async with emulating() as client:
        reply = await client.submit(EDIT, scale=2, force_single="no", image_urls=["x", PICTURE])
        places = [entry["loc"] for entry in reply.document["detail"]]
        assert ["body"] in places
        assert ["body", "image_urls", 0] in places
        assert len(places) == 4


async def test_unknown_keys_and_a_float_without_fraction_pass() -> None:
    async with emulating() as client:
        assert (await client.submit(prompt="x", scale=1, colour="red")).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "file:///etc/passwd",
        "https://localhost/a.png",
        "https://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://10.0.0.1/a.png",
        "https://user:word@example.com/a.png",
        "https:///a.png",
        "https://example.com:port/a.png",
        "http://user:word@127.0.0.1:1/a.png",
        "http://127.0.0.1:port/a.png",
        "a.png",
    ],
)
async def test_an_image_that_the_vendor_could_not_fetch_is_refused(url: str) -> None:
    async with emulating() as client:
        reply = await client.submit(EDIT, prompt="x", image_urls=[url])
        assert reply.status == 422
        assert "public HTTPS" in reply.document["error_message"]


async def test_a_picture_on_this_machine_may_be_rehearsed_with() -> None:
    async with emulating() as client:
        url = "http://127.0.0.1:1/a.png"
        assert (await client.submit(EDIT, prompt="x", image_urls=[url])).status == 200


async def test_a_result_url_of_the_emulator_may_be_the_next_input() -> None:
    async with emulating() as client:
        url = await client.made()
        assert (await client.submit(EDIT, prompt="x", image_urls=[url])).status == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"prompt": NaN}', b"\xff", b"[" * 50_000, b'{"prompt": Infinity}']
)
async def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    async with emulating() as client:
        reply = await client.post(f"/models/{TEXT_TO_IMAGE}", data=body)
        assert reply.status == 400
        assert "not JSON" in reply.document["error_message"]


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null"])
async def test_json_that_is_no_object_is_a_bad_input(body: bytes) -> None:
    async with emulating() as client:
        assert (await client.post(f"/models/{TEXT_TO_IMAGE}", data=body)).status == 422


async def test_a_body_over_the_cap_is_too_large() -> None:
    async with emulating(EmulatorSettings(max_body_bytes=2000)) as client:
        reply = await client.submit(prompt="x", padding="y" * 3000)
        assert (reply.status, "2000 bytes" in reply.document["error_message"]) == (413, True)


def test_a_lone_surrogate_is_stored_as_ascii() -> None:
    body = parse_body(b'{"prompt": "\\ud800"}')
    assert body.text == json.dumps({"prompt": "\ud800"})
    assert body.text.isascii()


async def test_a_prompt_that_no_font_can_draw_still_makes_a_picture() -> None:
    async with emulating() as client:
        reply = await client.post(
            f"/models/{TEXT_TO_IMAGE}", data=b'{"prompt": "\\ud800 \\u0000 \\n boat"}'
        )
        result = await client.finished(reply.document)
        assert (await client.file(result["output"]["image"])).status == 200


async def test_the_rate_limit_has_a_retry_after() -> None:
    async with emulating(EmulatorSettings(rate=2, latency=0)) as client:
        statuses = [(await client.submit()).status for _ in range(2)]
        refused = await client.submit()
        assert statuses == [200, 200]
        assert refused.status == 429
        assert 50 <= int(refused.headers["Retry-After"]) <= 60
        assert len(client.emulator.charges()) == 2


async def test_the_parallel_limit_holds_for_submits_that_come_together() -> None:
    async with emulating(EmulatorSettings(max_parallel=3, latency=A_LONG_TIME)) as client:
        replies = await asyncio.gather(*(client.submit() for _ in range(8)))
        assert sorted(reply.status for reply in replies) == [200] * 3 + [429] * 5
        assert len(client.emulator.charges()) == 3


async def test_a_path_that_is_nowhere_is_answered_in_json() -> None:
    async with emulating() as client:
        for method, path in (
            ("GET", "/nothing"),
            ("PUT", "/models"),
            ("DELETE", "/requests/x/status"),
        ):
            reply = await client.call(method, path, headers=AUTHORIZATION)
            assert (reply.status, reply.document["error_code"]) == (404, 404001)


async def models(client: Client, query: str) -> tuple[list[str], int]:
    document = (await client.get(f"/models{query}")).document
    return [model["model_id"] for model in document["models"]], document["total"]


async def test_models_are_listed_searched_and_paged() -> None:
    async with emulating() as client:
        everything = [IMAGE_TO_VIDEO, EDIT, TEXT_TO_IMAGE]
        assert await models(client, "") == (everything, 3)
        assert await models(client, "?search=DREAMINA-4") == ([EDIT, TEXT_TO_IMAGE], 2)
        assert await models(client, "?category=image-to-video") == ([IMAGE_TO_VIDEO], 1)
        assert await models(client, "?limit=1&offset=1") == ([EDIT], 3)
        assert await models(client, "?search=nothing") == ([], 0)
        assert await models(client, "?kind=model") == (everything, 3)
        assert await models(client, "?kind=workflow") == ([], 0)


@pytest.mark.parametrize("query", ["limit=-1", "limit=0", "limit=501", "offset=-1", "kind=fish"])
async def test_a_listing_that_makes_no_sense_is_refused(query: str) -> None:
    async with emulating() as client:
        assert (await client.get(f"/models?{query}")).status == 400


async def test_a_listing_has_its_total_limit_and_offset() -> None:
    async with emulating() as client:
        page = (await client.get("/models?limit=2&offset=1")).document
        assert (page["limit"], page["offset"], page["total"]) == (2, 1, 3)
        whole = (await client.get("/models")).document
        assert (whole["limit"], whole["offset"]) == (100, 0)
        assert not any("input_schema" in model for model in whole["models"])


async def test_an_entry_of_the_catalogue_has_the_vendor_s_fields() -> None:
    async with emulating() as client:
        page = (await client.get(f"/models?search={EDIT}")).document
        (entry,) = page["models"]
        assert entry["categories"] == ["image-to-image", "image-edit"]
        assert entry["kind"] == "model"
        assert entry["required_inputs"] == ["image_urls", "prompt"]
        assert set(entry["required_inputs"]) < set(entry["inputs"])
        assert entry["model_url"].endswith(EDIT)
        assert entry["description"]


async def test_the_categories_are_a_list_that_filters() -> None:
    async with emulating() as client:
        categories = (await client.get("/models/categories")).document["categories"]
        assert categories == ["image-edit", "image-to-image", "image-to-video", "text-to-image"]
        found = [(await models(client, f"?category={one}"))[0] for one in categories]
        assert found == [[EDIT], [EDIT], [IMAGE_TO_VIDEO], [TEXT_TO_IMAGE]]


async def test_a_result_repeats_its_input() -> None:
    async with emulating() as client:
        sent: dict[str, Any] = {"prompt": "a bo\u00e4t", "scale": 0.5}
        assert (await client.finished(await client.accepted(**sent)))["input"] == sent


async def test_the_balance_goes_down_by_what_is_charged() -> None:
    async with emulating(EmulatorSettings(balance=0.1, latency=0)) as client:
        statuses = [(await client.submit()).status for _ in range(3)]
        refused = await client.submit()
        assert statuses == [200] * 3
        assert (refused.status, refused.document["error_code"]) == (402, 400002)
        assert len(client.emulator.charges()) == 3
        balance = await client.get(f"{client.emulator.origin}/prod/v2/balance")
        assert balance.document == {
            "balance_usd": 0.01,
            "balance_microdollars": 10_000,
            "currency": "USD",
        }


async def test_the_balance_asks_for_the_token() -> None:
    async with emulating() as client:
        where = f"{client.emulator.origin}/prod/v2/balance"
        assert (await client.get(where, headers={})).status == 401
        assert (await client.get(where)).document["balance_usd"] > 0


async def test_a_model_is_described_with_price_and_schema() -> None:
    async with emulating() as client:
        model = (await client.get(f"/models/{IMAGE_TO_VIDEO}")).document
        listed = (await client.get("/models?include_schema=true")).document["models"][0]
        assert listed == model
        assert model["model_id"] == IMAGE_TO_VIDEO
        assert (model["base_price_usd"], model["price_unit"]) == (0.08, "second")
        assert model["input_schema"]["properties"]["frames"]["enum"] == [121, 241]
        assert "video" in model["output_schema"]["output"]["properties"]
        assert (await client.get("/models/no/such")).document["error_code"] == 400001
