"""The client of the API: a method a call, and no exception for anything a network does.

It alone knows aiohttp's exceptions, and what they prove about a request.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from batchgen.connections import SingleResponseConnector
from batchgen.pauses import PauseReason
from batchgen.proxies import NO_PROXIES, Proxies
from batchgen.runcomfy.hidden_urls import HiddenUrls
from batchgen.runcomfy.limits import DEFAULT_LIMITS, Limits
from batchgen.runcomfy.listing import PAGE, Page, read_entry, read_page
from batchgen.runcomfy.outcomes import (
    CancelOutcome,
    Halted,
    NoAnswer,
    NotSent,
    ResultOutcome,
    StatusOutcome,
    SubmitOutcome,
    Unclear,
)
from batchgen.runcomfy.pricing import (
    ModelFacts,
    ModelPrice,
    read_balance,
    read_model,
    read_price,
    why_no_price,
)
from batchgen.runcomfy.response import BODY_LIMIT, RESULT_LIMIT, Answer
from batchgen.runcomfy.result import read_result, read_status
from batchgen.runcomfy.submit import read_cancel, read_submit
from batchgen.runcomfy.upload import BeforeLast, Upload, at_once
from batchgen.text import plain_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.abc import AbstractResolver

    from batchgen.jobs import JsonObject
    from batchgen.runcomfy.token import Token


_Failure: TypeAlias = NotSent | Halted | Unclear

_ID_CHARS = "-._~!$&'()*+,;=:@"


class RunComfy:
    """The vendor's API. Only cancellation, and a bug of ours, leave its methods as exceptions.

    `fresh` is the session for what must not be sent twice: each of its calls has a connection of
    its own. The server may just have closed a kept-alive one, which makes a submit unknown, or the
    rest of an earlier answer may still be in it, which would name another job's request.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        fresh: aiohttp.ClientSession,
        base: str,
        token: Token,
        *,
        limits: Limits = DEFAULT_LIMITS,
        wall_clock: Callable[[], float] = time.time,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self._session = session
        self._fresh = fresh
        self.base = base
        self._token = token
        self._hidden = HiddenUrls()
        self._wall_clock = wall_clock
        self._proxies = proxies
        self._turns = asyncio.Semaphore(limits.asks) if limits.asks else nullcontext()
        self._get_timeout = aiohttp.ClientTimeout(total=limits.read, connect=limits.connect)
        self._limits = limits

    def hide_urls_of(self, bucket: str) -> None:
        """Take the signatures of the user's own files there out of every answer from now on."""
        self._hidden.add(bucket)

    async def submit(
        self, model: str, body: str, before_last: BeforeLast = at_once
    ) -> SubmitOutcome:
        """Send `body`, JSON text, once. It is never sent again by itself.

        `before_last` is awaited just before the vendor can have all of it.
        """
        upload = Upload(body, before_last, self._limits)
        path = f"/models/{quote(model)}"
        try:
            answer = await self._call("POST", path, upload.timeout(), upload)
        finally:
            # aiohttp's exception and its connection refer to each other, and both to the upload:
            # only the garbage collector frees them, and it runs seldom.
            upload.release()
        outcome = read_submit(answer) if isinstance(answer, Answer) else answer
        if isinstance(outcome, Unclear) and not upload.is_handed_over:
            # Half a body is no JSON, whatever was answered to it.
            return NotSent(f"{outcome.reason}, before all of the input was sent")
        return outcome

    async def result(self, request_id: str) -> ResultOutcome:
        """Ask what became of a request, and what it cost."""
        path = f"/requests/{quote(request_id, _ID_CHARS)}/result?include_cost=true"
        answer = await self._call("GET", path, self._get_timeout, most=RESULT_LIMIT)
        if isinstance(answer, Answer):
            if len(answer.body) > BODY_LIMIT:  # Parsing megabytes would block the loop.
                return await asyncio.to_thread(read_result, answer, request_id)
            return read_result(answer, request_id)
        return answer if isinstance(answer, Halted) else NoAnswer(answer.reason)

    async def status(self, request_id: str) -> StatusOutcome:
        """Ask for the state of a request, where its result call does not say."""
        path = f"/requests/{quote(request_id, _ID_CHARS)}/status"
        answer = await self._call("GET", path, self._get_timeout)
        if isinstance(answer, Answer):
            return read_status(answer, request_id)
        return answer if isinstance(answer, Halted) else NoAnswer(answer.reason)

    async def cancel(self, request_id: str) -> CancelOutcome:
        """Ask the vendor to cancel a request; only one in the queue can be."""
        path = f"/requests/{quote(request_id, _ID_CHARS)}/cancel"
        answer = await self._call("POST", path, self._get_timeout)
        if isinstance(answer, Answer):
            return read_cancel(answer, request_id)
        return CancelOutcome.UNANSWERED

    async def price(self, model: str) -> ModelPrice | NoAnswer | Halted | None:
        """Ask for a model's price; None where the vendor answers without one."""
        answer = await self._call("GET", f"/models/{quote(model)}", self._get_timeout)
        if isinstance(answer, Answer):
            return read_price(answer) or why_no_price(answer)
        return answer if isinstance(answer, Halted) else NoAnswer(answer.reason)

    async def describe(self, model: str) -> ModelFacts | NoAnswer | Halted:
        """Ask for a model's price and the schema of its input; None for each that is missing."""
        answer = await self._call("GET", f"/models/{quote(model)}", self._get_timeout)
        if isinstance(answer, Answer):
            facts = read_model(answer)
            return facts if facts.price else why_no_price(answer) or facts
        return answer if isinstance(answer, Halted) else NoAnswer(answer.reason)

    async def entry(self, model: str) -> JsonObject | NoAnswer | Halted | None:
        """Ask for a model's entry of the catalogue, with its schema; None if there is none."""
        answer = await self._call("GET", f"/models/{quote(model)}", self._get_timeout)
        if isinstance(answer, Answer):
            return read_entry(answer, model)
        return answer if isinstance(answer, Halted) else NoAnswer(answer.reason)

    async def listed(self, search: str, category: str, offset: int) -> Page | NoAnswer | Halted:
        """Ask for one page of the models that a search finds."""
        asked = {"search": search, "category": category, "limit": PAGE, "offset": offset}
        query = urlencode({key: value for key, value in asked.items() if value != ""})
        answer = await self._call("GET", f"/models?{query}", self._get_timeout)
        if isinstance(answer, Answer):
            return read_page(answer)
        return answer if isinstance(answer, Halted) else NoAnswer(answer.reason)

    async def balance(self, base: str) -> float | NoAnswer | Halted:
        """Ask for the account's balance in USD; `base` is what `wallet_base` gives."""
        answer = await self._call("GET", "/balance", self._get_timeout, base=base)
        if not isinstance(answer, Answer):
            return answer if isinstance(answer, Halted) else NoAnswer(answer.reason)
        balance = read_balance(answer)
        if balance is None:
            return why_no_price(answer) or NoAnswer(f"HTTP {answer.status} names no balance")
        return balance

    async def _call(
        self,
        method: str,
        path: str,
        patience: aiohttp.ClientTimeout,
        upload: Upload | None = None,
        base: str | None = None,
        most: int = BODY_LIMIT,
    ) -> Answer | _Failure:
        if method == "GET":
            async with self._turns:
                return await self._exchange(method, path, patience, upload, base, most)
        # Never queued here: its intent is recorded, and its deadline is running.
        return await self._exchange(method, path, patience, upload, base, most)

    async def _exchange(
        self,
        method: str,
        path: str,
        patience: aiohttp.ClientTimeout,
        upload: Upload | None,
        base: str | None,
        most: int,
    ) -> Answer | _Failure:
        session = self._fresh if method == "POST" else self._session
        url = URL((base or self.base) + path, encoded=True)
        try:
            async with (
                upload.progressing() if upload else nullcontext(),
                session.request(
                    method,
                    url,
                    data=await upload.data() if upload else None,
                    headers=upload.headers() if upload else None,
                    timeout=patience,
                    allow_redirects=False,
                    proxy=self._proxies.for_url(url),
                ) as response,
            ):
                if upload:
                    upload.answered()
                content, broken = await _read(response.content, most)
        except NETWORK_ERRORS as exc:
            failure = classify_error(exc.with_traceback(None))  # see _read
            return with_environment(failure, url, self._proxies)
        # Whatever is read from it may be kept, and an address may be followed to another host.
        content = self._hidden.redact(self._token.redact_bytes(content))
        redact = self._token.redact
        return Answer(
            response.status, response.headers, content, self._wall_clock(), broken, redact
        )


