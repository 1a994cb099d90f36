"""The server of the live page: its routes, who may ask, its start and its end.

Any page of the browser can reach a loopback port, so the address holds a key that no other page
knows, and the Host header must name this machine: no foreign name leads here (DNS rebinding). Of
the run's files, only those that the state knows can be asked for.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import asynccontextmanager, suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp_sse import sse_response

from batchgen.errors import BatchgenError, MissingFileError, OutputError, StorageError, UsageError
from batchgen.report.chunks import thumb_name
from batchgen.report.page import asset
from batchgen.state.files import result_numbered
from batchgen.watch import events
from batchgen.watch.events import PING_SECONDS, Stream, parse_place
from batchgen.watch.originals import Originals, may_be_read
from batchgen.watch.picking import MOST_KEY, Picking, parse_decisions, parse_limits
from batchgen.watch.previews import Previews
from batchgen.watch.watching import Watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.typedefs import Handler, Middleware

    from batchgen.state.records import Result
    from batchgen.storage.locations import Location
    from batchgen.watch.picking import Answer
    from batchgen.watch.ports import Ports, Watched


NAMES = ("127.0.0.1", "localhost")
HTTP_PORT = 80
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NEVER_KEPT = "no-store"


def why_not(method: str, headers: Mapping[str, str], port: int) -> str | None:
    """Why a request is refused; None if it is not. Pure; `headers` ignore case."""
    host = headers.get("Host", "")
    # A browser leaves out the port that every http address has.
    names = {name for name in NAMES if port == HTTP_PORT} | {f"{name}:{port}" for name in NAMES}
    if host not in names:
        return "this server answers only to its loopback name"
    if method in {"GET", "HEAD"}:
        return None
    if not _is_ours(headers, f"http://{host}"):
        return "only the page itself may request this"
    if headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        return "send JSON"
    return None


def _is_ours(headers: Mapping[str, str], origin: str) -> bool:
    said = headers.get("Origin")
    if said is not None:
        return said == origin
    return headers.get("Sec-Fetch-Site") == "same-origin"


def guard(port: int) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if why := why_not(request.method, request.headers, port):
            raise web.HTTPForbidden(text=why)
        return await handler(request)

    return guarded


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, refusals too."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", NEVER_KEPT)


LOOPBACK = "127.0.0.1"
KEY_BYTES = 24
SECONDS_TO_SHUT = 0.2
SECONDS_TO_ANSWER = 2.0
"""At the end, for decisions that are being written down."""
MOST_BYTES = 16 * 1024 * 1024
"""The largest request: as many decisions as may come at once, with the longest ids."""
FOR_EVER = "private, max-age=31536000, immutable"
HTML, SCRIPT = "text/html", "text/javascript"
KINDS = {"js": SCRIPT, "css": "text/css", "svg": "image/svg+xml"}


@asynccontextmanager
async def serving(
    watched: Watched, ports: Ports, port: int, stop: asyncio.Event
) -> AsyncIterator[str]:
    """Serve until the block is left; gives the address. Port 0 takes a free one.

    `stop` is set where it cannot go on; why, is raised when the block is left. Raises OutputError
    where the port cannot be had, and the state's errors.
    """
    with _listening(port) as listener:
        watching = Watching(watched, ports)
        thumbs = Previews(watched.report)
        picking = Picking(watching, ports)
        try:
            await watching.begin()
            tasks = [
                asyncio.create_task(watching.run(), name="look at the state"),
                asyncio.create_task(watching.run_night(), name="read the night"),
                asyncio.create_task(picking.run(), name="decide what is picked"),
                asyncio.create_task(picking.settle(), name="settle what was handed on"),
            ]
            for task in tasks:
                task.add_done_callback(lambda _task: stop.set())
            try:
                key = secrets.token_urlsafe(KEY_BYTES)
                port = listener.getsockname()[1]
                house = _House(watching, picking, thumbs, ports)
                async with _open(house.application(key, port), listener, house):
                    yield f"http://{LOOPBACK}:{port}/{key}/"
            finally:
                await _end(tasks)
        finally:
            await thumbs.aclose()
            await watching.reader.aclose()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _open(
    app: web.Application, listener: socket.socket, house: _House
) -> AsyncIterator[None]:
    # Cancelling handlers ends the streams of pages that have left.
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=SECONDS_TO_SHUT
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await house.finish()
        await runner.cleanup()


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as exc:
        raise OutputError(
            f"port {port} of {LOOPBACK} is not available: {exc}",
            next_step="choose another with --port, or 0 for a free one",
        ) from exc


class _House:
    """Answers."""

    def __init__(
        self, watching: Watching, picking: Picking, thumbs: Previews, ports: Ports
    ) -> None:
        self._watching = watching
        self._picking = picking
        self._thumbs = thumbs
        self._originals = Originals()
        self._results = ports.results
        self._tune = ports.tune
        self._deciding: set[asyncio.Task[Answer]] = set()

    async def finish(self) -> None:
        """End the streams, and tell the pages the outcome of the decisions received."""
        self._watching.stop()
        if self._deciding:
            _, late = await asyncio.wait(self._deciding, timeout=SECONDS_TO_ANSWER)
            for deciding in late:
                deciding.cancel()

    def application(self, key: str, port: int) -> web.Application:
        app = web.Application(middlewares=[guard(port), _translated], client_max_size=MOST_BYTES)
        app.on_response_prepare.append(add_headers)
        app.add_routes(
            [
                web.get(f"/{key}/", self._index),
                web.get(f"/{key}/assets/{{name}}", self._asset),
                web.get(f"/{key}/data/head.js", self._head),
                web.get(f"/{key}/data/jobs-{{number:[0-9]{{1,7}}}}.js", self._chunk),
                web.get(f"/{key}/night", self._night),
                web.get(f"/{key}/events", self._events),
                web.get(f"/{key}/thumbs/{{name:.+}}", self._thumb),
                web.get(f"/{key}/originals/{{file:[0-9]{{1,19}}}}/{{name:[^/]+}}", self._original),
                web.post(f"/{key}/decisions", self._decisions),
                web.post(f"/{key}/tune", self._limits),
            ]
        )
        return app

    async def _index(self, _request: web.Request) -> web.Response:
        return web.Response(text=events.html(self._watching.view), content_type=HTML)

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in events.ASSETS:
            raise web.HTTPNotFound
        kind = KINDS[name.rpartition(".")[-1]]
        return web.Response(text=asset(name), content_type=kind)

    async def _head(self, _request: web.Request) -> web.Response:
        text = events.head(self._watching.view, self._watching.moments.last)
        return web.Response(text=text, content_type=SCRIPT)

    async def _chunk(self, request: web.Request) -> web.Response:
        moment = self._watching.view.moment
        number = int(request.match_info["number"])
        text = await self._watching.reader.ask(events.chunk, number, moment)
        return web.Response(text=text, content_type=SCRIPT)

    async def _night(self, _request: web.Request) -> web.Response:
        return web.Response(text=await self._watching.night(), content_type=HTML)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        known = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        async with sse_response(request, ping_interval=PING_SECONDS) as page:
            with suppress(ConnectionResetError):
                await Stream(self._watching, parse_place(known), page).run()
        return page

    async def _thumb(self, request: web.Request) -> web.StreamResponse:
        file, location = await self._file(request.query.get("file", ""))
        name = thumb_name(file.sha256)
        is_there = await asyncio.to_thread(may_be_read, location, file.path)
        if request.match_info["name"] != name or not is_there:
            raise web.HTTPNotFound
        made = await self._thumbs.get(name, location, file.path)
        if made is None:
            raise web.HTTPNotFound(text="there is no preview: the file could not be read")
        return web.FileResponse(
            made, headers={"Content-Type": "image/webp", "Cache-Control": FOR_EVER}
        )

    async def _original(self, request: web.Request) -> web.StreamResponse:
        file, location = await self._file(request.match_info["file"])
        named = request.match_info["name"] == PurePosixPath(file.path).name
        if not named or not file.media_type.startswith(("image/", "video/", "audio/")):
            raise web.HTTPNotFound
        return await self._originals.response(request, location, file)

    async def _file(self, key: str) -> tuple[Result, Location]:
        if not (key.isascii() and key.isdigit() and int(key) <= MOST_KEY):
            raise web.HTTPNotFound
        file = await self._watching.reader.ask(result_numbered, int(key))
        if file is None:
            raise web.HTTPNotFound
        return file, await self._watching.reader.ask(self._results)

    async def _limits(self, request: web.Request) -> web.Response:
        values, model = parse_limits(await _document(request))
        await asyncio.to_thread(self._tune, values, model)
        self._watching.look_soon()
        return web.json_response({})

    async def _decisions(self, request: web.Request) -> web.Response:
        picked = parse_decisions(await _document(request))
        if self._watching.stopped:
            raise StorageError("the server is shutting down")
        deciding = asyncio.create_task(self._picking.take(picked), name="take decisions")
        self._deciding.add(deciding)
        deciding.add_done_callback(self._decided)
        # A page that leaves takes nothing back.
        answer = await asyncio.shield(deciding)
        return web.json_response(
            {"handed": answer.handed, "objections": answer.objections, "rows": answer.rows}
        )

    def _decided(self, deciding: asyncio.Task[Answer]) -> None:
        self._deciding.discard(deciding)
        if not deciding.cancelled():
            # Of a page that has left, nobody else asks for it.
            deciding.exception()


async def _document(request: web.Request) -> Any:
    try:
        return await request.json()
    except (ValueError, LookupError, RecursionError) as exc:
        # LookupError: a charset that nobody knows.
        raise UsageError("this is not JSON") from exc


@web.middleware
async def _translated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with an error of our tree as the page shows it."""
    try:
        return await handler(request)
    except UsageError as exc:
        return web.json_response({"error": str(exc)}, status=400)
    except MissingFileError as exc:
        return web.json_response({"error": str(exc)}, status=404)
    except BatchgenError as exc:
        return web.json_response({"error": str(exc)}, status=503)
