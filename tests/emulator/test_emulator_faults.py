from __future__ import annotations

import asyncio
import gzip
import io
import json
from typing import Any, get_args
from unittest.mock import AsyncMock, Mock

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from PIL import Image

from batchgen.emulator import EmulatorSettings, Fault
from batchgen.emulator.deliveries import Payload, deliver
from batchgen.emulator.faults import KINDS, FaultPlan, Place
from tests.emulator.emulator_client import (
    A_LONG_TIME,
    AUTHORIZATION,
    EDIT,
    PICTURE,
    TEXT_TO_IMAGE,
    Client,
    emulating,
)

BROKEN = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
ONE_SLOW_WORKER = EmulatorSettings(workers=1, latency=A_LONG_TIME)
ELSEWHERE = "https://elsewhere.example/file.png"


def charged(client: Client) -> int:
    return len(client.emulator.charges())


REFUSALS = [
    (Fault(on="submit", kind="status"), 500),
    (Fault(on="submit", kind="status", status=503, body='{"detail": "busy"}'), 503),
    (Fault(on="submit", kind="error_code"), 200),
    (Fault(on="submit", kind="html"), 200),
    (Fault(on="submit", kind="redirect", url="http://127.0.0.1:1/"), 307),
    (Fault(on="submit", kind="redirect", status=308), 308),
    (Fault(on="submit", kind="not_found"), 404),
]


@pytest.mark.parametrize(("fault", "status"), REFUSALS)
async def test_a_fault_instead_of_the_work_charges_nothing(fault: Fault, status: int) -> None:
    """Rows 26, 27, 28."""
    async with emulating() as client:
        client.emulator.arm(fault)
        assert (await client.submit()).status == status
        assert charged(client) == 0
        assert (await client.submit()).status == 200


async def test_a_wrong_answer_may_hide_an_accepted_submit() -> None:
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="status", status=502, accepted=True))
        assert (await client.submit()).status == 502
        assert charged(client) == 1


@pytest.mark.parametrize("wait", ["7", "-3", "999999999", "Wed, 21 Oct 2026 07:28:00 GMT", None])
async def test_429_bears_any_retry_after(wait: str | None) -> None:
    """Row 30."""
    headers = {} if wait is None else {"Retry-After": wait}
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="status", status=429, headers=headers))
        reply = await client.submit()
        assert (reply.status, reply.headers.get("Retry-After")) == (429, wait)


async def test_an_error_code_comes_with_its_message() -> None:
    async with emulating() as client:
        client.emulator.arm(
            Fault(on="submit", kind="error_code", error_code=400002, message="no balance")
        )
        document = (await client.submit()).document
        assert document == {"error_code": 400002, "error_message": "no balance"}


@pytest.mark.parametrize(
    ("kind", "charges"), [("reset_before", 0), ("reset_after", 1), ("reset_mid_body", 1)]
)
async def test_a_reset_changes_the_ledger_as_its_kind_promises(kind: str, charges: int) -> None:
    """Rows 21, 22."""
    async with emulating() as client:
        await client.get("/models")
        client.emulator.arm(Fault(on="submit", kind=kind))
        with pytest.raises(BROKEN):
            await client.submit()
        assert charged(client) == charges


async def test_a_hanging_submit_is_charged_and_never_answered() -> None:
    """Row 23."""
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="hang"))
        with pytest.raises(TimeoutError):
            await client.post(
                f"/models/{TEXT_TO_IMAGE}",
                json={"prompt": "x"},
                timeout=aiohttp.ClientTimeout(total=0.2),
            )
        assert charged(client) == 1


@pytest.mark.parametrize("kind", ["trickle", "slow"])
async def test_a_late_answer_is_whole(kind: str) -> None:
    """Row 24."""
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind=kind, seconds=0.001, size=50))
        document = (await client.submit()).document
        assert document["request_id"] == client.emulator.charges()[0].request_id


async def test_a_truncated_document_is_charged() -> None:
    """Row 25."""
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="truncated_json"))
        reply = await client.submit()
        assert reply.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(reply.body)
        assert charged(client) == 1


async def test_one_id_is_given_to_two_requests() -> None:
    """Row 36."""
    async with emulating() as client:
        first = await client.accepted()
        client.emulator.arm(Fault(on="submit", kind="duplicate_request_id"))
        second = await client.accepted()
        assert second == first
        assert charged(client) == 2


async def test_a_receipt_may_lack_its_id() -> None:
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="no_request_id"))
        assert "request_id" not in (await client.submit()).document
        assert charged(client) == 1


