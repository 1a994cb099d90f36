"""The simulated vendor and its file store, with a ledger that no engine can reach.

It answers in HTTP, by the contract; what goes wrong is the weather's to say.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tests.simulation.wire import HttpAnswer, HttpRequest, is_look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

API_HOST = "model-api.runcomfy.net"
WALLET_HOST = "api.runcomfy.net"
FILE_HOST = "cdn.runcomfy.net"
PICTURE_HOST = "pictures.example.com"
PICTURE = f"https://{PICTURE_HOST}/boat.png"
TOKEN = "the-secret-token-of-the-simulation"
EPOCH = 1_700_000_000.0  # what the wall clock shows when the virtual one shows 0

SIDE = 336
"""Pixels of a picture's sides: a little more than the most exacting model asks for."""

PRICES = {
    "bytedance/dreamina-4-0/text-to-image": 0.05,
    "bytedance/dreamina-4-0/edit": 0.08,
    "bytedance/dreamina-3-0/pro/image-to-video": 0.25,
}


@dataclass(frozen=True, slots=True)
class Course:
    """How a request goes. `hidden`: seconds for which it is not found yet.

    `unready` is how its result reads until it has ended, None as the state it is in. `early`:
    seconds after its end until the output is there. `cost` comes at once as a number, as a `text`,
    `late` from the second look on, or `never`. `shape` is that of the output. `word` is the last
    word, instead of the vendor's documented one. `named`: the result has the request's id.
    """

    queued: float = 1.0
    runs: float = 4.0
    end: str = "succeeded"
    files: int = 1
    hidden: float = 0.0
    unready: HttpAnswer | None = None
    early: float = 0.0
    cost: str = "number"
    shape: str = "images"
    word: str | None = None
    named: bool = True


@dataclass(slots=True)
class Charge:
    """A line of the ledger. `known`: its id reached the client. `left`: the client let go of it.

    `life` is the number of the process that submitted it, `begun` when that turned to the network.

    `also_told` are jobs whose submits were answered with this id. `looks` counts the results that
    were told of its end. `take` is what a chain's input
    said; `outdated`: the manifest has said another one since. `contents` are hashes of the user's
    own files.
    """

    id: str
    job: str
    model: str
    accepted_at: float
    course: Course
    known: bool = False
    left: bool = False
    cancelled_at: float = inf
    turn: int = 0
    also_told: set[str] = field(default_factory=set)
    looks: int = 0
    take: float | None = None
    outdated: bool = False
    contents: frozenset[str] = frozenset()
    life: int = 0
    begun: float = 0.0

    @property
    def names(self) -> list[str]:
        """Of its files."""
        return [f"{self.id}/{number}" for number in range(self.course.files)]

    @property
    def starts(self) -> float:
        return self.accepted_at + self.course.queued

    @property
    def ends(self) -> float:
        return min(self.starts + self.course.runs, self.cancelled_at)

    @property
    def succeeds(self) -> bool:
        return self.course.end == "succeeded" and self.cancelled_at > self.ends

    @property
    def is_free(self) -> bool:
        """The vendor took nothing for it: it was cancelled, or there was no money to take."""
        ends = {"cancelled", "failed for the balance"}
        return self.cancelled_at <= self.ends or self.course.end in ends

    @property
    def has_files_at(self) -> float:
        """When the result tells of its files; `inf`: never."""
        return self.ends + self.course.early if self.succeeds and self.course.files else inf


@dataclass(frozen=True, slots=True)
class Mishap:
    """What becomes of a call. `works`: the vendor does what was asked, though it may not say so.

    `change` makes another answer of the right one. `blames`: a refusal that is about the job.
    """

    works: bool = True
    blames: bool = False
    change: Callable[[HttpAnswer], HttpAnswer] = lambda answer: answer


FINE = Mishap()


