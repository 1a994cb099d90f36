"""The client against a server that misbehaves byte by byte."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import tracemalloc
from pathlib import Path
from socket import AddressFamily
from typing import Any, get_args

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from batchgen.pauses import PauseReason
from batchgen.runcomfy import client
from batchgen.runcomfy.client import connect
from batchgen.runcomfy.limits import DEFAULT_LIMITS, Limits
from batchgen.runcomfy.outcomes import (
    Accepted,
    CancelOutcome,
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotSent,
    Queued,
    Running,
    SubmitOutcome,
    Succeeded,
    Throttled,
    Unclear,
)
from batchgen.runcomfy.pricing import ModelPrice
from batchgen.runcomfy.response import BODY_LIMIT
from batchgen.runcomfy.token import Token
from tests.runcomfy.raw_server import (
    Behaviour,
    as_json,
    hangs,
    http,
    resets,
    says,
    says_and_closes,
    says_and_hangs,
    serving,
)

SECRET = "rc-secret-4f9b0a77"
TOKEN = Token(SECRET, "a test")
MODEL = "bytedance/dreamina-4-0/text-to-image"
BODY = '{"prompt":"a boat, 画像"}'
ACCEPTED = as_json({"request_id": "r-1"})
IMPATIENT = Limits(read=0.2, submit=0.2)
HOLD = as_json({"request_id": "never-read"})


async def submit_to(*behaviours: Behaviour, limits: Limits = DEFAULT_LIMITS) -> SubmitOutcome:
    async with serving(*behaviours) as server, connect(server.base, TOKEN, limits=limits) as api:
        return await api.submit(MODEL, BODY)


async def test_a_submit_is_sent_as_the_contract_asks() -> None:
    async with serving(says(ACCEPTED)) as server, connect(server.base, TOKEN) as api:
        assert await api.submit(MODEL, BODY) == Accepted("r-1", '{"request_id": "r-1"}')
    (request,) = server.requests
    assert request.line == f"POST /v1/models/{MODEL} HTTP/1.1"
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("batchgen/")
    assert "Cookie" not in request.headers
    assert request.body == BODY.encode()


async def test_a_result_is_asked_with_its_cost() -> None:
    answer = as_json({"status": "succeeded", "output": ["https://x.example/a"], "cost": 0.5})
    async with serving(says(answer)) as server, connect(server.base, TOKEN) as api:
        outcome = await api.result("r-1")
    assert isinstance(outcome, Succeeded)
    assert (outcome.urls, outcome.cost) == (("https://x.example/a",), 0.5)
    assert server.requests[0].line == "GET /v1/requests/r-1/result?include_cost=true HTTP/1.1"
    assert "Content-Type" not in server.requests[0].headers


async def test_an_id_given_by_hand_cannot_leave_its_place_in_the_address() -> None:
    answer = as_json({}, 404)
    async with serving(says(answer)) as server, connect(server.base, TOKEN) as api:
        assert isinstance(await api.result("../models?x#y"), Missing)
    assert server.requests[0].line.startswith("GET /v1/requests/..%2Fmodels%3Fx%23y/result?")


async def test_a_cancel_and_a_price_are_asked() -> None:
    cancelled = as_json({"outcome": "cancelled"}, 202)
    price = as_json({"base_price_usd": 0.03, "price_unit": "output"})
    async with serving(says(cancelled), says(price)) as server, connect(server.base, TOKEN) as api:
        assert await api.cancel("r-1") is CancelOutcome.CANCELLED
        assert await api.price(MODEL) == ModelPrice(0.03, "output")
    assert [request.line for request in server.requests] == [
        "POST /v1/requests/r-1/cancel HTTP/1.1",
        f"GET /v1/models/{MODEL} HTTP/1.1",
    ]


async def test_the_balance_is_asked_at_its_own_base_with_the_same_token() -> None:
    low = as_json({"balance_usd": -0.5, "balance_microdollars": -500000, "currency": "USD"})
    refused, gone = as_json({}, 401), as_json({"error_code": 404001}, 404)
    async with (
        serving(says(low), says(refused), says(gone), resets) as server,
        connect("http://127.0.0.1:9/v1", TOKEN) as api,
    ):
        wallet = server.base.replace("/v1", "/prod/v2")
        assert await api.balance(wallet) == -0.5
        assert isinstance(await api.balance(wallet), Halted)
        assert isinstance(await api.balance(wallet), NoAnswer)
        assert isinstance(await api.balance(wallet), NoAnswer)
    assert server.requests[0].line == "GET /prod/v2/balance HTTP/1.1"
    assert server.requests[0].headers["Authorization"].startswith("Bearer ")


async def test_questions_share_a_connection_and_each_submit_has_one_of_its_own() -> None:
    going = as_json({"request_id": "r-1", "status": "in_progress"})
    async with serving(says(going)) as server, connect(server.base, TOKEN) as api:
        for _ in range(3):
            assert await api.result("r-1") == Running()
            assert await api.status("r-1") == Running()
    assert server.connections == 1
    async with serving(says(ACCEPTED)) as server, connect(server.base, TOKEN) as api:
        for _ in range(3):
            assert isinstance(await api.submit(MODEL, BODY), Accepted)
    assert server.connections == 3
    assert {one.headers["Connection"] for one in server.requests} == {"close"}


def named(number: int) -> bytes:
    return as_json({"request_id": f"r-{number}", "status": "in_progress"})


async def test_answers_that_come_twice_never_reach_the_next_question() -> None:
    """A proxy doubles every answer on a kept-alive connection, the copy at once or later."""
    twice = [says(named(number) * 2) for number in range(6)]
    async with serving(*twice) as server, connect(server.base, TOKEN) as api:
        assert [await api.result(f"r-{number}") for number in range(6)] == [Running()] * 6
    assert server.connections == 6


async def test_a_copy_that_comes_to_an_idle_connection_closes_it() -> None:
    answers = [says(named(number)) for number in range(4)]
    async with serving(*answers) as server, connect(server.base, TOKEN) as api:
        for number in range(4):
            assert await api.result(f"r-{number}") == Running()
            server.writers[-1].write(named(number))
            # On loopback what is written is there; some turns of the loop read it.
            for _ in range(20):
                await asyncio.sleep(0)
    assert server.connections == 4


async def test_the_id_of_an_earlier_submit_never_becomes_that_of_the_next() -> None:
    # As a proxy says it that closes: what follows makes aiohttp alone refuse all of it.
    ids = [as_json({"request_id": f"r-{number}"}, Connection="close") for number in range(5)]
    twice = [says(answer * 2) for answer in ids]
    async with serving(*twice) as server, connect(server.base, TOKEN) as api:
        found = [await api.submit(MODEL, BODY) for _ in range(5)]
    assert [one.request_id for one in found if isinstance(one, Accepted)] == [
        f"r-{number}" for number in range(5)
    ]


async def test_a_submit_after_an_idle_connection_was_closed_is_not_unknown() -> None:
    going = says(as_json({"status": "in_progress"}))
    async with serving(going, says(ACCEPTED)) as server, connect(server.base, TOKEN) as api:
        assert await api.result("r-1") == Running()
        # The server closes it while nobody asks, as all do after a while; the FIN is on its way.
        server.writers[0].close()
        assert isinstance(await api.submit(MODEL, BODY), Accepted)


async def test_row_19_a_refused_connection_proves_that_nothing_was_sent() -> None:
    async with serving() as server:
        base = server.base
    async with connect(base, TOKEN) as api:
        outcome = await api.submit(MODEL, BODY)
        assert isinstance(outcome, NotSent)
        assert "127.0.0.1" in outcome.reason
        assert isinstance(await api.result("r-1"), NoAnswer)
        assert await api.cancel("r-1") is CancelOutcome.UNANSWERED
        assert isinstance(await api.price(MODEL), NoAnswer)


class FakeResolver(AbstractResolver):
    """Knows no name, or never answers."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily | int = 0
    ) -> list[ResolveResult]:
        if self.silent:
            await asyncio.Event().wait()
        raise OSError(-2, "Name or service not known")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("silent", [False, True])
