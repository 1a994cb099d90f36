"""Puts the parts together: which part answers which path."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from batchgen.emulator import inputs, wallet
from batchgen.emulator.calls import Calls, Work
from batchgen.emulator.control import FaultControl
from batchgen.emulator.deliveries import whole
from batchgen.emulator.fates import fate_of, page_path, thumbnail_path
from batchgen.emulator.faults import FAILED_ENDS
from batchgen.emulator.files import Files
from batchgen.emulator.follow import Follow
from batchgen.emulator.ledger import Ledger
from batchgen.emulator.limits import SubmitLimits
from batchgen.emulator.links import API, FileLinks
from batchgen.emulator.listing import Listing
from batchgen.emulator.media import MediaCache, Studio
from batchgen.emulator.offers import offer_of
from batchgen.emulator.payloads import encoded
from batchgen.emulator.refusals import unknown_path
from batchgen.emulator.submits import Submits

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from aiohttp.typedefs import Handler

    from batchgen.emulator.catalogue import Catalogue
    from batchgen.emulator.faults import FaultPlan, Place
    from batchgen.emulator.settings import EmulatorSettings
    from batchgen.emulator.store import Store
    from batchgen.emulator.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all parts share. `random` and `now` are the doors to chance and to the wall clock."""

    settings: EmulatorSettings
    catalogue: Catalogue
    store: Store
    workers: Workers
    faults: FaultPlan
    random: Random
    now: Callable[[], float]

    def application(self) -> web.Application:
        app = web.Application(client_max_size=self.settings.max_body_bytes)
        key = self.random.randbytes(32)
        links = FileLinks(self.store.signing_key(key), self.settings.url_ttl)
        cache = MediaCache(self.settings.cache_bytes)
        studio = Studio(self.catalogue, cache, self.settings.media_bytes)
        self._add_api(app, links, studio)
        self._add_files(app, links, studio)
        self._add_control(app)
        app.router.add_route("*", "/{path:.*}", _nowhere)
        return app

    def _add_api(self, app: web.Application, links: FileLinks, studio: Studio) -> None:
        calls = Calls(self.settings.token, self.faults, self._model_of)
        follow = Follow(
            store=self.store, workers=self.workers, links=links, studio=studio, now=self.now
        )
        listing = Listing(self.catalogue)
        one = f"{API}/models/{{model_id:.+}}"
        request = f"{API}/requests/{{request_id}}"
        app.router.add_post(one, _endpoint(calls, "submit", self._submits().submit))
        app.router.add_get(
            f"{API}/models/categories", _endpoint(calls, "model", listing.categories)
        )
        app.router.add_get(one, _endpoint(calls, "model", listing.one))
        app.router.add_get(f"{API}/models", _endpoint(calls, "model", listing.many))
        app.router.add_get(f"{request}/status", _endpoint(calls, "status", follow.status))
        app.router.add_get(f"{request}/result", _endpoint(calls, "result", follow.result))
        app.router.add_post(f"{request}/cancel", _endpoint(calls, "cancel", follow.cancel))
        app.router.add_get(wallet.PATH, _endpoint(calls, "balance", self._wallet().serve))

    def _add_files(self, app: web.Application, links: FileLinks, studio: Studio) -> None:
        files = Files(
            store=self.store, studio=studio, links=links, faults=self.faults, now=self.now
        )
        app.router.add_get(thumbnail_path("{request_id}"), files.thumbnail)
        app.router.add_get(inputs.PATH, inputs.Inputs(self.store).serve)
        app.router.add_get(page_path("{request_id}"), _page)
        app.router.add_get(r"/files/{request_id}/{number:\d{1,4}}.{extension}", files.serve)

    def _add_control(self, app: web.Application) -> None:
        control = FaultControl(self.faults)
        app.router.add_get("/emulator/ledger", Ledger(self.store, self.workers).serve)
        app.router.add_get("/emulator/faults", control.show)
        app.router.add_post("/emulator/faults", control.arm)
        app.router.add_delete("/emulator/faults", control.clear)

    def _submits(self) -> Submits:
        settings = self.settings
        return Submits(
            store=self.store,
            catalogue=self.catalogue,
            workers=self.workers,
            limits=SubmitLimits(settings.rate, settings.rate_seconds, settings.max_parallel),
            wallet=self._wallet(),
            images_per_request=settings.images_per_request,
            max_body_bytes=settings.max_body_bytes,
            random=self.random,
            now=self.now,
        )

    def _wallet(self) -> wallet.Wallet:
        return wallet.Wallet(self.store, self.settings.balance)

    def _model_of(self, request: web.Request) -> str:
        if "model_id" in request.match_info:
            return request.match_info["model_id"]
        stored = self.store.find(request.match_info.get("request_id", ""))
        return "" if stored is None else stored.model_id


def _endpoint(calls: Calls, place: Place, work: Work) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await calls.answer(place, request, work)

    return handle


async def _page(request: web.Request) -> web.StreamResponse:
    """The website's page of a request: nothing to download."""
    title = f"<!doctype html><title>{escape(request.match_info['request_id'])}</title>"
    return web.Response(text=title, content_type="text/html")


async def _nowhere(request: web.Request) -> web.StreamResponse:
    return whole(encoded(unknown_path(request.path)))


def latency_of(settings: EmulatorSettings, model_id: str) -> float:
    return offer_of(model_id).latency if settings.latency is None else settings.latency


def finish(store: Store, request_id: str, now: float) -> None:
    """End a request as its fate says: well, where it has none."""
    stored = store.find(request_id)
    fate = fate_of(stored) if stored is not None else None
    failed = fate is not None and fate.kind in FAILED_ENDS
    # Where the balance did not suffice, nothing was taken from it.
    free = fate is not None and fate.kind == "failed_for_balance"
    store.finish(request_id, "failed" if failed else "succeeded", now, free=free)
