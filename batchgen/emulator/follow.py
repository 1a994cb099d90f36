"""Status, result and cancel of an accepted request, and the absolute URLs in their responses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from batchgen.emulator.asked import KINDS
from batchgen.emulator.deliveries import Answer
from batchgen.emulator.fault_effects import (
    COUNTS_RESULT_CALLS,
    ResultCall,
    extension_of,
    spoiled_result,
    sticky_fault_of,
)
from batchgen.emulator.files import data_uri, file_path
from batchgen.emulator.refusals import not_ready, unknown_request
from batchgen.emulator.sent_files import with_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp import web

    from batchgen.emulator.asked import Extension
    from batchgen.emulator.faults import Fault
    from batchgen.emulator.files import FileLinks, Renderer
    from batchgen.emulator.store import Store, StoredRequest
    from batchgen.emulator.workers import Progress, Workers


API = "/v1"


def request_links(origin: str, request_id: str) -> dict[str, str]:
    base = f"{origin}{API}/requests/{request_id}"
    return {"status_url": f"{base}/status", "result_url": f"{base}/result"}


def cancel_link(origin: str, request_id: str) -> str:
    return f"{origin}{API}/requests/{request_id}/cancel"


def unfinished_state(origin: str, request_id: str, progress: Progress) -> dict[str, Any]:
    """The answer of both status and result for an unfinished request."""
    position = {} if progress.position is None else {"queue_position": progress.position}
    links = request_links(origin, request_id)
    return {"request_id": request_id, "status": progress.status, **position, **links}


def finished_state(origin: str, stored: StoredRequest) -> dict[str, Any]:
    """Return the status answer. As at the vendor, only the result shows that a request failed."""
    status = "cancelled" if stored.status == "cancelled" else "completed"
    links = request_links(origin, stored.request_id)
    return {"request_id": stored.request_id, "status": status, **links}


def result(
    origin: str,
    stored: StoredRequest,
    extension: Extension,
    urls: Sequence[str],
    *,
    with_cost: bool,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "request_id": stored.request_id,
        "model_id": stored.model_id,
        "status": stored.status,
        "input": with_origin(stored.input, origin),
        "created_at": iso_time(stored.created_at),
        "finished_at": iso_time(stored.finished_at or stored.created_at),
    }
    if with_cost:
        document["cost"] = stored.usd
    if stored.error is not None:
        document["error"] = stored.error
    if stored.status == "succeeded":
        document["output"] = output(extension, urls)
    return document


def output(extension: Extension, urls: Sequence[str]) -> dict[str, Any]:
    kind = KINDS[extension]
    return {kind: urls[0]} if len(urls) == 1 else {f"{kind}s": list(urls)}


def cancellation(request_id: str, status: str, outcome: str) -> dict[str, Any]:
    return {"request_id": request_id, "status": status, "outcome": outcome}


def iso_time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """`now` gives seconds since 1970."""

    store: Store
    workers: Workers
    links: FileLinks
    renderer: Renderer
    now: Callable[[], float]

    async def status(self, request: web.Request, fault: Fault | None) -> Answer:
        request_id = self._request_id(request, fault)
        progress = self.workers.progress(request_id)
        if progress is not None:
            return Answer(unfinished_state(_origin(request), request_id, progress))
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        document = finished_state(_origin(request), stored)
        sticky = sticky_fault_of(stored)
        if sticky is not None and sticky.kind == "final_word" and stored.status == "succeeded":
            document["status"] = sticky.word
        return Answer(document)

    async def result(self, request: web.Request, fault: Fault | None) -> Answer:
        request_id = self._request_id(request, fault)
        progress = self.workers.progress(request_id)
        if progress is not None and fault is not None and fault.kind == "not_ready":
            return not_ready(request_id)
        if progress is not None:
            return Answer(unfinished_state(_origin(request), request_id, progress))
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        return Answer(await self._final_document(request, stored))

    def _request_id(self, request: web.Request, fault: Fault | None) -> str:
        """Return the id in the URL, or another if a fault mixes them up."""
        request_id = request.match_info["request_id"]
        if fault is None or fault.kind != "other_document":
            return request_id
        return self.store.other_than(request_id) or request_id

    async def cancel(self, request: web.Request, fault: Fault | None) -> Answer:
        request_id = request.match_info["request_id"]
        progress = self.workers.progress(request_id)
        if fault is not None and fault.kind == "cancellation_requested" and progress:
            return _cancellation(request_id, progress.status, "cancellation_requested")
        if self.workers.cancel(request_id):
            self.store.finish(request_id, "cancelled", self.now(), free=True)
            return _cancellation(request_id, "cancelled", "cancelled")
        if progress is not None:
            return _cancellation(request_id, progress.status, "not_cancellable")
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        return _cancellation(request_id, stored.status, "not_cancellable")

    async def _final_document(
        self, request: web.Request, stored: StoredRequest
    ) -> Mapping[str, Any]:
        with_cost = request.query.get("include_cost", "").lower() in ("true", "1")
        origin = _origin(request)
        urls = self._urls(origin, stored)
        extension = self.renderer.catalogue.extension_of(stored)
        document = result(origin, stored, extension, urls, with_cost=with_cost)
        sticky = sticky_fault_of(stored)
        if sticky is None or stored.status == "cancelled" or stored.error is not None:
            return document
        if sticky.kind == "data_uri":
            return {**document, "output": data_uri(await self.renderer.file(stored, 1))}
        counts = sticky.kind in COUNTS_RESULT_CALLS
        number = self.store.count_result_call(stored.request_id) if counts else 1
        since_end = self.now() - (stored.finished_at or stored.created_at)
        return spoiled_result(document, sticky, ResultCall(number, since_end))

    def _urls(self, origin: str, stored: StoredRequest) -> list[str]:
        extension = extension_of(stored, self.renderer.catalogue.extension_of(stored))
        numbers = range(1, stored.outputs + 1)
        paths = (file_path(stored.request_id, number, extension) for number in numbers)
        return [self.links.url(origin, path, self.now()) for path in paths]


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _cancellation(request_id: str, status: str, outcome: str) -> Answer:
    document = cancellation(request_id, status, outcome)
    return Answer(document, HTTPStatus.ACCEPTED)