async def test_row_18_without_dns_nothing_was_sent(*, silent: bool) -> None:
    async with connect(
        "https://api.invalid/v1",
        TOKEN,
        limits=Limits(connect=0.05),
        resolver=FakeResolver(silent=silent),
    ) as api:
        assert isinstance(await api.submit(MODEL, BODY), NotSent)
        assert isinstance(await api.result("r-1"), NoAnswer)


async def test_waiting_for_a_free_connection_in_vain_sends_nothing() -> None:
    limits = Limits(connect=0.05, connections=1)
    async with serving(hangs) as server, connect(server.base, TOKEN, limits=limits) as api:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(api.submit(MODEL, BODY), name="holds the connection")
            await server.arrived.wait()
            assert isinstance(await api.submit(MODEL, BODY), NotSent)
            server.over.set()
            server.writers[0].close()
        assert isinstance(first.result(), Unclear)
    assert len(server.requests) == 1


def self_signed() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
    return context


async def test_row_20_a_bad_certificate_halts() -> None:
    tls = self_signed()
    async with serving(says(HOLD), tls=tls) as server, connect(server.base, TOKEN) as api:
        for outcome in (await api.submit(MODEL, BODY), await api.result("r-1")):
            assert isinstance(outcome, Halted)
            assert outcome.cause is PauseReason.BAD_CERTIFICATE
    assert server.requests == []


