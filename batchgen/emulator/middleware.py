"""One call of the API: authorisation, the work, and a fault before, in or after it."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web

from batchgen.emulator.deliveries import Answer, Payload, deliver, encoded
from batchgen.emulator.fault_effects import SUBSTITUTES, edited
from batchgen.emulator.faults import INSTEAD_OF_THE_WORK, Fault, FaultPlan, Place
from batchgen.emulator.refusals import bad_token

Work: TypeAlias = Callable[[web.Request, Fault | None], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class ApiHandler:
    """`token` None accepts any that is not empty. `model_of` returns the model a call is about.

    An `is_open` one needs no token.
    """

    token: str | None
    faults: FaultPlan
    model_of: Callable[[web.Request], str]
    is_open: bool = False

    async def handle(self, place: Place, request: web.Request, work: Work) -> web.StreamResponse:
        fault = self._fault(place, request)
        if fault is None:
            return await deliver(request, encoded(await self._work(request, work, None)), None)
        payload = await self._faulty_payload(request, work, fault)
        return await deliver(request, payload, fault)

    def _fault(self, place: Place, request: web.Request) -> Fault | None:
        # Finding the model may take a query, so it is skipped unless a fault is armed.
        if not self.faults.armed():
            return None
        return self.faults.take(place, self.model_of(request))

    async def _faulty_payload(self, request: web.Request, work: Work, fault: Fault) -> Payload:
        if fault.kind in INSTEAD_OF_THE_WORK:
            if fault.accepted:
                await self._work(request, work, fault)
            elif fault.on == "upload":
                await _drain(request)
            return await _substitute(fault)
        return encoded(edited(await self._work(request, work, fault), fault))

    async def _work(self, request: web.Request, work: Work, fault: Fault | None) -> Answer:
        if not self.is_open and not self._is_authorised(request):
            return bad_token()
        return await work(request, fault)

    def _is_authorised(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip()
        if scheme.lower() != "bearer" or not given:
            return False
        if self.token is None:
            return True
        # As bytes: compare_digest refuses text beyond ASCII.
        return hmac.compare_digest(
            given.encode(errors="surrogateescape"), self.token.encode(errors="surrogateescape")
        )


async def _drain(request: web.Request) -> None:
    """Read a whole upload, so that the client has sent it for nothing."""
    async for _piece in request.content.iter_any():
        pass


async def _substitute(fault: Fault) -> Payload:
    make = SUBSTITUTES.get(fault.kind)
    return Payload(b"") if make is None else await asyncio.to_thread(make, fault)
