"""Status, result and cancel of an accepted request."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from batchgen.emulator import documents
from batchgen.emulator.files import file_path
from batchgen.emulator.offers import offer_of
from batchgen.emulator.payloads import Answer
from batchgen.emulator.refusals import unknown_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from batchgen.emulator.faults import Fault
    from batchgen.emulator.links import FileLinks
    from batchgen.emulator.store import Store, StoredRequest
    from batchgen.emulator.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """`now` gives the seconds since 1970."""

    store: Store
    workers: Workers
    links: FileLinks
    now: Callable[[], float]

    async def status(self, request: web.Request, _fault: Fault | None) -> Answer:
        return self._state(request, documents.ended_state)

    async def result(self, request: web.Request, _fault: Fault | None) -> Answer:
        with_cost = request.query.get("include_cost", "").lower() in ("true", "1")

        def ended(origin: str, stored: StoredRequest) -> dict[str, Any]:
            return self._result(origin, stored, with_cost=with_cost)

        return self._state(request, ended)

    async def cancel(self, request: web.Request, fault: Fault | None) -> Answer:
        request_id = request.match_info["request_id"]
        standing = self.workers.standing(request_id)
        if fault is not None and fault.kind == "cancellation_requested" and standing:
            return _cancellation(request_id, standing.status, "cancellation_requested")
        if self.workers.cancel(request_id):
            self.store.finish(request_id, "cancelled", self.now())
            return _cancellation(request_id, "cancelled", "cancelled")
        if standing is not None:
            return _cancellation(request_id, standing.status, "not_cancellable")
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        return _cancellation(request_id, stored.status, "not_cancellable")

    def _state(
        self, request: web.Request, ended: Callable[[str, StoredRequest], dict[str, Any]]
    ) -> Answer:
        """Answer status and result with the same words while the request is unfinished."""
        request_id = request.match_info["request_id"]
        origin = f"{request.scheme}://{request.host}"
        standing = self.workers.standing(request_id)
        if standing is not None:
            return Answer(documents.present_state(origin, request_id, standing))
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        return Answer(ended(origin, stored))

    def _result(self, origin: str, stored: StoredRequest, *, with_cost: bool) -> dict[str, Any]:
        makes = offer_of(stored.model_id).makes
        paths = (
            file_path(stored.request_id, number, makes) for number in range(1, stored.outputs + 1)
        )
        urls = [self.links.url(origin, path, self.now()) for path in paths]
        return documents.result(stored, makes, urls, with_cost=with_cost)


def _cancellation(request_id: str, status: str, outcome: str) -> Answer:
    document = documents.cancellation(request_id, status, outcome)
    return Answer(document, HTTPStatus.ACCEPTED)