async def test_a_server_that_does_not_speak_tls_got_nothing() -> None:
    async with (
        serving(on_connect=says_and_closes(b"SSH-2.0-hello\r\n")) as server,
        connect(server.base.replace("http:", "https:"), TOKEN) as api,
    ):
        assert isinstance(await api.submit(MODEL, BODY), NotSent)


HALF = http(b'{"request_id": "r-', Content_Length="99")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(resets, id="row 23: reset after the request"),
        pytest.param(says_and_closes(b""), id="row 23: closed after the request"),
        pytest.param(says_and_closes(b"HTTP/1.1 2"), id="row 22: closed in the status line"),
        pytest.param(says_and_closes(HALF), id="row 22: closed in the body"),
        pytest.param(says_and_hangs(b""), id="row 23: silence"),
        pytest.param(says_and_hangs(HALF), id="row 24: half a body, then silence"),
        pytest.param(says(b"SSH-2.0-hello\r\n\r\n"), id="not HTTP"),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n"), id="long header"
        ),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), id="odd length"),
        pytest.param(says_and_closes(CHUNKED + b"zz\r\n"), id="bad chunk"),
        pytest.param(says(http(b"no gzip", Content_Encoding="gzip")), id="wrong content encoding"),
        pytest.param(says(http(b'{"request_id": "r-')), id="row 25: truncated JSON"),
        pytest.param(
            says(http(b"<html>hello</html>", Content_Type="text/html")), id="row 27: HTML page"
        ),
        pytest.param(says(http(b"[" * BODY_LIMIT)), id="row 74: huge and deep"),
        pytest.param(says(as_json({"request_id": "r-1"}, 500)), id="a server in trouble"),
    ],
)
async def test_a_submit_that_may_have_been_accepted_is_unclear(behaviour: Behaviour) -> None:
    async with serving(behaviour) as server, connect(server.base, TOKEN, limits=IMPATIENT) as api:
        outcome = await api.submit(MODEL, BODY)
        assert isinstance(outcome, Unclear)
        assert outcome.reason
    assert len(server.requests) == 1


@pytest.mark.parametrize("behaviour", [resets, says_and_closes(b""), hangs, says(http(b"[]"))])
async def test_a_question_that_gets_no_answer_is_free_to_be_asked_again(
    behaviour: Behaviour,
) -> None:
    async with serving(behaviour) as server, connect(server.base, TOKEN, limits=IMPATIENT) as api:
        assert isinstance(await api.result("r-1"), NoAnswer)
        assert await api.cancel("r-1") is CancelOutcome.UNANSWERED


async def test_a_connection_reset_before_the_request_is_read_is_unclear_too() -> None:
    async with serving(on_connect=resets) as server, connect(server.base, TOKEN) as api:
        assert isinstance(await api.submit(MODEL, BODY), Unclear)