@dataclass(slots=True)
class Vendor:
    """Outlives the processes that talk to it. `now` is the present loop's clock.

    `patience` is the manifest's timeout, `urls_last` how long a result's URL serves, in seconds.
    `sees` hears of the input of each submit, and returns the hashes of the own files in it.
    `blamed` are the jobs that were refused for themselves. Of a life, `refused_alike` has when each
    submit began that was refused like all others, `accepted_last` when the last one did that the
    client knows to be accepted. `life` counts the client's processes.
    `given` are the URLs of results that it gave out, `brought` the files that were taken whole;
    `brings` hears of each.
    """

    course: Callable[[str], Course] = lambda _job: Course()
    mishap: Callable[[str, HttpRequest], Mishap] = lambda _kind, _request: FINE
    now: Callable[[], float] = lambda: 0.0
    patience: float = inf
    urls_last: float = inf
    sees: Callable[[Mapping[str, Any]], frozenset[str]] = lambda _input: frozenset()
    ledger: dict[str, Charge] = field(default_factory=dict)
    submits: list[tuple[float, str]] = field(default_factory=list)
    busy: list[tuple[float, str, Counter[str], Counter[str]]] = field(default_factory=list)
    waiting: Callable[[], Iterable[HttpRequest]] = lambda: ()
    blamed: set[str] = field(default_factory=set)
    refused_alike: list[float] = field(default_factory=list)
    accepted_last: float = -inf
    life: int = 0
    served: dict[str, str] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    brought: set[str] = field(default_factory=set)
    brings: Callable[[str], None] = lambda _name: None
    leaks: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def answer(self, request: HttpRequest) -> HttpAnswer:
        self._watch_the_token(request)
        path = urlsplit(request.path).path
        if request.host in {FILE_HOST, PICTURE_HOST}:
            kind = "look" if is_look(request.raw) else "file"
            found = self._file(request, path) if request.host == FILE_HOST else _known_picture(path)
            return self.mishap(kind, request).change(found)
        if request.host == WALLET_HOST and path == "/prod/v2/balance":
            balance = {"balance_usd": 0.5, "balance_microdollars": 500_000, "currency": "USD"}
            return self.mishap("balance", request).change(_json(balance))
        if request.host != API_HOST:
            self.strangers.append(request.host)
            return HttpAnswer(status=404)
        if _is_submit(request):
            return self._submit(request, _model(request))
        if path.startswith("/v1/models/"):
            return _json({"model_id": path.removeprefix("/v1/models/")})
        name, verb = path.removeprefix("/v1/requests/").split("/")
        if verb == "cancel":
            return self._cancel(name)
        mishap = self.mishap(verb, request)
        told = self._status if verb == "status" else self._result
        return mishap.change(told(self.ledger.get(name)))

    def other_than(self, request: HttpRequest) -> HttpAnswer:
        """What the same call tells of another request, the last whose documents say their id."""
        name, verb = urlsplit(request.path).path.removeprefix("/v1/requests/").split("/")
        others = [one for one in self.ledger.values() if one.id != name and one.course.named]
        told = self._status if verb == "status" else self._result
        return told(others[-1] if others else self.ledger.get(name))

    def answered(self, request: HttpRequest, answer: HttpAnswer) -> None:
        """The client has the whole answer."""
        if _is_submit(request):
            self._told(request, answer)
        elif request.host == FILE_HOST and answer.status == 200 and not is_look(request.raw):
            name = urlsplit(request.path).path.removeprefix("/")
            if answer.body == picture(name):
                self.brought.add(name)
                self.brings(name)

    def arrived_after_death(self, request: HttpRequest) -> None:
        """Its bytes were on the wire when the process died: nobody hears the answer."""
        if _is_submit(request):
            self.answer(request)

    def _told(self, request: HttpRequest, answer: HttpAnswer) -> None:
        job = json.loads(request.body)["prompt"]
        try:
            charge = self.ledger.get(json.loads(answer.body).get("request_id", ""))
        except (ValueError, AttributeError):
            return
        if charge is None or answer.status not in {200, 202} or b"error_code" in answer.body:
            return
        self.accepted_last = max(self.accepted_last, request.begun)
        if charge.job == job:
            charge.known = True
        else:
            # An id that two jobs have is held, so its place is free though the vendor works on.
            charge.left = True
            charge.also_told.add(job)

    def _watch_the_token(self, request: HttpRequest) -> None:
        bearer = request.headers.get("Authorization", "")
        elsewhere = request.raw.replace(f"Authorization: {bearer}".encode(), b"", 1)
        is_vendors = request.host in {API_HOST, WALLET_HOST}
        if TOKEN.encode() in elsewhere or (bearer and not is_vendors):
            self.leaks.append(f"{request.method} {request.host}{request.path}")

    def _submit(self, request: HttpRequest, model: str) -> HttpAnswer:
        body = json.loads(request.body)
        job = body["prompt"]
        self.submits.append((request.begun, model))
        contents = self.sees(body)
        mishap = self.mishap("submit", request)
        answer = _json({"error_code": 0}, 500)
        if mishap.works:
            charge = self._charge(model, job, body.get("scale"))
            charge.contents, charge.begun = contents, request.begun
            answer = _json(
                {"request_id": charge.id, "status_url": "", "result_url": "", "cancel_url": ""}
            )
        elif mishap.blames:
            self.blamed.add(job)
        self.busy.append((request.begun, model, self._at_work(), self._unanswered()))
        return mishap.change(answer)

    def _charge(self, model: str, job: str, take: float | None) -> Charge:
        name, now = f"r{len(self.ledger):05}", self.now()
        charge = self.ledger[name] = Charge(
            name, job, model, now, self.course(job), take=take, life=self.life
        )
        return charge

    def _at_work(self) -> Counter[str]:
        now = self.now()
        posts = [one for one in self.waiting() if _is_submit(one)]
        # A twin's answer may tell an id before its own does: its post counts already.
        posting = {json.loads(one.body)["prompt"] for one in posts}
        busy = Counter(
            one.model
            for one in self.ledger.values()
            if one.known
            and one.job not in posting
            and not one.left
            and one.ends > now
            # A request over its time is let go, or it would hold its place for ever.
            and now < one.accepted_at + self.patience
        )
        busy.update(_model(one) for one in posts)
        busy["all"] = busy.total()
        return busy

    def _unanswered(self) -> Counter[str]:
        """Those that this process has sent, and that run though it got no answer."""
        posting = {json.loads(one.body)["prompt"] for one in self.waiting() if _is_submit(one)}
        now = self.now()
        found = Counter(
            one.model
            for one in self.ledger.values()
            if one.life == self.life
            and not (one.known or one.left or one.job in posting)
            and now < min(one.ends, one.accepted_at + self.patience)
        )
        found["all"] = found.total()
        return found

    def _is_hidden(self, charge: Charge) -> bool:
        return self.now() < charge.accepted_at + charge.course.hidden

    def _status(self, charge: Charge | None) -> HttpAnswer:
        """Tell less than the result: `completed` is the word for a failed request, too."""
        if charge is None or self._is_hidden(charge) or self._is_gone(charge):
            return _json({"error_code": 404001, "message": "not found"}, 404)
        base = {"request_id": charge.id, "status_url": "", "result_url": ""}
        if self.now() < charge.ends:
            return _json({**base, "status": self._word(charge)})
        cancelled = charge.cancelled_at <= charge.ends or charge.course.end == "cancelled"
        return _json({**base, "status": "cancelled" if cancelled else "completed"})

    def _is_gone(self, charge: Charge) -> bool:
        return charge.course.end == "lost" and self.now() >= charge.ends

    def _word(self, charge: Charge) -> str:
        return "in_queue" if self.now() < charge.starts else "in_progress"

    def _result(self, charge: Charge | None) -> HttpAnswer:
        if charge is None or self._is_hidden(charge):
            return _json({"error_code": 404001, "message": "not found"}, 404)
        base: dict[str, Any] = {"model_id": charge.model}
        if charge.course.named:
            base["request_id"] = charge.id
        if self.now() < charge.ends:
            unready = charge.course.unready
            return _json({**base, "status": self._word(charge)}) if unready is None else unready
        if charge.cancelled_at <= charge.ends or charge.course.end == "cancelled":
            return _json({**base, "status": "canceled", "cost": 0})
        if self._is_gone(charge):
            return _json({"error_code": 404001, "message": "expired"}, 404)
        charge.looks += 1
        return _json({**base, **self._end(charge), **_cost(charge)})

    def _end(self, charge: Charge) -> dict[str, Any]:
        match charge.course.end:
            case "failed":
                words = {"code": "model_error", "message": "the model failed"}
                return {"status": "failed", "error": words}
            case "failed for a reason":
                return {"status": "failed", "failure_reason": "the model failed"}
            case "failed for the balance":
                return {"status": "failed", "error_code": 400002, "error_message": "no balance"}
        word = charge.course.word or "succeeded"
        ended: dict[str, Any] = {"status": word, "finished_at": "2026-05-01T10:00:00Z"}
        if self.now() < charge.ends + charge.course.early:
            return ended
        return {**ended, "output": self._output(charge)}

    def _output(self, charge: Charge) -> Any:
        key = f"turn={charge.turn}&at={self.now():.3f}"
        urls = [f"https://{FILE_HOST}/{name}?{key}" for name in charge.names]
        self.given.update(urls)
        match charge.course.shape:
            case "list":
                return urls
            case "text" if len(urls) == 1:
                return urls[0]
            case "odd keys" if urls:
                page = f"https://www.runcomfy.com/generations/{charge.id}"
                decoys = {"page": page, "source": "https://thief.example/picture.png"}
                return {"images": [], **decoys, "result": {"result_urls": urls}}
            case "data":
                contents = [base64.b64encode(picture(name)).decode() for name in charge.names]
                self.brought.update(charge.names)
                return [f"data:image/png;base64,{content}" for content in contents]
        return {"images": urls}

    def _cancel(self, request_id: str) -> HttpAnswer:
        charge = self.ledger.get(request_id)
        if charge is None:
            return _json({"error_code": 404001, "message": "not found"}, 404)
        charge.left = True
        outcome = "not_cancellable"
        if self.now() < charge.starts:
            charge.cancelled_at, outcome = self.now(), "cancelled"
        return _json({"request_id": request_id, "status": "x", "outcome": outcome}, 202)

    def _file(self, request: HttpRequest, path: str) -> HttpAnswer:
        _, request_id, number = path.split("/")
        charge = self.ledger[request_id]
        key = dict(parse_qsl(urlsplit(request.path).query))
        is_old = self.now() > float(key["at"]) + self.urls_last
        if is_old or key["turn"] != str(charge.turn):
            return HttpAnswer(status=410 if is_look(request.raw) else 403)
        content = picture(f"{request_id}/{number}")
        self.served[f"{request_id}/{number}"] = hashlib.sha256(content).hexdigest()
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        return HttpAnswer(200, content, (("Content-Type", "image/png"), ("ETag", etag)))


