"""Status, result and cancel of an accepted request, and the absolute URLs in their responses."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from batchgen.emulator.catalogue import offer_of
from batchgen.emulator.deliveries import Answer
from batchgen.emulator.fault_effects import COUNTS_LOOKS, Look, data_uri, ended, fate_of, makes_of
from batchgen.emulator.files import file_path
from batchgen.emulator.refusals import not_ready, unknown_request
from batchgen.emulator.validation import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp import web

    from batchgen.emulator.catalogue import Makes
    from batchgen.emulator.faults import Fault
    from batchgen.emulator.files import Studio
    from batchgen.emulator.store import Store, StoredRequest
    from batchgen.emulator.workers import Standing, Workers


API = "/v1"


def request_links(origin: str, request_id: str) -> dict[str, str]:
    base = f"{origin}{API}/requests/{request_id}"
    return {"status_url": f"{base}/status", "result_url": f"{base}/result"}


def cancel_link(origin: str, request_id: str) -> str:
    return f"{origin}{API}/requests/{request_id}/cancel"


@dataclass(frozen=True, slots=True)
class FileLinks:
    """`ttl` in seconds; None makes plain URLs that are good for ever."""

    key: bytes
    ttl: float | None

    def url(self, origin: str, path: str, now: float) -> str:
        if self.ttl is None:
            return origin + path
        expires = f"{now + self.ttl:.3f}"
        return f"{origin}{path}?expires={expires}&signature={self._sign(path, expires)}"

    def is_good(self, path: str, query: Mapping[str, str], now: float) -> bool:
        if self.ttl is None:
            return True
        expires = query.get("expires", "")
        signed = self._sign(path, expires).encode()
        if not hmac.compare_digest(signed, query.get("signature", "").encode()):
            return False
        return now < float(expires)

    def _sign(self, path: str, expires: str) -> str:
        return hmac.new(self.key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()[:32]


def present_state(origin: str, request_id: str, standing: Standing) -> dict[str, Any]:
    """Say what status says of an unfinished request, and the result call as well."""
    position = {} if standing.position is None else {"queue_position": standing.position}
    links = request_links(origin, request_id)
    return {"request_id": request_id, "status": standing.status, **position, **links}


def ended_state(origin: str, stored: StoredRequest) -> dict[str, Any]:
    """Call a failed request `completed`, as the vendor does: only the result says more."""
    word = "cancelled" if stored.status == "cancelled" else "completed"
    links = request_links(origin, stored.request_id)
    return {"request_id": stored.request_id, "status": word, **links}


def result(
    origin: str, stored: StoredRequest, makes: Makes, urls: Sequence[str], *, with_cost: bool
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "request_id": stored.request_id,
        "model_id": stored.model_id,
        "status": stored.status,
        "input": shown(stored.input, origin, stored.request_id),
        "created_at": iso_time(stored.created_at),
        "finished_at": iso_time(stored.finished_at or stored.created_at),
    }
    if with_cost:
        document["cost"] = stored.usd
    if stored.status == "succeeded":
        document["output"] = output(makes, urls)
    return document


def output(makes: Makes, urls: Sequence[str]) -> dict[str, Any]:
    kind = "video" if makes == "mp4" else "image"
    return {kind: urls[0]} if len(urls) == 1 else {f"{kind}s": list(urls)}


def cancellation(request_id: str, status: str, outcome: str) -> dict[str, Any]:
    return {"request_id": request_id, "status": status, "outcome": outcome}


def iso_time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
            return Answer(present_state(_origin(request), request_id, standing))
        stored = self.store.find(request_id)
        if stored is None:
            return unknown_request(request_id)
        document = ended_state(_origin(request), stored)
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
            return Answer(present_state(_origin(request), request_id, standing))
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
        document = result(origin, stored, makes, urls, with_cost=with_cost)
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
    document = cancellation(request_id, status, outcome)
    return Answer(document, HTTPStatus.ACCEPTED)