async def test_a_request_that_fails_is_completed_then_failed() -> None:
    """Row 29."""
    async with emulating() as client:
        client.emulator.arm(Fault(on="submit", kind="vendor_failed", message="too blue"))
        receipt = await client.accepted()
        result = await client.finished(receipt)
        assert (result["status"], result["error"]) == ("failed", "too blue")
        assert "output" not in result
        assert await client.finished(receipt) == result
        assert (await client.get(receipt["status_url"])).document["status"] == "completed"
        assert (await client.ledger())["charges"][0]["status"] == "failed"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("no_urls", {}),
        ("string_output", "URL"),
        ("list_output", ["URL"]),
        ("foreign_host", {"image": ELSEWHERE}),
    ],
)
@pytest.mark.parametrize("on", ["submit", "result"])
async def test_the_output_takes_other_shapes(on: Place, kind: str, expected: Any) -> None:
    """Rows 37, 48: armed on submit it stays, armed on result it is said once."""
    async with emulating() as client:
        if on == "submit":
            client.emulator.arm(Fault(on=on, kind=kind))
        receipt = await client.accepted()
        url = f"{client.emulator.origin}/files/{receipt['request_id']}/1.png"
        await client.finished(receipt)
        if on == "result":
            client.emulator.arm(Fault(on=on, kind=kind))
        said = [(await client.get(receipt["result_url"])).document["output"] for _ in range(2)]
        spoilt = json.loads(json.dumps(expected).replace("URL", url))
        assert said == ([spoilt] * 2 if on == "submit" else [spoilt, {"image": url}])


@pytest.mark.parametrize("on", ["status", "result"])
async def test_states_may_be_strange(on: Place) -> None:
    """Rows 32, 33, 34, 39."""
    async with emulating() as client:
        receipt = await client.accepted()
        await client.finished(receipt)
        client.emulator.arm(
            Fault(on=on, kind="unknown_state", word="napping"),
            Fault(on=on, kind="state_backwards"),
            Fault(on=on, kind="queue_position", position=-4),
            Fault(on=on, kind="not_found"),
        )
        strange = [await client.get(receipt[f"{on}_url"]) for _ in range(4)]
        assert strange[0].document["status"] == "napping"
        assert strange[1].document["status"] == "in_queue"
        assert "output" not in strange[1].document
        assert strange[2].document["queue_position"] == -4
        assert (strange[3].status, strange[3].document["error_code"]) == (404, 404001)


async def test_a_queue_position_may_be_absent() -> None:
    """Row 39."""
    async with emulating(ONE_SLOW_WORKER) as client:
        await client.accepted()
        receipt = await client.accepted()
        client.emulator.arm(Fault(on="status", kind="queue_position"))
        document = (await client.get(receipt["status_url"])).document
        assert document["status"] == "in_queue"
        assert "queue_position" not in document


async def test_a_cancellation_may_only_be_requested() -> None:
    """Row 38: the request goes on."""
    async with emulating(ONE_SLOW_WORKER) as client:
        await client.accepted()
        receipt = await client.accepted()
        client.emulator.arm(Fault(on="cancel", kind="cancellation_requested"))
        reply = await client.post(receipt["cancel_url"])
        assert reply.document["outcome"] == "cancellation_requested"
        assert (await client.get(receipt["status_url"])).document["status"] == "in_queue"


@pytest.mark.parametrize("kind", ["deep_json", "huge_json", "gzip_bomb"])
async def test_documents_may_be_huge_or_deep(kind: str) -> None:
    """Rows 72, 74."""
    async with emulating() as client:
        client.emulator.arm(Fault(on="model", kind=kind, size=5000))
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            raw = Client(client.emulator, session)
            body = (await raw.get("/models")).body
        whole = gzip.decompress(body) if kind == "gzip_bomb" else body
        assert len(whole) >= 5000


async def spoilt_file(client: Client, fault: Fault, **headers: str) -> Any:
    url = await client.made()
    good = await client.file(url)
    client.emulator.arm(fault)
    return good, await client.file(url, **headers)


async def test_a_short_body_announces_more_than_it_sends() -> None:
    """Row 41."""
    async with emulating() as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await spoilt_file(client, Fault(on="file", kind="short_body"))


async def test_wrong_bytes_have_the_right_length() -> None:
    """Row 42."""
    async with emulating() as client:
        good, bad = await spoilt_file(client, Fault(on="file", kind="wrong_bytes"))
        assert len(bad.body) == len(good.body)
        assert bad.body[:8] == good.body[:8]
        with pytest.raises((OSError, SyntaxError)):
            Image.open(io.BytesIO(bad.body)).load()


async def test_a_range_may_be_ignored() -> None:
    """Row 43."""
    async with emulating() as client:
        fault = Fault(on="file", kind="ignore_range")
        good, bad = await spoilt_file(client, fault, Range="bytes=5-")
        assert (bad.status, bad.body) == (200, good.body)


