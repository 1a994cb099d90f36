from __future__ import annotations

from typing import Any

import pytest

from batchgen.emulator import EmulatorSettings
from tests.emulator.emulator_client import (
    A_LONG_TIME,
    EDIT,
    IMAGE_TO_VIDEO,
    PICTURE,
    TEXT_TO_IMAGE,
    Client,
    emulating,
)

ONE_SLOW_WORKER = EmulatorSettings(workers=1, latency=A_LONG_TIME)


async def progress(client: Client, receipt: dict[str, str]) -> tuple[str, int | None]:
    document = (await client.get(receipt["status_url"])).document
    return document["status"], document.get("queue_position")


async def test_queue_positions_count_from_one() -> None:
    async with emulating(ONE_SLOW_WORKER) as client:
        receipts = [await client.accepted() for _ in range(3)]
        assert [await progress(client, receipt) for receipt in receipts] == [
            ("in_progress", None),
            ("in_queue", 1),
            ("in_queue", 2),
        ]


async def test_each_model_has_its_own_queue() -> None:
    async with emulating(ONE_SLOW_WORKER) as client:
        await client.accepted()
        other = await client.accepted(EDIT, prompt="x", image_urls=[PICTURE])
        assert await progress(client, other) == ("in_progress", None)


async def test_an_unfinished_result_is_the_present_state() -> None:
    async with emulating(ONE_SLOW_WORKER) as client:
        await client.accepted()
        receipt = await client.accepted()
        status = await client.get(receipt["status_url"])
        result = await client.get(receipt["result_url"])
        assert result.status == 200
        assert result.document == status.document
        assert result.document == {
            "request_id": receipt["request_id"],
            "status": "in_queue",
            "queue_position": 1,
            "status_url": receipt["status_url"],
            "result_url": receipt["result_url"],
        }


async def test_a_result_has_output_and_times_and_a_cost_if_asked() -> None:
    async with emulating() as client:
        receipt = await client.accepted()
        plain = await client.finished(receipt)
        costed = (await client.get(receipt["result_url"] + "?include_cost=true")).document
        assert set(plain) == {
            "request_id",
            "model_id",
            "status",
            "input",
            "output",
            "created_at",
            "finished_at",
        }
        assert costed == plain | {"cost": 0.03}
        assert plain["created_at"].endswith("Z")
        assert plain["created_at"] <= plain["finished_at"]


@pytest.mark.parametrize(
    ("model", "job_input", "usd"),
    [
        (TEXT_TO_IMAGE, {"prompt": "x"}, 0.09),
        (TEXT_TO_IMAGE, {"prompt": "x", "force_single": True}, 0.03),
        (IMAGE_TO_VIDEO, {"prompt": "x", "image_urls": [PICTURE]}, 0.40),
        (IMAGE_TO_VIDEO, {"prompt": "x", "image_urls": [PICTURE], "frames": 241}, 0.80),
    ],
)
async def test_prices_follow_outputs_and_seconds(
    model: str, job_input: dict[str, Any], usd: float
) -> None:
    async with emulating(EmulatorSettings(latency=0, images_per_request=3)) as client:
        await client.accepted(model, **job_input)
        (charge,) = client.emulator.charges()
        assert charge.usd == usd


async def test_several_pictures_stand_under_images() -> None:
    async with emulating(EmulatorSettings(latency=0, images_per_request=3)) as client:
        result = await client.finished(await client.accepted())
        urls = result["output"]["images"]
        bodies = {(await client.file(url)).body for url in urls}
        assert [url.rsplit("/", 1)[1] for url in urls] == ["1.png", "2.png", "3.png"]
        assert len(bodies) == 3


async def test_an_unknown_request_is_not_found() -> None:
    async with emulating() as client:
        replies = [
            await client.get("/requests/nobody/status"),
            await client.get("/requests/nobody/result"),
            await client.post("/requests/nobody/cancel"),
        ]
        assert {(reply.status, reply.document["error_code"]) for reply in replies} == {
            (404, 404001)
        }


async def test_a_queued_request_is_cancelled_and_costs_nothing() -> None:
    async with emulating(ONE_SLOW_WORKER) as client:
        await client.accepted()
        gone, behind = await client.accepted(), await client.accepted()
        reply = await client.post(gone["cancel_url"])
        result = (await client.get(gone["result_url"] + "?include_cost=true")).document
        assert reply.status == 202
        assert reply.document == {
            "request_id": gone["request_id"],
            "status": "cancelled",
            "outcome": "cancelled",
        }
        assert await progress(client, gone) == ("cancelled", None)
        assert (result["status"], result["cost"]) == ("cancelled", 0)
        assert "output" not in result
        assert await progress(client, behind) == ("in_queue", 1)


async def test_a_running_request_cannot_be_cancelled() -> None:
    async with emulating(ONE_SLOW_WORKER) as client:
        receipt = await client.accepted()
        reply = await client.post(receipt["cancel_url"])
        assert (reply.status, reply.document["outcome"]) == (202, "not_cancellable")
        assert reply.document["status"] == "in_progress"


async def test_cancelling_what_ended_changes_nothing() -> None:
    """Row 38: the result is kept."""
    async with emulating() as client:
        receipt = await client.accepted()
        before = await client.finished(receipt)
        reply = await client.post(receipt["cancel_url"])
        assert (reply.status, reply.document["outcome"]) == (202, "not_cancellable")
        assert (await client.get(receipt["result_url"])).document == before


async def test_the_ledger_lists_every_accepted_submit_in_order() -> None:
    async with emulating(ONE_SLOW_WORKER) as client:
        receipts = [await client.accepted(prompt=f"boat {number}") for number in range(3)]
        await client.submit(prompt=7)
        await client.post(receipts[1]["cancel_url"])
        ledger = await client.ledger()
        assert ledger["token_leaks"] == 0
        assert ledger["charges"] == [
            {
                "request_id": receipt["request_id"],
                "model_id": TEXT_TO_IMAGE,
                "input": {"prompt": f"boat {number}"},
                "status": status,
                "usd": usd,
            }
            for number, (receipt, status, usd) in enumerate(
                zip(
                    receipts, ("in_progress", "cancelled", "in_queue"), (0.03, 0, 0.03), strict=True
                )
            )
        ]


async def test_an_empty_ledger_is_still_a_document() -> None:
    async with emulating() as client:
        assert await client.ledger() == {"charges": [], "token_leaks": 0}
