"""The Model API once more, written from the vendor's documents and not from batchgen's emulator.

It shares no line and no library with it: threads and `http.server` here. What the documents leave
open it does in every way they leave open, one after the other: each request has its own number, and
the number decides in which of the forms its answers come.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import av
from PIL import Image, PngImagePlugin

from tests.contract.contract_schemas import EDIT, SCHEMAS, T2I, VIDEO

TOKEN = "a-token-of-the-contract"
PAGE = b"<!DOCTYPE html><html><title>Attention Required!</title><body>Blocked.</body></html>"
LOOKS_TO_THE_END = 3
"""So often is the result of a request asked for before it has ended."""


class Reply(NamedTuple):
    status: int
    body: bytes
    media_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    doubled: bool = False


def in_json(document: Any, status: int = 200, **headers: str) -> Reply:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, json.dumps(document).encode(), headers=named)


def page(status: int) -> Reply:
    return Reply(status, PAGE, "text/html; charset=UTF-8")


NOT_FOUND = in_json({"error_code": 404001, "error_message": "ResourceNotFound"}, 404)


@dataclass
class Asked:
    """An accepted request. `looks` counts the calls of its result."""

    number: int
    model: str
    body: dict[str, Any]
    looks: int = 0
    cancelled: bool = False

    @property
    def request_id(self) -> str:
        return f"req_{self.number:04d}-{hashlib.sha1(str(self.number).encode()).hexdigest()[:10]}"

    @property
    def links(self) -> dict[str, str]:
        path = f"/v1/requests/{self.request_id}"
        return {"status_url": f"{path}/status", "result_url": f"{path}/result"}


@dataclass
class Vendor:
    """All that the server knows. `holds` keeps every request in the queue, for cancellations.

    `served` has the SHA-256 of each file, under the request that it was made for.
    """

    holds: bool = False
    origin: str = ""
    requests: dict[str, Asked] = field(default_factory=dict)
    served: dict[str, set[str]] = field(default_factory=dict)
    submits: int = 0
    turned_away: int = 0
    results: int = 0
    token_leaks: int = 0
    fresh_urls: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    # Submits

    def submit(self, model: str, raw: bytes) -> Reply:
        self.submits += 1
        if self.submits % 6 == 3:
            self.turned_away += 1
            return page(403)
        if self.submits % 9 == 5:
            self.turned_away += 1
            return in_json({"error_code": 429001, "message": "slow down"}, 429, Retry_After="1")
        wrong = self.wrong_input(model, json.loads(raw))
        if wrong is not None:
            return wrong
        asked = Asked(len(self.requests), model, json.loads(raw))
        self.requests[asked.request_id] = asked
        return self.receipt(asked)._replace(doubled=asked.number % 3 == 1)

    @staticmethod
    def wrong_input(model: str, body: dict[str, Any]) -> Reply | None:
        if model not in SCHEMAS:
            message = f"InvalidResourceIdentifier: {model}"
            return in_json({"error_code": 400001, "error_message": message}, 400)
        schema = SCHEMAS[model]
        detail = [
            {"loc": ["body", key], "msg": "Field required"}
            for key in schema["required"]
            if key not in body
        ] + [
            {"loc": ["body", key], "msg": "Unknown field"}
            for key in body
            if key not in schema["properties"]
        ]
        return in_json({"error_code": 422001, "detail": detail}, 422) if detail else None

    @staticmethod
    def receipt(asked: Asked) -> Reply:
        document = {"request_id": asked.request_id, **asked.links}
        document["cancel_url"] = f"/v1/requests/{asked.request_id}/cancel"
        match asked.number % 3:
            case 0:
                return in_json({**document, "status": "in_queue"}, 202)
            case 1:
                return in_json(document)
            case _:
                return in_json({**document, "status": "pending", "error": None}, 202)

    # Status and result

    def status(self, asked: Asked) -> Reply:
        document: dict[str, Any] = {"request_id": asked.request_id, **asked.links}
        if asked.cancelled:
            return in_json({**document, "status": "canceled"})
        if self.holds or asked.looks <= 1:
            return in_json({**document, "status": "in_queue", "queue_position": 1})
        if asked.looks <= LOOKS_TO_THE_END:
            return in_json({**document, "status": "in_progress"})
        return in_json({**document, "status": "completed"})

    def result(self, asked: Asked) -> Reply:
        asked.looks += 1
        self.results += 1
        doubled = self.results % 4 == 0
        if asked.cancelled:
            document = {"request_id": asked.request_id, "status": "canceled", "output": None}
            return in_json(document)
        if self.holds or asked.looks <= LOOKS_TO_THE_END:
            form = UNFINISHED[(asked.number + asked.looks) % len(UNFINISHED)]
            return form(asked)._replace(doubled=doubled)
        reply = in_json(self.finished(asked, asked.looks - LOOKS_TO_THE_END))
        return reply._replace(doubled=doubled)

    def finished(self, asked: Asked, look: int) -> dict[str, Any]:
        """Say how a request ended; `look` is 1 for the first who hears of it."""
        number = asked.number
        document: dict[str, Any] = {
            "request_id": asked.request_id,
            "status": "completed" if number % 4 == 1 else "succeeded",
            "preview": None,
            "error": None,
            "input": asked.body,
            "created_at": "2026-05-01T10:00:00Z",
            "finished_at": "2026-05-01T10:00:09.5Z",
        }
        if number % 5 == 2:
            del document["request_id"]
        if number % 6 == 3:
            document["model_id"] = asked.model
        # The cost: at once as a number, later as a string, or never.
        if number % 3 == 0:
            document["cost"] = 0.03
        elif number % 3 == 1 and look > 1:
            document["cost"] = "0.05"
        output = self.output(asked, look)
        return document if output is None else {**document, "output": output}

    def output(self, asked: Asked, look: int) -> Any:
        key = "video" if asked.model == VIDEO else "image"
        match (asked.number // 3) % 6:
            case 0:
                return {key: self.url(asked, 1)}
            case 1:
                return self.url(asked, 1)
            case 2:
                return [self.url(asked, 1), self.url(asked, 2)]
            case 3:
                return {f"{key}s": [self.url(asked, 1), self.url(asked, 2)], key: None}
            case 4:  # the word comes before the output
                return {key: self.url(asked, 1)} if look > 2 else None
            case _:  # the first URL has expired
                return {key: self.url(asked, 1, "fresh" if look > 1 else "stale")}

    def url(self, asked: Asked, number: int, age: str = "fresh") -> str:
        extension = {T2I: "png", EDIT: "jpg", VIDEO: "mp4"}[asked.model]
        return f"{self.origin}/cdn/{asked.request_id}/{number}.{extension}?signature={age}"

    def cancel(self, asked: Asked) -> Reply:
        links = {"request_id": asked.request_id, **asked.links}
        if asked.looks > LOOKS_TO_THE_END and not self.holds:
            return in_json({**links, "status": "completed", "outcome": "not_cancellable"}, 202)
        asked.cancelled = True
        return in_json({**links, "status": "completed", "outcome": "canceled"}, 202)

    # The rest

    def file(self, asked: Asked, name: str, query: str) -> Reply:
        if query != "signature=fresh":
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")
        number, extension = name.split(".")
        media_type = {"png": "image/png", "jpg": "image/jpeg", "mp4": "video/mp4"}[extension]
        body = FILES[extension](asked.number, int(number))
        self.served.setdefault(asked.request_id, set()).add(hashlib.sha256(body).hexdigest())
        return Reply(200, body, media_type)

    @staticmethod
    def entry(model: str) -> dict[str, Any]:
        second = model == VIDEO
        return {
            "model_id": model,
            "display_name": model.rsplit("/", 1)[-1],
            "description": "",
            "categories": [model.rsplit("/", 1)[-1]],
            "kind": "model",
            "base_price_usd": 0.05 if second else 0.03,
            "price_unit": "second" if second else "image",
            "pricing_note": None,
            "model_url": f"https://www.runcomfy.com/models/{model}",
            "inputs": list(SCHEMAS[model]["properties"]),
            "required_inputs": SCHEMAS[model]["required"],
        }

    def models(self, path: str) -> Reply:
        if path == "/v1/models":
            entries = [self.entry(model) for model in SCHEMAS]
            return in_json({"models": entries, "total": 3, "limit": 100, "offset": 0})
        if path == "/v1/models/categories":
            return in_json({"categories": [model.rsplit("/", 1)[-1] for model in SCHEMAS]})
        model = path.removeprefix("/v1/models/")
        # The documents say that some models may not be listed.
        if model not in SCHEMAS or model == EDIT:
            return NOT_FOUND
        return in_json({**self.entry(model), "input_schema": SCHEMAS[model]})


def _present(word: str) -> Callable[[Asked], Reply]:
    return lambda asked: in_json({"request_id": asked.request_id, "status": word, **asked.links})


def _always(reply: Reply) -> Callable[[Asked], Reply]:
    return lambda _asked: reply


NOT_READY = {"error_code": 400005, "error_message": "The request is not completed yet."}
UNFINISHED: tuple[Callable[[Asked], Reply], ...] = (
    _present("in_queue"),
    _always(in_json(NOT_READY, 400)),
    _present("waiting"),
    _always(page(403)),
    _always(in_json({"detail": "The request is still running."}, 409)),
    _present("starting"),
    _always(in_json({"detail": [{"loc": ["path", "request_id"], "msg": "not finished"}]}, 422)),
    _always(page(425)),
    _present("processing"),
    _always(in_json({"code": 400005, "message": "not completed"})),
    _always(page(503)),
    _always(in_json({"status": "pending"})),
    _always(in_json({"error_code": 500001, "error": "upstream"}, 500)),
)
"""How the result of a request reads that has not ended."""


def png(request: int, number: int) -> bytes:
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", f"request {request}, file {number}")
    file = io.BytesIO()
    _picture(request, number).save(file, "PNG", pnginfo=note)
    return file.getvalue()


def jpg(request: int, number: int) -> bytes:
    file = io.BytesIO()
    comment = f"request {request}, file {number}".encode()
    _picture(request, number).save(file, "JPEG", comment=comment)
    return file.getvalue()


def mp4(request: int, number: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        container.metadata["comment"] = f"request {request}, file {number}"
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        picture = _picture(request, number).resize((320, 180))
        for _ in range(121):
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _picture(request: int, number: int) -> Image.Image:
    colours = Image.linear_gradient("L").resize((512, 512))
    rest = Image.new("L", (512, 512), (request * 37 + number * 90) % 256)
    return Image.merge("RGB", (colours, rest, colours.rotate(90)))


FILES = {"png": png, "jpg": jpg, "mp4": mp4}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vendor: Vendor

    def log_message(self, *args: Any) -> None:
        """Say nothing: the tests tell what came."""

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(lambda path, _query: self.posted(path, raw))

    def do_GET(self) -> None:
        self.answer(self.got)

    def answer(self, work: Callable[[str, str], Reply]) -> None:
        path, _, query = self.path.partition("?")
        with self.vendor.lock:
            reply = work(path, query)
        self.send(reply)

    def send(self, reply: Reply) -> None:
        head = f"HTTP/1.1 {reply.status} Whatever\r\nContent-Type: {reply.media_type}\r\n"
        head += f"Content-Length: {len(reply.body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        whole = head.encode() + b"\r\n" + reply.body
        try:
            self.wfile.write(whole * (2 if reply.doubled else 1))
        except ConnectionError:
            self.close_connection = True

    def is_authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def posted(self, path: str, raw: bytes) -> Reply:
        if not self.is_authorised():
            return UNAUTHORISED
        if found := re.fullmatch(r"/v1/requests/([^/]+)/cancel", path):
            asked = self.vendor.requests.get(found[1])
            return NOT_FOUND if asked is None else self.vendor.cancel(asked)
        if path.startswith("/v1/models/"):
            return self.vendor.submit(path.removeprefix("/v1/models/"), raw)
        return NOT_FOUND

    def got(self, path: str, query: str) -> Reply:
        if found := re.fullmatch(r"/cdn/([^/]+)/(\d\.\w{3})", path):
            self.vendor.token_leaks += "Authorization" in self.headers
            return self.vendor.file(self.vendor.requests[found[1]], found[2], query)
        if not self.is_authorised():
            return UNAUTHORISED
        if path == "/prod/v2/balance":
            return in_json(
                {"balance_usd": 12.5, "balance_microdollars": 12_500_000, "currency": "USD"}
            )
        if path.startswith("/v1/models"):
            return self.vendor.models(path)
        if found := re.fullmatch(r"/v1/requests/([^/]+)/(status|result)", path):
            return self.follow(found[1], found[2])
        return NOT_FOUND

    def follow(self, request_id: str, call: str) -> Reply:
        asked = self.vendor.requests.get(request_id)
        if asked is None:
            return NOT_FOUND
        return self.vendor.status(asked) if call == "status" else self.vendor.result(asked)


UNAUTHORISED = in_json({"error_code": 400004, "error_message": "UserAccountError"}, 401)


@contextmanager
def serving(vendor: Vendor) -> Iterator[Vendor]:
    """Serve on this machine until the block is left."""

    class Bound(Handler):
        pass

    Bound.vendor = vendor
    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        server.daemon_threads = True
        vendor.origin = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, name="vendor", daemon=True)
        thread.start()
        try:
            yield vendor
        finally:
            server.shutdown()
            thread.join()