async def _read(content: aiohttp.StreamReader, most: int) -> tuple[bytes, str]:
    """Read the body, up to `most` bytes, and why it ended early, if it did.

    What came before is kept: the status is still useful, and half an answer to a submit may hold
    the id that lets a person find the request.
    """
    chunks: list[bytes] = []
    room = most
    try:
        while room > 0 and (chunk := await content.readany()):
            chunks.append(chunk[:room])
            room -= len(chunk)
    except NETWORK_ERRORS as exc:
        # Its connection keeps it until the garbage collector comes, which is seldom: without its
        # traceback, it does not keep what was read as well.
        return b"".join(chunks), classify_error(exc.with_traceback(None)).reason
    return b"".join(chunks), ""


@asynccontextmanager
async def connect(
    base: str,
    token: Token,
    *,
    limits: Limits = DEFAULT_LIMITS,
    wall_clock: Callable[[], float] = time.time,
    resolver: AbstractResolver | None = None,
    proxies: Proxies = NO_PROXIES,
) -> AsyncIterator[RunComfy]:
    """Open a client for the API at `base`, as `api_base` gives it, for as long as the block lasts.

    No cookies, no .netrc, no redirects: the token goes to `base` and nowhere else. A proxy on the
    way reads nothing, since `base` is https unless it is on this machine.
    """
    kept = SingleResponseConnector(
        limit=limits.connections, keepalive_timeout=limits.keep_alive, resolver=resolver
    )
    fresh = SingleResponseConnector(limit=limits.connections, force_close=True, resolver=resolver)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(_session(kept, token))
        alone = await stack.enter_async_context(_session(fresh, token))
        yield RunComfy(
            session, alone, base, token, limits=limits, wall_clock=wall_clock, proxies=proxies
        )


