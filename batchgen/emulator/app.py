"""Routes each path to its handler, and serves the emulator's own endpoints.

`/emulator/faults` arms, lists and clears faults. `/emulator/ledger` is every accepted submit, in
order, as one JSON document, streamed page by page so that a long ledger needs little memory.
`/models` lists the catalogue.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from batchgen.emulator import bucket, sent_files, submits
from batchgen.emulator.catalogue import (
    KINDS,
    Catalogue,
    Query,
    categories,
    model_document,
)
from batchgen.emulator.deliveries import JSON_TYPE, Answer, encoded, full_response
from batchgen.emulator.fault_effects import page_path, sticky_fault_of, thumbnail_path
from batchgen.emulator.faults import FAILED_ENDS, fault_document, parse_faults
from batchgen.emulator.follow import API, Follow
from batchgen.emulator.middleware import ApiHandler, Work
from batchgen.emulator.refusals import refusal, unknown_model, unknown_path
from batchgen.emulator.submits import SubmitLimits, Submits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from aiohttp.typedefs import Handler

    from batchgen.emulator.bucket import Bucket
    from batchgen.emulator.faults import Fault, FaultPlan, Place
    from batchgen.emulator.files import Files
    from batchgen.emulator.sent_files import SentFiles
    from batchgen.emulator.settings import EmulatorSettings
    from batchgen.emulator.store import Charge, Store
    from batchgen.emulator.workers import Workers


@dataclass(frozen=True, slots=True)
class FaultControl:
    plan: FaultPlan

    async def arm(self, request: web.Request) -> web.Response:
        try:
            faults = parse_faults(json.loads(await request.read()))
        except (ValueError, RecursionError) as exc:
            return web.json_response(refusal(400, str(exc)).document, status=400)
        self.plan.arm(faults)
        return self._listed()

    async def show(self, _request: web.Request) -> web.Response:
        return self._listed()

    async def clear(self, _request: web.Request) -> web.Response:
        self.plan.clear()
        return self._listed()

    def _listed(self) -> web.Response:
        """List the faults with what is left of their `times` and `after`."""
        faults = [
            {**fault_document(armed.fault), "times": armed.uses_left, "after": armed.skips_left}
            for armed in self.plan.armed()
        ]
        return web.json_response({"faults": faults})


@dataclass(frozen=True, slots=True)
class Ledger:
    store: Store
    workers: Workers

    async def serve(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON_TYPE})
        await response.prepare(request)
        for piece in self._pieces():
            # Each write lets other calls in: a page shows the state of the moment it is read.
            await response.write(piece.encode())
        return response

    def charges(self) -> Iterator[Charge]:
        for page in self._pages():
            yield from page

    def _pieces(self) -> Iterator[str]:
        opening = '{"charges": [\n'
        for page in self._pages():
            yield opening + ",\n".join(map(self._line, page))
            opening = ",\n"
        empty = opening if opening != ",\n" else ""
        yield f'{empty}\n], "token_leaks": {self.store.token_leaks()}}}\n'

    def _pages(self) -> Iterator[list[Charge]]:
        seq = 0
        while page := self.store.charges_after(seq):
            seq = page[-1][0]
            yield [charge for _seq, charge in page]

    def _line(self, charge: Charge) -> str:
        progress = self.workers.progress(charge.request_id)
        status = charge.status if progress is None else progress.status
        head = json.dumps({"request_id": charge.request_id, "model_id": charge.model_id})
        tail = json.dumps({"status": status, "usd": charge.usd})
        # The input is already JSON.
        return f'{head[:-1]}, "input": {charge.input}, {tail[1:]}'


DEFAULT_LIMIT = 100
MOST = 500


@dataclass(frozen=True, slots=True)
class Listing:
    catalogue: Catalogue

    async def one(self, request: web.Request, _fault: Fault | None) -> Answer:
        model_id = request.match_info["model_id"]
        model = self.catalogue.models.get(model_id)
        if model is None:
            return unknown_model(model_id)
        return Answer(model_document(model, self.catalogue.output_schema, with_schema=True))

    async def categories(self, _request: web.Request, _fault: Fault | None) -> Answer:
        return Answer({"categories": categories(self.catalogue.models.values())})

    async def many(self, request: web.Request, _fault: Fault | None) -> Answer:
        asked = request.query
        try:
            limit = _whole(asked.get("limit", DEFAULT_LIMIT), 1, MOST)
            offset = _whole(asked.get("offset", 0), 0)
        except ValueError:
            return refusal(400, f"limit must be from 1 to {MOST}, and offset 0 or more.")
        query = Query(asked.get("search", ""), asked.get("category", ""), asked.get("kind", ""))
        if query.kind not in ("", *KINDS):
            return refusal(400, f"kind must be one of {', '.join(KINDS)}.")
        found = [model for model in self.catalogue.models.values() if query.matches(model)]
        with_schema = asked.get("include_schema", "").lower() in ("true", "1")
        documents = [
            model_document(model, self.catalogue.output_schema, with_schema=with_schema)
            for model in found[offset : offset + limit]
        ]
        return Answer({"models": documents, "total": len(found), "limit": limit, "offset": offset})


def _whole(text: str | int, lowest: int, highest: int | None = None) -> int:
    value = int(text)
    if value < lowest or (highest is not None and value > highest):
        raise ValueError(text)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class AppBuilder:
    """`random` gives request ids; `now` the seconds since 1970."""

    settings: EmulatorSettings
    catalogue: Catalogue
    store: Store
    workers: Workers
    faults: FaultPlan
    files: Files
    sent_files: SentFiles
    bucket: Bucket
    random: Random
    now: Callable[[], float]

    def application(self) -> web.Application:
        app = web.Application(client_max_size=self.settings.max_body_bytes)
        self._add_api(app)
        self._add_files(app)
        self._add_control(app)
        self._add_bucket(app)
        app.router.add_route("*", "/{path:.*}", _nowhere)
        return app

    def _add_api(self, app: web.Application) -> None:
        api = ApiHandler(self.settings.token, self.faults, self._model_of)
        follow = Follow(
            store=self.store,
            workers=self.workers,
            links=self.files.links,
            renderer=self.files.renderer,
            now=self.now,
        )
        listing = Listing(self.catalogue)
        one = f"{API}/models/{{model_id:.+}}"
        request = f"{API}/requests/{{request_id}}"
        app.router.add_post(one, _endpoint(api, "submit", self._submits().submit))
        app.router.add_get(f"{API}/models/categories", _endpoint(api, "model", listing.categories))
        app.router.add_get(one, _endpoint(api, "model", listing.one))
        app.router.add_get(f"{API}/models", _endpoint(api, "model", listing.many))
        app.router.add_get(f"{request}/status", _endpoint(api, "status", follow.status))
        app.router.add_get(f"{request}/result", _endpoint(api, "result", follow.result))
        app.router.add_post(f"{request}/cancel", _endpoint(api, "cancel", follow.cancel))
        app.router.add_get(submits.PATH, _endpoint(api, "balance", self._wallet().serve))

    def _add_files(self, app: web.Application) -> None:
        files = self.files
        app.router.add_get(thumbnail_path("{request_id}"), files.thumbnail)
        app.router.add_get(sent_files.PATH, self.sent_files.serve)
        app.router.add_get(page_path("{request_id}"), _page)
        app.router.add_get(r"/files/{request_id}/{number:\d{1,4}}.{extension}", files.serve)

    def _add_control(self, app: web.Application) -> None:
        control = FaultControl(self.faults)
        app.router.add_get("/emulator/ledger", Ledger(self.store, self.workers).serve)
        app.router.add_get("/emulator/faults", control.show)
        app.router.add_post("/emulator/faults", control.arm)
        app.router.add_delete("/emulator/faults", control.clear)

    def _add_bucket(self, app: web.Application) -> None:
        is_open = ApiHandler(None, self.faults, lambda _request: "", is_open=True)
        app.router.add_put(bucket.PATH, _endpoint(is_open, "upload", self.bucket.put))
        app.router.add_head(bucket.PATH, self.bucket.head)
        app.router.add_get(bucket.PATH, self.bucket.get, allow_head=False)
        app.router.add_post(bucket.SIGN_PATH, _endpoint(is_open, "sign", self.bucket.sign))

    def _submits(self) -> Submits:
        settings = self.settings
        return Submits(
            store=self.store,
            catalogue=self.catalogue,
            workers=self.workers,
            limits=SubmitLimits(settings.rate, settings.rate_seconds, settings.max_parallel),
            wallet=self._wallet(),
            sent_files=self.sent_files,
            images_per_request=settings.images_per_request,
            max_body_bytes=settings.max_body_bytes,
            random=self.random,
            now=self.now,
        )

    def _wallet(self) -> submits.Wallet:
        return submits.Wallet(self.store, self.settings.balance)

    def _model_of(self, request: web.Request) -> str:
        if "model_id" in request.match_info:
            return request.match_info["model_id"]
        stored = self.store.find(request.match_info.get("request_id", ""))
        return "" if stored is None else stored.model_id


def _endpoint(api: ApiHandler, place: Place, work: Work) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await api.handle(place, request, work)

    return handle


async def _page(request: web.Request) -> web.StreamResponse:
    """Serve the website's page of a request: HTML, not a file to download."""
    title = f"<!doctype html><title>{escape(request.match_info['request_id'])}</title>"
    return web.Response(text=title, content_type="text/html")


async def _nowhere(request: web.Request) -> web.StreamResponse:
    return full_response(encoded(unknown_path(request.path)))


def latency_of(settings: EmulatorSettings, catalogue: Catalogue, model_id: str) -> float:
    return catalogue.offer(model_id).latency if settings.latency is None else settings.latency


def finish(store: Store, request_id: str, now: float) -> None:
    """End a request as its sticky fault decides; without one, it succeeds."""
    stored = store.find(request_id)
    fault = sticky_fault_of(stored) if stored is not None else None
    failed = fault is not None and fault.kind in FAILED_ENDS
    # A balance that does not cover the request is not charged.
    free = fault is not None and fault.kind == "failed_for_balance"
    store.finish(request_id, "failed" if failed else "succeeded", now, free=free)
