"""What goes wrong, by the dice of a seed: with the network, the vendor, the files and the disk."""

from __future__ import annotations

import errno
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from tests.simulation.vendor import API_HOST, FILE_HOST, WALLET_HOST, Course, Mishap
from tests.simulation.wire import HttpAnswer, HttpRequest, Trip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tests.simulation.vendor import Vendor

HTML = (("Content-Type", "text/html"),)
ON_REQUESTS = frozenset({"status", "balance"})
"""Calls that go wrong as often as those for a result."""
REFUSED = ConnectionRefusedError(111, "Connection refused")

NAMELESS = 0.3
"""Share of the results that do not say whose they are."""

BLAMES = frozenset(
    {"input refused", "detail of the input", "refused by an unknown code", "closed to everybody"}
)
"""Refusals that are about the job which meets them, as far as anyone can tell."""

Change: TypeAlias = "Callable[[HttpAnswer], HttpAnswer]"


@dataclass(frozen=True, slots=True)
class Roughness:
    """How likely it is that a thing goes wrong; 0 is calm weather."""

    submit: float = 0.0
    result: float = 0.0
    file: float = 0.0
    look: float = 0.0
    course: float = 0.0
    line: float = 0.0
    disk: float = 0.0


CALM = Roughness()


@dataclass(slots=True)
class Weather:
    """`injected` counts the faults by their kind.

    `throttles` are how many submits more are refused in the same way; after `closed_after` submits
    all are, until it is calm. Each submit of `silenced` is charged and not answered, until it is
    calm: only so does one job have more unknown outcomes than may be submitted again.
    """

    dice: Random
    vendor: Vendor
    rough: Roughness
    injected: Counter[str] = field(default_factory=Counter)
    throttles: int = 0
    closed_after: float = inf
    silenced: str = ""
    host_down_until: float = -inf

    def course(self, job: str) -> Course:
        roll = self.dice.random
        takes = self.dice.choice((1.0, 4.0, 4.0, 9.0, 40.0))
        course = Course(queued=self.dice.uniform(0, 3), runs=takes * self.dice.uniform(0.8, 1.2))
        # The documents do not promise the id: sound weather, too.
        course = replace(course, named=roll() >= NAMELESS)
        if roll() >= self.rough.course:
            return course
        kind, changed = self.dice.choice((*self._ends(course), *self._forms(course, job)))
        self.injected[kind] += 1
        return changed

    def _ends(self, course: Course) -> Sequence[tuple[str, Course]]:
        early = self.dice.choice((5.0, 60.0, 400.0, 1000.0, 20_000.0))
        return (
            ("vendor failed", replace(course, end="failed")),
            ("failed for a reason", replace(course, end="failed for a reason")),
            ("failed for the balance", replace(course, end="failed for the balance")),
            ("vendor cancelled", replace(course, end="cancelled")),
            ("vendor lost", replace(course, end="lost")),
            ("no files", replace(course, files=0)),
            ("three files", replace(course, files=3)),
            ("output comes later", replace(course, early=early)),
            ("hidden at first", replace(course, hidden=3.0)),
            ("endless", replace(course, runs=3000.0)),
        )

    def _forms(self, course: Course, job: str) -> Sequence[tuple[str, Course]]:
        """Sound ways to say the same, which a client may not know."""
        # What another job takes as its input must have an address.
        data = "list" if job.startswith(("still", "edit")) else "data"
        return (
            *((f"not ready: {name}", replace(course, unready=how)) for name, how in UNREADY),
            ("cost comes later", replace(course, cost="late")),
            ("cost as text", replace(course, cost="text")),
            ("no cost", replace(course, cost="never")),
            ("unknown last word", replace(course, word="delivered")),
            ("output as one text", replace(course, shape="text")),
            ("output as a list", replace(course, shape="list")),
            ("output under odd keys", replace(course, shape="odd keys")),
            ("output as a data: URI", replace(course, shape=data)),
        )

    def mishap(self, kind: str, request: HttpRequest) -> Mishap:
        chance = self.rough.result if kind in ON_REQUESTS else getattr(self.rough, kind)
        takes = self.dice.uniform(0.02, 0.6)
        if request.host == FILE_HOST and self.vendor.now() < self.host_down_until:
            return self._named("file host down", _cut(0), takes, works=True)
        if kind == "submit" and len(self.vendor.submits) > self.closed_after:
            self.vendor.refused_alike.append(request.begun)
            return self._named("closed to everybody", CLOSED, takes, works=False)
        if kind == "submit" and json.loads(request.body)["prompt"] == self.silenced:
            return self._named("silence about one job", _cut(0), takes, works=True)
        if self.throttles and kind == "submit":
            self.throttles -= 1
            return self._named("burst of 429", _throttled("2"), takes, works=False)
        if self.dice.random() >= chance:
            return Mishap(change=lambda answer: replace(answer, takes=takes))
        table = {
            "submit": self._at_submit,
            "result": self._at_result,
            "status": self._at_result,
            "balance": self._at_result,
            "file": self._at_file,
            "look": self._at_look,
        }
        name, works, change = self.dice.choice(table[kind](request))
        if name == "429":
            self.throttles = self.dice.choice((0, 0, 3))
        if name == "file host down":
            self.host_down_until = self.vendor.now() + self.dice.choice((5.0, 120.0))
        return self._named(name, change, takes, works=works)

    def _named(self, name: str, change: Change, takes: float, *, works: bool) -> Mishap:
        self.injected[name] += 1

        def changed(answer: HttpAnswer) -> HttpAnswer:
            return change(replace(answer, takes=takes))

        return Mishap(works=works, blames=name in BLAMES, change=changed)

    def _at_submit(self, _: HttpRequest) -> Sequence[tuple[str, bool, Change]]:
        late = self.dice.uniform(60.5, self.dice.choice((64.0, 300.0)))
        waits = self.dice.choice(("3", "-5", "99999999", "soon", ""))
        twin = self.dice.choice(tuple(self.vendor.ledger) or ("r99999",))
        return (
            ("reset after the charge", True, _cut(0)),
            ("reset in the answer", True, _cut(40)),
            ("reset without a charge", False, _cut(0)),
            ("silence after the charge", True, _takes(inf)),
            ("silence without a charge", False, _takes(inf)),
            ("late answer", True, _takes(late)),
            ("trickle", True, lambda a: replace(a, trickle=20.0)),
            ("half a JSON", True, lambda a: replace(a, body=a.body[: len(a.body) // 2])),
            ("HTML with 200", True, lambda a: replace(a, body=b"<html>", headers=HTML)),
            ("no request id", True, lambda a: replace(a, body=b"{}")),
            ("500 after the charge", True, lambda a: replace(a, status=500, body=b"{}")),
            ("502 without a charge", False, lambda a: replace(a, status=502, body=b"<html>")),
            ("408", True, lambda a: replace(a, status=408, body=b"{}")),
            ("429", False, _throttled(waits)),
            ("no balance", False, _error(402, 400002)),
            ("200 with error_code", False, _error(200, 400002)),
            ("input refused", False, _error(422, 422)),
            ("redirect", False, _redirect(307, "https://thief.example/v1")),
            ("a twin's id", False, _body({"request_id": twin})),
            ("202", True, lambda a: replace(a, status=202)),
            ("submit answered twice", True, self._twice()),
            ("a gateway's page", False, _page(self.dice.choice((403, 409, 422, 404)))),
            ("no funds", False, _error(self.dice.choice((400, 402, 200)), 10001)),
            ("402 and no more", False, lambda a: replace(a, status=402, body=b"")),
            ("detail of the input", False, _detail(self.dice.choice(("detail", "error_message")))),
            ("refused by an unknown code", False, CLOSED),
        )

    def _twice(self) -> Change:
        after = self.dice.choice((0.0, 0.01, 0.5))
        return lambda answer: replace(answer, again=after)

    def _at_result(self, request: HttpRequest) -> Sequence[tuple[str, bool, Change]]:
        return (
            ("look answered twice", True, self._twice()),
            ("page at a look", True, _page(self.dice.choice((403, 404, 409, 422, 425)))),
            ("refused at a look", True, _error(self.dice.choice((403, 409, 422, 425)), 0)),
            ("not ready at a look", True, _error(self.dice.choice((200, 400)), 400005)),
            ("another's document", True, self._of_another(request)),
            ("502 at a look", True, lambda a: replace(a, status=502, body=b"x")),
            ("429 at a look", True, _throttled("1")),
            ("HTML at a look", True, lambda a: replace(a, body=b"<html>", headers=HTML)),
            ("reset at a look", True, _cut(10)),
            ("silence at a look", True, _takes(inf)),
            ("odd word", True, _body({"status": "dreaming"})),
            ("backwards", True, _body({"status": "in_queue", "queue_position": -3})),
            ("redirect at a look", True, _redirect(302, "https://thief.example/")),
        )

    def _of_another(self, request: HttpRequest) -> Change:
        if request.host != API_HOST:
            return _cut(0)

        def crossed(answer: HttpAnswer) -> HttpAnswer:
            other = self.vendor.other_than(request)
            return replace(answer, status=other.status, body=other.body)

        return crossed

    def _at_file(self, request: HttpRequest) -> Sequence[tuple[str, bool, Change]]:
        return (
            ("expired URL", True, self._expire(request)),
            ("short body", True, lambda a: replace(a, body=a.body[:30], claims=len(a.body))),
            ("reset in a file", True, lambda a: replace(a, cut=150)),
            ("wrong bytes", True, lambda a: replace(a, body=a.body[:40] + b"x" * 20)),
            ("HTML for a file", True, lambda a: replace(a, body=b"<html>", headers=HTML)),
            ("empty file", True, lambda a: replace(a, body=b"")),
            ("503 for a file", True, lambda a: replace(a, status=503, body=b"")),
            ("stalled file", True, _takes(inf)),
            ("file host down", True, _cut(0)),
            ("a byte a second", True, lambda a: replace(a, drip=self.dice.choice((1.0, 30.0)))),
            ("redirect of a file", True, _redirect(302, "https://thief.example/x.png")),
            ("redirect inside", True, _redirect(302, f"https://169.254.169.254{request.path}")),
        )

    def _at_look(self, request: HttpRequest) -> Sequence[tuple[str, bool, Change]]:
        result = request.host == FILE_HOST
        gone = self._expire(request, 410) if result else lambda a: replace(a, status=404, body=b"")
        return (
            ("expired URL of an input" if result else "input not found", True, gone),
            ("503 for an input", True, lambda a: replace(a, status=503, body=b"")),
            ("HTML for an input", True, lambda a: replace(a, status=200, body=b"<html>")),
            ("half an input", True, lambda a: replace(a, body=a.body[:20], claims=len(a.body))),
            ("reset at an input", True, _cut(0)),
            ("silence at an input", True, _takes(inf)),
            ("redirect inside for an input", True, _redirect(302, "https://169.254.169.254/x.png")),
        )

    def _expire(
        self, request: HttpRequest, status: int = 403
    ) -> Callable[[HttpAnswer], HttpAnswer]:
        def expired(answer: HttpAnswer) -> HttpAnswer:
            self.vendor.ledger[request.path.split("/")[1]].turn += 1
            return replace(answer, status=status, body=b"")

        return expired

    def trip(self, _kind: str) -> Trip:
        latency = self.dice.uniform(0.005, 0.08)
        if self.dice.random() >= self.rough.line:
            return Trip(latency=latency)
        self.injected["reset on the way out"] += 1
        return Trip(lost=True, latency=latency)

    def reaching(self) -> tuple[float, OSError | None]:
        if self.dice.random() >= self.rough.line:
            return 0.01, None
        self.injected["no connection"] += 1
        return self.dice.choice(((0.01, REFUSED), (30.0, None), (0.3, None)))

    def resolving(self, host: str) -> str:
        """A name may lead into the user's own network; only those of the vendor lead anywhere."""
        if self.dice.random() < self.rough.line:
            self.injected["no DNS"] += 1
            return ""
        if host == FILE_HOST and self.dice.random() < self.rough.file / 4:
            self.injected["DNS rebinding"] += 1
            return "192.168.1.1"
        return "8.8.4.4" if host in {API_HOST, WALLET_HOST, FILE_HOST} else "8.8.8.8"

    def disk_fault(self, operation: str, role: str) -> int:
        # The spare receipts are the last resort: were they to fail as well, nothing could help.
        if role == "receipts.jsonl" or self.dice.random() >= self.rough.disk:
            return 0
        if operation == "fsync":
            self.injected["fsync fails"] += 1
            return errno.EIO
        if operation == "write" and role != "run.log":
            self.injected["disk full"] += 1
            return errno.ENOSPC
        return 0


def _cut(at: int) -> Callable[[HttpAnswer], HttpAnswer]:
    return lambda answer: replace(answer, cut=at)


def _takes(seconds: float) -> Callable[[HttpAnswer], HttpAnswer]:
    return lambda answer: replace(answer, takes=seconds)


def _body(fields: dict[str, object]) -> Callable[[HttpAnswer], HttpAnswer]:
    return lambda answer: replace(answer, status=200, body=json.dumps(fields).encode())


def _error(status: int, code: int) -> Callable[[HttpAnswer], HttpAnswer]:
    body = json.dumps({"error_code": code, "message": "refused"}).encode()
    return lambda answer: replace(answer, status=status, body=body)


def _redirect(status: int, to: str) -> Callable[[HttpAnswer], HttpAnswer]:
    return lambda answer: replace(answer, status=status, body=b"", headers=(("Location", to),))


def _throttled(after: str) -> Callable[[HttpAnswer], HttpAnswer]:
    return lambda answer: replace(answer, status=429, body=b"{}", headers=(("Retry-After", after),))


def _page(status: int) -> Callable[[HttpAnswer], HttpAnswer]:
    return lambda answer: replace(answer, status=status, body=b"<html>blocked", headers=HTML)


def _detail(key: str) -> Callable[[HttpAnswer], HttpAnswer]:
    detail = [{"loc": ["body", "prompt"], "msg": "is too rude"}]
    body = json.dumps({"error_code": 422001, key: detail}).encode()
    return lambda answer: replace(answer, status=422, body=body)


def _unready(http: int, /, **fields: object) -> HttpAnswer:
    return HttpAnswer(http, json.dumps(fields).encode())


CLOSED = _error(400, 499999)
"""A refusal of no known code: nothing is wrong with the one job that meets it."""

UNREADY: Sequence[tuple[str, HttpAnswer]] = (
    ("400005", _unready(400, error_code=400005, error_message="not completed yet")),
    ("200 with 400005", _unready(200, code=400005, message="not completed yet")),
    ("409", _unready(409, detail="the request is running")),
    ("422", _unready(422, detail=[{"loc": ["path", "id"], "msg": "not finished"}])),
    ("403", _unready(403, error_code=403003, message="not yet")),
    ("page with 403", HttpAnswer(403, b"<html>blocked", HTML)),
    ("page with 425", HttpAnswer(425, b"<html>too early", HTML)),
    ("waiting", _unready(200, status="waiting")),
    ("starting", _unready(200, status="starting")),
)
"""How the result of a request may read as long as it has not ended."""
