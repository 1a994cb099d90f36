"""`POST /models/{model_id}`: check an input, charge for it, record it and queue it.

Limits are a sliding window of submits and a number of unfinished requests. `GET /prod/v2/balance`
serves the balance; the vendor serves it from another host (RUNCOMFY_SERVERLESS_API_BASE).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from aiohttp import web

from batchgen.emulator.catalogue import outputs_of, price_of
from batchgen.emulator.deliveries import Answer
from batchgen.emulator.faults import STICKY, Fault, fault_json
from batchgen.emulator.follow import cancel_link, request_links
from batchgen.emulator.refusals import (
    InputProblem,
    bad_input,
    bad_json,
    no_balance,
    too_large,
    too_many,
    unknown_model,
)
from batchgen.emulator.store import NewRequest, Store
from batchgen.emulator.validation import input_problems

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from batchgen.emulator.catalogue import Catalogue, Model
    from batchgen.emulator.sent_files import SentFiles
    from batchgen.emulator.workers import Workers


PARALLEL_RETRY_SECONDS = 1


@dataclass(slots=True)
class SubmitLimits:
    """`rate` submits in any `seconds`. `now` is the event loop's time, in seconds."""

    rate: int | None
    seconds: float
    max_parallel: int | None
    _taken: deque[float] = field(default_factory=deque)

    def take(self, now: float, unfinished: int) -> int | None:
        """Count a submit and return None, or return the seconds until the next attempt."""
        if self.max_parallel is not None and unfinished >= self.max_parallel:
            return PARALLEL_RETRY_SECONDS
        if self.rate is None:
            return None
        while self._taken and self._taken[0] <= now - self.seconds:
            self._taken.popleft()
        if len(self._taken) >= self.rate:
            return max(1, math.ceil(self._taken[0] + self.seconds - now))
        self._taken.append(now)
        return None


PATH = "/prod/v2/balance"
MICRO = 1_000_000
UNLIMITED_BALANCE = 1_000_000.0
"""USD in a wallet that is never used up."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """`balance` is the USD before the first charge; None is never used up."""

    store: Store
    balance: float | None

    def left(self) -> float:
        if self.balance is None:
            return UNLIMITED_BALANCE
        return round(self.balance - self.store.charged(), 6)

    def covers(self, usd: float) -> bool:
        return self.balance is None or usd <= self.left()

    async def serve(self, _request: web.Request, _fault: Fault | None) -> Answer:
        left = self.left()
        micro = round(left * MICRO)
        return Answer({"balance_usd": left, "balance_microdollars": micro, "currency": "USD"})


LARGE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class JsonBody:
    """`text` is the same value in ASCII, because a lone surrogate could not be stored."""

    value: Any
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submits:
    """`random` gives request ids; `now` the seconds since 1970."""

    store: Store
    catalogue: Catalogue
    workers: Workers
    limits: SubmitLimits
    wallet: Wallet
    sent_files: SentFiles
    images_per_request: int
    max_body_bytes: int
    random: Random
    now: Callable[[], float]

    async def submit(self, request: web.Request, fault: Fault | None) -> Answer:
        model_id = request.match_info["model_id"]
        model = self.catalogue.models.get(model_id)
        if model is None:
            return unknown_model(model_id)
        try:
            body = await _read_body(request)
        except web.HTTPRequestEntityTooLarge:
            return too_large(self.max_body_bytes)
        except ValueError as exc:
            return bad_json(str(exc))
        problems = await _problems(model, body)
        if not problems and "data:" in body.text:
            taken = await self.sent_files.take(model.schema, body.value)
            body, problems = json_body(taken.value), taken.problems
        if problems:
            return bad_input(problems)
        return self._admit(model, body, fault, _origin(request))

    def _admit(self, model: Model, body: JsonBody, fault: Fault | None, origin: str) -> Answer:
        # No await from here to the commit: simultaneous submits must not pass a limit together.
        now = asyncio.get_running_loop().time()
        retry_after = self.limits.take(now, self.workers.unfinished)
        if retry_after is not None:
            return too_many(retry_after)
        answered_id = self._answered_id(fault)
        new = self._new_request(model, body, fault)
        if not self.wallet.covers(new.usd):
            return no_balance()
        self.store.add(new)
        self.workers.accept(new.request_id, model.model_id)
        return Answer(_accepted(origin, answered_id or new.request_id))

    def _answered_id(self, fault: Fault | None) -> str | None:
        """Return the previous request's id if a fault mixes them up."""
        mixed_up = fault is not None and fault.kind == "duplicate_request_id"
        return self.store.latest_id() if mixed_up else None

    def _new_request(self, model: Model, body: JsonBody, fault: Fault | None) -> NewRequest:
        outputs = outputs_of(model, body.value, self.images_per_request)
        return NewRequest(
            request_id=self._fresh_id(),
            model_id=model.model_id,
            input=body.text,
            outputs=outputs,
            usd=price_of(model, body.value, outputs),
            created_at=self.now(),
            sticky_fault=fault_json(fault) if fault is not None and fault.kind in STICKY else None,
        )

    def _fresh_id(self) -> str:
        while True:
            request_id = str(UUID(int=self.random.getrandbits(128), version=4))
            # A seeded source repeats itself when the state outlives the process.
            if self.store.find(request_id) is None:
                return request_id


async def _read_body(request: web.Request) -> JsonBody:
    raw = await request.read()
    # Pictures in the body make it large enough to block the event loop.
    return await asyncio.to_thread(parse_body, raw) if len(raw) > LARGE else parse_body(raw)


async def _problems(model: Model, body: JsonBody) -> tuple[InputProblem, ...]:
    def check() -> tuple[InputProblem, ...]:
        return tuple(input_problems(model.validator, body.value))

    return await asyncio.to_thread(check) if len(body.text) > LARGE else check()


def parse_body(raw: bytes) -> JsonBody:
    """Read a body. Raises ValueError for invalid JSON, including NaN and too deep nesting."""
    try:
        value = json.loads(raw, parse_constant=_no_constant)
        return json_body(value)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc


def json_body(value: Any) -> JsonBody:
    return JsonBody(value, json.dumps(value))


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _accepted(origin: str, request_id: str) -> dict[str, str]:
    links = request_links(origin, request_id)
    return {"request_id": request_id, **links, "cancel_url": cancel_link(origin, request_id)}


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"