@pytest.mark.parametrize("end", [resets, says_and_closes(b"")])
async def test_row_21_a_submit_on_a_dying_connection_is_never_sent_again(end: Behaviour) -> None:
    again = says(ACCEPTED)
    async with serving(again, end, again) as server, connect(server.base, TOKEN) as api:
        assert isinstance(await api.submit(MODEL, BODY), Accepted)
        assert isinstance(await api.submit(MODEL, BODY), Unclear)
    assert len(server.requests) == 2


async def test_row_22_what_came_of_a_broken_answer_is_kept() -> None:
    """No deadline here: a busy machine would reach it before the server had written anything."""
    outcome = await submit_to(says_and_closes(HALF))
    assert isinstance(outcome, Unclear)
    assert outcome.raw == '{"request_id": "r-'
    assert "broke off" in outcome.reason


@pytest.mark.usefixtures("no_garbage_collection")
async def test_a_long_answer_that_breaks_off_is_not_kept_in_memory() -> None:
    """On a bad line there are hundreds of them, and the garbage collector comes seldom."""
    cut_off = http(b"x" * 3_000_000, Content_Length="9000000")
    async with serving(says_and_closes(cut_off)) as server, connect(server.base, TOKEN) as api:
        assert isinstance(await api.result("r-1"), NoAnswer)  # what is loaded once is not counted
        tracemalloc.start()
        assert isinstance(await api.result("r-1"), NoAnswer)
        kept, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most > 3_000_000 > 10 * kept


async def test_row_22_what_came_before_the_deadline_is_kept() -> None:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    content = aiohttp.StreamReader(protocol, BODY_LIMIT, loop=loop)
    content.feed_data(b"half")
    reading = loop.create_task(client._read(content, BODY_LIMIT), name="read the body")
    await asyncio.sleep(0)
    content.set_exception(TimeoutError())
    assert await reading == (b"half", "no answer in time")


async def test_a_refusal_whose_body_breaks_off_was_not_accepted_and_names_no_cause() -> None:
    outcome = await submit_to(says_and_closes(http(b'{"mess', 422, Content_Length="99")))
    assert isinstance(outcome, Gateway)
    assert "broke off" in outcome.reason


async def test_row_24_an_answer_that_trickles_is_read_to_its_end() -> None:
    async def trickles(_server: Any, writer: asyncio.StreamWriter) -> None:
        for byte in ACCEPTED:
            writer.write(bytes([byte]))
            await writer.drain()

    assert isinstance(await submit_to(trickles), Accepted)


async def test_row_26_a_redirection_is_not_followed_and_the_token_stays() -> None:
    async with serving(says(ACCEPTED)) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            answer = http(b"", status, Location=elsewhere.base)
            async with serving(says(answer)) as server, connect(server.base, TOKEN) as api:
                outcome = await api.submit(MODEL, BODY)
                assert isinstance(outcome, Halted)
                assert outcome.cause is PauseReason.REDIRECTED
                assert isinstance(await api.result("r-1"), NoAnswer)
    assert elsewhere.connections == 0


async def test_row_30_a_date_is_measured_by_the_answers_clock_or_else_by_ours() -> None:
    date = "Thu, 01 Jan 1970 00:01:40 GMT"
    own_date = as_json({}, 429, Retry_After=date, Date="Thu, 01 Jan 1970 00:01:10 GMT")
    no_date = as_json({}, 429, Retry_After=date)
    async with (
        serving(says(own_date), says(no_date)) as server,
        connect(server.base, TOKEN, wall_clock=lambda: 90.0) as api,
    ):
        waits = [await api.submit(MODEL, BODY), await api.result("r-1")]
    assert [wait.retry_after for wait in waits if isinstance(wait, Throttled)] == [30.0, 10.0]


async def test_cookies_are_not_kept() -> None:
    answer = as_json({"status": "in_queue"}, Set_Cookie="session=1; Path=/")
    async with serving(says(answer)) as server, connect(server.base, TOKEN) as api:
        for _ in range(2):
            assert await api.result("r-1") == Queued(None)
    assert all("Cookie" not in request.headers for request in server.requests)


