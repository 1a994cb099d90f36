"""The ways in which the API says no, with the vendor's codes.

One call of the API, with the fault it may meet: before, in or after the work.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from batchgen.emulator.deliveries import Answer, Payload, deliver, encoded
from batchgen.emulator.fault_effects import SUBSTITUTES, edited
from batchgen.emulator.faults import INSTEAD_OF_THE_WORK, Fault, FaultPlan, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchgen.emulator.validation import InputProblem


INVALID_RESOURCE = 400001
INSUFFICIENT_RESOURCES = 400002
USER_ACCOUNT = 400004
NOT_READY = 400005
NOT_FOUND = 404001
INVALID_INPUT = 422001
INSUFFICIENT_FUNDS = 10001
"""The name that the vendor's serverless API has for INSUFFICIENT_RESOURCES."""


def refusal(status: int, message: str, error_code: int | None = None) -> Answer:
    document: dict[str, object] = {"error_message": message}
    if error_code is not None:
        document = {"error_code": error_code} | document
    return Answer(document, status)


def bad_token() -> Answer:
    message = "UserAccountError: the token is missing, expired or revoked."
    return refusal(401, message, USER_ACCOUNT)


def no_balance() -> Answer:
    message = "InsufficientResources: the balance does not cover this request."
    return refusal(402, message, INSUFFICIENT_RESOURCES)


def unknown_model(model_id: str) -> Answer:
    return refusal(
        400, f"InvalidResourceIdentifier: there is no model {model_id!r}.", INVALID_RESOURCE
    )


def unknown_request(request_id: str) -> Answer:
    return refusal(404, f"ResourceNotFound: there is no request {request_id!r}.", NOT_FOUND)


def not_ready(request_id: str) -> Answer:
    return refusal(400, f"The request {request_id!r} is not completed yet.", NOT_READY)


def unknown_path(path: str) -> Answer:
    return refusal(404, f"ResourceNotFound: there is nothing at {path!r}.", NOT_FOUND)


def bad_json(reason: str) -> Answer:
    return refusal(400, f"The body is not JSON: {reason}.")


def too_large(limit: int) -> Answer:
    return refusal(413, f"The body is larger than {limit} bytes.")


def too_many(retry_after: int) -> Answer:
    answer = refusal(429, f"Too many requests; try again in {retry_after} s.")
    return Answer(answer.document, answer.status, {"Retry-After": str(retry_after)})


def bad_input(problems: Sequence[InputProblem]) -> Answer:
    """422 with `detail`: one entry for each problem, `loc` being the way to it from the body."""
    words = "; ".join(f"{_place(problem)}: {problem.message}" for problem in problems)
    detail = [
        {"loc": ["body", *problem.place], "msg": problem.message, "type": problem.rule}
        for problem in problems
    ]
    return Answer({"error_message": words, "detail": detail}, 422)


def _place(problem: InputProblem) -> str:
    return ".".join(map(str, problem.place)) or "input"


Work: TypeAlias = Callable[[web.Request, Fault | None], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Calls:
    """`token` None takes any that is not empty. `model_of` tells which model a call is about."""

    token: str | None
    faults: FaultPlan
    model_of: Callable[[web.Request], str]

    async def answer(self, place: Place, request: web.Request, work: Work) -> web.StreamResponse:
        fault = self._fault(place, request)
        if fault is None:
            return await deliver(request, encoded(await self._work(request, work, None)), None)
        payload = await self._faulty_payload(request, work, fault)
        return await deliver(request, payload, fault)

    def _fault(self, place: Place, request: web.Request) -> Fault | None:
        # Which model it is may take a query, so it is asked only where a fault waits.
        if not self.faults.armed():
            return None
        return self.faults.take(place, self.model_of(request))

    async def _faulty_payload(self, request: web.Request, work: Work, fault: Fault) -> Payload:
        if fault.kind in INSTEAD_OF_THE_WORK:
            if fault.accepted:
                await self._work(request, work, fault)
            return await _substitute(fault)
        return encoded(edited(await self._work(request, work, fault), fault))

    async def _work(self, request: web.Request, work: Work, fault: Fault | None) -> Answer:
        if not self._is_authorised(request):
            return bad_token()
        return await work(request, fault)

    def _is_authorised(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip()
        if scheme.lower() != "bearer" or not given:
            return False
        if self.token is None:
            return True
        # Bytes: compare_digest takes no text beyond ASCII.
        return hmac.compare_digest(
            given.encode(errors="surrogateescape"), self.token.encode(errors="surrogateescape")
        )


async def _substitute(fault: Fault) -> Payload:
    make = SUBSTITUTES.get(fault.kind)
    return Payload(b"") if make is None else await asyncio.to_thread(make, fault)