async def test_an_etag_may_change_between_parts() -> None:
    """Row 44."""
    async with emulating() as client:
        fault = Fault(on="file", kind="etag_changes", times=None)
        good, bad = await spoilt_file(client, fault, Range="bytes=5-")
        assert (bad.status, bad.headers["ETag"] == good.headers["ETag"]) == (206, False)


@pytest.mark.parametrize(
    ("kind", "status", "body"), [("empty", 200, b""), ("redirect", 302, b""), ("status", 500, None)]
)
async def test_files_may_be_missing_their_bytes(kind: str, status: int, body: bytes | None) -> None:
    """Rows 46, 70."""
    async with emulating() as client:
        _good, bad = await spoilt_file(client, Fault(on="file", kind=kind))
        assert bad.status == status
        assert body is None or bad.body == body


async def test_an_html_page_may_stand_in_for_a_picture() -> None:
    """Row 45."""
    async with emulating() as client:
        _good, bad = await spoilt_file(client, Fault(on="file", kind="html"))
        assert bad.headers["Content-Type"].startswith("text/html")
        assert bad.body.startswith(b"<!doctype html>")


async def test_a_url_may_expire_once() -> None:
    """Row 40."""
    async with emulating() as client:
        _good, bad = await spoilt_file(client, Fault(on="file", kind="expired"))
        assert bad.status == 403


async def test_an_oversize_file_announces_gigabytes() -> None:
    """Row 49."""
    async with emulating() as client:
        url = await client.made()
        client.emulator.arm(Fault(on="file", kind="oversize"))
        async with client.session.get(url) as response:
            assert response.content_length == 3 * 1024**3
            assert len(await response.content.readexactly(1_000_000)) == 1_000_000


async def test_an_oversize_file_ends_at_its_announced_size() -> None:
    async with emulating() as client:
        _good, bad = await spoilt_file(client, Fault(on="file", kind="oversize", size=300_000))
        assert len(bad.body) == 300_000


async def test_a_bomb_claims_more_pixels_than_any_memory_has() -> None:
    """Row 72."""
    async with emulating() as client:
        _good, bad = await spoilt_file(client, Fault(on="file", kind="bomb"))
        assert bad.body[16:24] == (60_000).to_bytes(4, "big") * 2
        with pytest.raises(Image.DecompressionBombError):
            Image.open(io.BytesIO(bad.body))


async def test_a_picture_may_be_blank_and_small_and_sound_all_the_same() -> None:
    async with emulating() as client:
        _good, bad = await spoilt_file(client, Fault(on="file", kind="blank", size=512))
        with Image.open(io.BytesIO(bad.body)) as picture:
            assert picture.size == (512, 512)
            assert len(picture.getcolors() or ()) == 1


async def test_headers_may_be_added() -> None:
    """Row 68: a name from the server."""
    names = {"Content-Disposition": 'attachment; filename="../../x"'}
    async with emulating() as client:
        fault = Fault(on="file", kind="headers", headers=names)
        good, bad = await spoilt_file(client, fault)
        assert bad.headers["Content-Disposition"] == names["Content-Disposition"]
        assert bad.body == good.body


EVERYWHERE = [(kind, on) for kind in KINDS for on in get_args(Place) if on in KINDS[kind]]


@pytest.mark.parametrize(("kind", "on"), EVERYWHERE)
async def test_after_any_fault_the_next_call_is_as_it_should_be(kind: str, on: Place) -> None:
    async with emulating() as client:
        receipt = await client.accepted()
        url = (await client.finished(receipt))["output"]["image"]
        calls = {
            "submit": ("POST", f"/models/{TEXT_TO_IMAGE}", 200),
            "status": ("GET", receipt["status_url"], 200),
            "result": ("GET", receipt["result_url"], 200),
            "cancel": ("POST", receipt["cancel_url"], 202),
            "model": ("GET", f"/models/{TEXT_TO_IMAGE}", 200),
            "balance": ("GET", f"{client.emulator.origin}/prod/v2/balance", 200),
            "file": ("GET", url, 200),
            "upload": ("PUT", f"{client.emulator.origin}/emulator/bucket/a.png", 200),
            "sign": ("POST", f"{client.emulator.origin}/emulator/bucket/a.png/sign", 200),
        }
        method, where, status = calls[on]
        bodies = {"submit": {"prompt": "x"}, "upload": {}, "sign": {"seconds": 60}}
        options: dict[str, Any] = {"json": bodies[on]} if on in bodies else {}
        headers = {} if on == "file" else AUTHORIZATION
        client.emulator.arm(Fault(on=on, kind=kind, seconds=0.0, size=4096))
        try:
            # Only one that hangs takes for ever: a busy machine may take its time for the others.
            short = {"timeout": aiohttp.ClientTimeout(total=0.2)} if kind == "hang" else {}
            await client.call(method, where, headers=headers, **short, **options)
        except (*BROKEN, TimeoutError):
            broken = ("hang", "short_body", "gzip_bomb", "host_down")
            assert kind.startswith("reset") or kind in broken
        after = await client.call(method, where, headers=headers, **options)
        assert after.status == status
        assert client.emulator._faults.armed() == ()