async def test_a_proxy_of_the_environment_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(says(HOLD)) as proxy, serving(says(ACCEPTED)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.base)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with connect(server.base, TOKEN) as api:
            assert isinstance(await api.submit(MODEL, BODY), Accepted)
    assert proxy.connections == 0


async def test_row_74_a_body_beyond_the_limit_is_not_read_on() -> None:
    async def floods(_server: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not writer.transport.is_closing():
            writer.write(b" " * 65_536)
            await writer.drain()

    outcome = await submit_to(floods)
    assert isinstance(outcome, Unclear)


async def test_cancellation_passes_through_and_closes_the_connection() -> None:
    async with serving(hangs, says(ACCEPTED)) as server, connect(server.base, TOKEN) as api:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(api.submit(MODEL, BODY), name="submit to be cancelled")
            await server.arrived.wait()
            task.cancel()
        assert task.cancelled()
        assert isinstance(await api.submit(MODEL, BODY), Accepted)
    assert server.connections == 2


ECHOES = [
    as_json({"message": f"token {SECRET} is wrong"}, 401),
    as_json({"message": f"token {SECRET} is wrong"}, 422),
    as_json({"error_code": SECRET}),
    as_json({"status": SECRET}),
    as_json({"status": "failed", "error": {"code": SECRET, "message": SECRET}}),
    as_json({"request_id": "r-1", "echo": SECRET}),
    as_json({"request_id": SECRET}),
    as_json({"request_id": f"r-{SECRET}"}),
    as_json({"status": "succeeded", "output": {"image": f"https://x.runcomfy.net/?t={SECRET}"}}),
    http(SECRET.encode()),
    http(b"", 307, Location=f"https://{SECRET}.example/"),
    http(b" " * 4090 + SECRET.encode()),
    f"HTTP/1.1 200 OK\r\nbad header {SECRET}\r\n\r\n".encode(),
    f"{SECRET}\r\n\r\n".encode(),
    b"",
]


@pytest.mark.parametrize("echo", ECHOES)
async def test_row_66_a_server_that_repeats_the_token_does_not_bring_it_into_an_outcome(
    echo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(says_and_closes(echo)) as server, connect(server.base, TOKEN) as api:
        told = [repr(await api.submit(MODEL, BODY)), repr(await api.result("r-1"))]
        told += [repr(await api.price(MODEL)), repr(api), str(vars(api)), caplog.text]
    assert SECRET not in "".join(told)


async def test_a_token_in_an_address_is_masked_as_the_address_spells_it() -> None:
    """It would be kept in the state, and sent to the host of the file."""
    secret = "rc/secret+4f9b=0a77"
    url = "https://x.runcomfy.net/a.png?t=rc%2Fsecret%2B4f9b%3D0a77"
    answer = as_json({"status": "succeeded", "output": {"image": url}})
    token = Token(secret, "a test")
    async with serving(says_and_closes(answer)) as server, connect(server.base, token) as api:
        outcome = await api.result("r-1")
    assert isinstance(outcome, Succeeded)
    assert outcome.urls == ("https://x.runcomfy.net/a.png?t=[token]",)
    assert "4f9b" not in outcome.raw


ANSWER_BYTES = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=100).map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail),
    st.binary(max_size=100).map(lambda tail: CHUNKED + tail),
    st.binary(max_size=100).map(
        lambda tail: b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + tail
    ),
    st.binary(max_size=60).map(lambda tail: http(tail, Content_Encoding="deflate")),
    st.integers(min_value=100, max_value=599).map(lambda status: http(b"{}", status)),
)


@given(ANSWER_BYTES)
def test_no_received_bytes_crash_a_submit(data: bytes) -> None:
    outcome = asyncio.run(submit_to(says_and_closes(data), limits=IMPATIENT))
    assert isinstance(outcome, get_args(SubmitOutcome))
    assert not isinstance(outcome, NotSent)
    if isinstance(outcome, Accepted):
        assert json.loads(outcome.raw)["request_id"]
