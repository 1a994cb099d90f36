"""Starts and stops the emulator, and keeps its write-ahead log short."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from batchgen.emulator.app import AppBuilder, Ledger, finish, latency_of
from batchgen.emulator.bucket import Bucket
from batchgen.emulator.catalogue import load_catalogue
from batchgen.emulator.contents import open_contents
from batchgen.emulator.faults import Fault, FaultPlan
from batchgen.emulator.files import FileLinks, Files, MediaCache, Renderer
from batchgen.emulator.follow import API
from batchgen.emulator.input_fetches import InputFetches
from batchgen.emulator.sent_files import SentFiles
from batchgen.emulator.settings import EmulatorError, EmulatorSettings
from batchgen.emulator.store import Charge, Store, is_of_the_disk, open_store, unusable
from batchgen.emulator.workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from batchgen.emulator.catalogue import Catalogue


COMMITS_BETWEEN = 1000


@dataclass(slots=True)
class DiskFailure:
    """The first error of the emulator's own disk. After it, no request may ever end."""

    state: Path | None
    on_failure: Callable[[], None]
    error: EmulatorError | None = None

    def record(self, exc: Exception) -> None:
        if self.error is None:
            self.error = unusable(self.state, exc)
            self.on_failure()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            self.record(exc)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (sqlite3.Error, OSError) as exc:
            if not is_of_the_disk(exc):
                raise
            self.record(exc)
            return web.Response(status=500)


class Checkpoints:
    def __init__(self, store: Store, failure: DiskFailure) -> None:
        self._store = store
        self._failure = failure
        self._commits = 0
        self._due = asyncio.Event()

    def committed(self) -> None:
        self._commits += 1
        if self._commits % COMMITS_BETWEEN == 0:
            self._due.set()

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            await self._due.wait()
            self._due.clear()
            with self._failure.recorded():
                await asyncio.to_thread(self._store.checkpoint)


LOOPBACK = "127.0.0.1"
BACKLOG = 1024
SECONDS_TO_SHUT = 0.05


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator, for the process that runs it."""

    port: int
    _faults: FaultPlan
    _ledger: Ledger

    @property
    def origin(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def base_url(self) -> str:
        return self.origin + API

    def arm(self, *faults: Fault) -> None:
        self._faults.arm(faults)

    def clear_faults(self) -> None:
        self._faults.clear()

    def charges(self) -> tuple[Charge, ...]:
        return tuple(self._ledger.charges())


@asynccontextmanager
async def running_emulator(
    settings: EmulatorSettings,
    *,
    random: Random | None = None,
    now: Callable[[], float] = time.time,
    on_failure: Callable[[], None] = lambda: None,
) -> AsyncIterator[Emulator]:
    """Serve on 127.0.0.1 until the block ends. Unfinished requests stay in the state file.

    `random` gives request ids; `now` the seconds since 1970 for answers. `on_failure` is called
    once its disk fails: end the block then. Raises EmulatorError if the port is taken, or the state
    file or a schema cannot be used, also for a disk that has failed in the block.
    """
    failure = DiskFailure(settings.state, on_failure)
    try:
        async with _running(settings, random, now, failure) as emulator:
            yield emulator
    finally:
        if failure.error is not None:
            raise failure.error


@asynccontextmanager
async def _running(
    settings: EmulatorSettings,
    random: Random | None,
    now: Callable[[], float],
    failure: DiskFailure,
) -> AsyncIterator[Emulator]:
    catalogue, random = load_catalogue(settings.schemas), random or SystemRandom()
    with (
        open_store(settings.state) as store,
        open_contents(settings.state) as contents,
        _listening(settings.port) as listener,
    ):
        faults = FaultPlan(settings.faults)
        key = store.signing_key(random.randbytes(32))
        files = _files(settings, catalogue, store, faults, key, now)
        bucket = Bucket(store=store, contents=contents, key=key, now=now)
        sent_files = SentFiles(contents)
        async with (
            aiohttp.ClientSession() as session,
            _working(
                settings,
                store,
                InputFetches(
                    store=store,
                    catalogue=catalogue,
                    session=session,
                    own_files=(files.own, sent_files.own, bucket.own),
                ),
                now,
                failure,
            ) as workers,
        ):
            builder = AppBuilder(
                settings=settings,
                catalogue=catalogue,
                store=store,
                workers=workers,
                faults=faults,
                files=files,
                sent_files=sent_files,
                bucket=bucket,
                random=random,
                now=now,
            )
            app = builder.application()
            app.middlewares.append(failure.middleware)
            async with _serving(app, listener):
                port = listener.getsockname()[1]
                yield Emulator(port, faults, Ledger(store, workers))


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port), backlog=BACKLOG)
    except (OSError, OverflowError) as exc:
        raise EmulatorError(
            f"Port {port} of {LOOPBACK} is not available: {exc}.",
            next_step="Choose another with --port, or 0 for a free one.",
        ) from exc


def _files(
    settings: EmulatorSettings,
    catalogue: Catalogue,
    store: Store,
    faults: FaultPlan,
    key: bytes,
    now: Callable[[], float],
) -> Files:
    renderer = Renderer(catalogue, MediaCache(settings.cache_bytes), settings.media_bytes)
    links = FileLinks(key, settings.url_ttl)
    return Files(store=store, renderer=renderer, links=links, faults=faults, now=now)


@asynccontextmanager
async def _working(
    settings: EmulatorSettings,
    store: Store,
    fetches: InputFetches,
    now: Callable[[], float],
    failure: DiskFailure,
) -> AsyncIterator[Workers]:
    """Start the workers on the requests that an earlier process left unfinished, in order."""
    checkpoints = Checkpoints(store, failure)

    def end(request_id: str) -> None:
        with failure.recorded():
            finish(store, request_id, now())
        checkpoints.committed()

    async def begin(request_id: str) -> bool:
        with failure.recorded():
            problem = await fetches.problem(request_id)
            if problem is None:
                return True
            store.finish(request_id, "failed", now(), error=problem)
        checkpoints.committed()
        return False

    workers = Workers(
        settings.workers,
        lambda model_id: latency_of(settings, fetches.catalogue, model_id),
        end,
        begin,
    )
    housekeeping = asyncio.create_task(checkpoints.run(), name="emulator checkpoints")
    try:
        for request_id, model_id in tuple(store.unfinished()):
            workers.accept(request_id, model_id)
        yield workers
    finally:
        housekeeping.cancel()
        await workers.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await housekeeping


@asynccontextmanager
async def _serving(app: web.Application, listener: socket.socket) -> AsyncIterator[None]:
    # handler_cancellation ends handlers that hang on purpose once their client has left.
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=SECONDS_TO_SHUT
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        yield
    finally:
        await runner.cleanup()