def test_a_fault_lets_calls_through_then_spoils_some() -> None:
    fault = Fault(on="status", kind="not_found", after=2, times=2)
    plan = FaultPlan([fault])
    met = [plan.take("status") for _ in range(6)]
    assert met == [None, None, fault, fault, None, None]


def test_a_fault_meets_its_model_and_place_alone() -> None:
    fault = Fault(on="submit", kind="html", model="*/edit", times=None)
    plan = FaultPlan([fault])
    assert plan.take("submit", TEXT_TO_IMAGE) is None
    assert plan.take("model", EDIT) is None
    assert [plan.take("submit", EDIT) for _ in range(3)] == [fault] * 3


async def test_a_fault_of_one_model_spares_the_status_of_another() -> None:
    async with emulating() as client:
        client.emulator.arm(Fault(on="status", kind="not_found", model="*/edit"))
        picture = await client.accepted()
        edit = await client.accepted(EDIT, prompt="x", image_urls=[PICTURE])
        assert (await client.get(picture["status_url"])).status == 200
        assert (await client.get(edit["status_url"])).status == 404


@pytest.mark.parametrize(
    ("on", "kind", "words"),
    [("submit", "melt", "there is no fault 'melt'"), ("status", "short_body", "only to file")],
)
def test_a_fault_that_makes_no_sense_is_refused(on: Place, kind: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Fault(on=on, kind=kind)


async def test_faults_of_the_settings_are_armed_from_the_start() -> None:
    settings = EmulatorSettings(latency=0, faults=(Fault(on="submit", kind="html"),))
    async with emulating(settings) as client:
        assert (await client.submit()).headers["Content-Type"].startswith("text/html")


async def test_faults_are_armed_listed_and_cleared_over_http() -> None:
    async with emulating() as client:
        where = f"{client.emulator.origin}/emulator/faults"
        fault = {"on": "submit", "kind": "status", "status": 429, "headers": {"Retry-After": "1"}}
        armed = await client.post(where, json={"faults": [fault | {"times": None}]}, headers={})
        assert armed.status == 200
        assert armed.document == {"faults": [fault | {"times": None, "after": 0}]}
        assert (await client.submit()).status == 429
        assert (await client.get(where, headers={})).document == armed.document
        assert (await client.call("DELETE", where, headers={})).document == {"faults": []}
        assert (await client.submit()).status == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"faults": [{"on": "submit", "kind": "melt"}]}', "melt"),
        ('{"faults": [{"on": "file", "kind": "error_code"}]}', "does not apply to"),
        ('{"faults": [{"on": "submit", "kind": "html", "tims": 2}]}', "tims"),
        ('{"faults": [{"on": "submit", "kind": "html", "times": -1}]}', "-1"),
        ("[]", "object"),
        ("{", "Expecting"),
    ],
)
async def test_a_fault_that_cannot_be_armed_is_refused_with_the_reason(
    body: str, words: str
) -> None:
    async with emulating() as client:
        reply = await client.post(f"{client.emulator.origin}/emulator/faults", data=body)
        assert reply.status == 400
        assert words in reply.document["error_message"]


async def test_closing_does_not_wait_for_what_hangs() -> None:
    async with aiohttp.ClientSession() as patient:
        async with emulating() as client:
            client.emulator.arm(Fault(on="model", kind="hang"))
            url = f"{client.emulator.base_url}/models"
            waiting = asyncio.create_task(_ask(patient, url), name="a patient client")
            while client.emulator._faults.armed():
                await client.ledger()
        with pytest.raises(BROKEN):
            await waiting


async def _ask(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url, headers=AUTHORIZATION) as response:
        return response.status


@pytest.mark.parametrize(
    ("on", "kind"),
    [("submit", "doubled"), ("file", "reset_mid_body"), ("file", "trickle"), ("file", "oversize")],
)
async def test_a_client_that_left_causes_no_error(on: Place, kind: str) -> None:
    gone = aiohttp.ClientConnectionResetError("the client left")
    writer = Mock(write_headers=AsyncMock(side_effect=gone), send_headers=Mock(side_effect=gone))
    request = make_mocked_request("GET", "/", writer=writer)
    response = await deliver(request, Payload(b"late"), Fault(on=on, kind=kind))
    assert not response.prepared
