"""Status, result and cancel of an accepted request."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from batchgen.emulator import documents
from batchgen.emulator.fates import COUNTS_LOOKS, Look, data_uri, ended, fate_of, makes_of
from batchgen.emulator.files import file_path
from batchgen.emulator.offers import offer_of
from batchgen.emulator.payloads import Answer
from batchgen.emulator.refusals import not_ready, unknown_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from batchgen.emulator.faults import Fault
    from batchgen.emulator.links import FileLinks
    from batchgen.emulator.media import Studio
    from batchgen.emulator.store import Store, StoredRequest
    from batchgen.emulator.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """`now` gives the seconds since 1970."""

    store: Store
    workers: Workers
    links: FileLinks
    studio: Studio
    now: Callable[[], float]

    async def status(self, request: web.Request, fault: Fault | None) -> Answer:
        request_id = self._asked_for(request, fault)
        standing = self.workers.standing(request_id)
        if standing is not None:
            return Answer(documents.present_state(_origin(request), request_id, standing))
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        document = documents.ended_state(_origin(request), stored)
        fate = fate_of(stored)
        if fate is not None and fate.kind == "final_word" and stored.status == "succeeded":
            document["status"] = fate.word
        return Answer(document)

    async def result(self, request: web.Request, fault: Fault | None) -> Answer:
        request_id = self._asked_for(request, fault)
        standing = self.workers.standing(request_id)
        if standing is not None and fault is not None and fault.kind == "not_ready":
            return not_ready(request_id)
        if standing is not None:
            return Answer(documents.present_state(_origin(request), request_id, standing))
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        return Answer(await self._ended(request, stored))

    def _asked_for(self, request: web.Request, fault: Fault | None) -> str:
        """Return the id in the URL, or another where a fault mixes them up."""
        request_id = request.match_info["request_id"]
        if fault is None or fault.kind != "other_document":
            return request_id
        return self.store.other_than(request_id) or request_id

    async def cancel(self, request: web.Request, fault: Fault | None) -> Answer:
        request_id = request.match_info["request_id"]
        standing = self.workers.standing(request_id)
        if fault is not None and fault.kind == "cancellation_requested" and standing:
            return _cancellation(request_id, standing.status, "cancellation_requested")
        if self.workers.cancel(request_id):
            self.store.finish(request_id, "cancelled", self.now(), free=True)
            return _cancellation(request_id, "cancelled", "cancelled")
        if standing is not None:
            return _cancellation(request_id, standing.status, "not_cancellable")
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        return _cancellation(request_id, stored.status, "not_cancellable")

    async def _ended(self, request: web.Request, stored: StoredRequest) -> Mapping[str, Any]:
        with_cost = request.query.get("include_cost", "").lower() in ("true", "1")
        origin = _origin(request)
        urls = self._urls(origin, stored)
        makes = offer_of(stored.model_id).makes
        document = documents.result(origin, stored, makes, urls, with_cost=with_cost)
        fate = fate_of(stored)
        if fate is None or stored.status == "cancelled":
            return document
        if fate.kind == "data_uri":
            return {**document, "output": data_uri(await self.studio.file(stored, 1))}
        number = self.store.look(stored.request_id) if fate.kind in COUNTS_LOOKS else 1
        since_end = self.now() - (stored.finished_at or stored.created_at)
        return ended(document, fate, Look(number, since_end))

    def _urls(self, origin: str, stored: StoredRequest) -> list[str]:
        makes = makes_of(stored, offer_of(stored.model_id).makes)
        numbers = range(1, stored.outputs + 1)
        paths = (file_path(stored.request_id, number, makes) for number in numbers)
        return [self.links.url(origin, path, self.now()) for path in paths]


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _cancellation(request_id: str, status: str, outcome: str) -> Answer:
    document = documents.cancellation(request_id, status, outcome)
    return Answer(document, HTTPStatus.ACCEPTED)