def _session(connector: aiohttp.BaseConnector, token: Token) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_headers(token),
        trust_env=False,
    )


def _headers(token: Token) -> dict[str, str]:
    return {
        "Authorization": token.header_value(),
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"batchgen/{_version()}",
    }


def _version() -> str:
    try:
        return version("batchgen")
    except PackageNotFoundError:
        return "0"


NETWORK_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError)
"""What a request can raise for reasons outside this program; timeouts are OSErrors too."""


def classify_error(exc: BaseException) -> NotSent | Halted | Unclear:
    """What is known about a request that ended in `exc`.

    Only an exception from the connector, before there is a connection, proves that nothing was
    sent: DNS, refused, TLS, no answer while connecting, no free connection. All others may come
    after the first byte, even on a connection that was dead before it was used.
    """
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        # The answer to CONNECT: the way to the API was not open yet.
        return NotSent(f"the proxy answered {exc.status}")
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return Halted(PauseReason.BAD_CERTIFICATE, f"{exc.host}: {_detail(exc.certificate_error)}")
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return NotSent(f"the name {exc.host} cannot be resolved ({_detail(exc.os_error)})")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return NotSent(f"no connection to {exc.host}:{exc.port} ({_detail(exc.os_error)})")
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return NotSent("no connection in time")
    return Unclear(_why_unclear(exc))


def with_environment(
    failure: NotSent | Halted | Unclear, url: URL, proxies: Proxies
) -> NotSent | Halted | Unclear:
    """Add the proxy or certificates that the environment sets, where they may be the cause."""
    setting = proxies.about(url) if isinstance(failure, NotSent) else ""
    if isinstance(failure, Halted) and failure.cause is PauseReason.BAD_CERTIFICATE:
        setting = "; ".join(filter(None, (proxies.about(url), proxies.certificates)))
    return replace(failure, reason=f"{failure.reason}; {setting}") if setting else failure


def _why_unclear(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(exc, aiohttp.ClientPayloadError):
        return "the connection ended in the middle of the answer"
    if isinstance(exc, (aiohttp.ClientResponseError, HttpProcessingError)):
        # Its text quotes the server's bytes and its repr the request's headers, token and all.
        return "the answer is not HTTP"
    if isinstance(exc, OSError):
        return f"the connection was lost ({_detail(exc)})"
    return f"the connection was lost ({type(exc).__name__})"


def _detail(exc: BaseException) -> str:
    """Give the system's own text, e.g. "Connection refused"."""
    text = exc.strerror if isinstance(exc, OSError) else None
    return plain_text(text or type(exc).__name__, 200)