def _known_picture(path: str) -> HttpAnswer:
    if path != urlsplit(PICTURE).path:
        return HttpAnswer(status=404)
    content = picture(path)
    last = len(content) - 1
    headers = (("Content-Type", "image/png"), ("Content-Range", f"bytes 0-{last}/{last + 1}"))
    return HttpAnswer(206, content, headers)


def _is_submit(request: HttpRequest) -> bool:
    return request.method == "POST" and request.path.startswith("/v1/models/")


def _cost(charge: Charge) -> dict[str, Any]:
    price = 0 if charge.is_free else PRICES[charge.model]
    match charge.course.cost:
        case "text":
            return {"cost": f"{price}"}
        case "late":
            return {"cost": price} if charge.looks > 1 else {}
        case "never":
            return {}
    return {"cost": price}


def _model(request: HttpRequest) -> str:
    return request.path.removeprefix("/v1/models/")


def _json(fields: object, status: int = 200) -> HttpAnswer:
    headers = (("Content-Type", "application/json"), ("Date", formatdate(EPOCH, usegmt=True)))
    return HttpAnswer(status, json.dumps(fields).encode(), headers)


@lru_cache(256)
def picture(name: str) -> bytes:
    """A sound PNG in black and white, another one for each name: large enough for every model."""
    first = b"\0" + hashlib.sha256(name.encode()).digest().ljust(SIDE // 8, b"\0")
    rows = first + (SIDE - 1) * bytes(1 + SIDE // 8)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
