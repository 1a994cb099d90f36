"""What goes wrong, by the dice of a seed: with the network, the vendor, the files and the disk."""

from __future__ import annotations

import errno
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from tests.simulation.vendor import API_HOST, FILE_HOST, Course, Mishap
from tests.simulation.wire import HttpAnswer, HttpRequest, Trip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tests.simulation.vendor import Vendor

HTML = (("Content-Type", "text/html"),)
REFUSED = ConnectionRefusedError(111, "Connection refused")

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
    """`injected` counts the faults by their kind."""

    dice: Random
    vendor: Vendor
    rough: Roughness
    injected: Counter[str] = field(default_factory=Counter)
    throttles: int = 0

    def course(self, _job: str) -> Course:
        roll = self.dice.random
        takes = self.dice.choice((1.0, 4.0, 4.0, 9.0, 40.0))
        course = Course(queued=self.dice.uniform(0, 3), runs=takes * self.dice.uniform(0.8, 1.2))
        if roll() >= self.rough.course:
            return course
        kind, changed = self.dice.choice(
            (
                ("vendor failed", replace(course, end="failed")),
                ("vendor cancelled", replace(course, end="cancelled")),
                ("vendor lost", replace(course, end="lost")),
                ("no files", replace(course, files=0)),
                ("three files", replace(course, files=3)),
                ("hidden at first", replace(course, hidden=3.0)),
                ("endless", replace(course, runs=3000.0)),
            )
        )
        self.injected[kind] += 1
        return changed

    def mishap(self, kind: str, request: HttpRequest) -> Mishap:
        chance = getattr(self.rough, kind)
        takes = self.dice.uniform(0.02, 0.6)
        if self.throttles and kind == "submit":
            self.throttles -= 1
            return self._named("burst of 429", _throttled("2"), takes, works=False)
        if self.dice.random() >= chance:
            return Mishap(change=lambda answer: replace(answer, takes=takes))
        table = {
            "submit": self._at_submit,
            "result": self._at_result,
            "file": self._at_file,
            "look": self._at_look,
        }
        name, works, change = self.dice.choice(table[kind](request))
        if name == "429":
            self.throttles = self.dice.choice((0, 0, 3))
        return self._named(name, change, takes, works=works)

    def _named(self, name: str, change: Change, takes: float, *, works: bool) -> Mishap:
        self.injected[name] += 1

        def changed(answer: HttpAnswer) -> HttpAnswer:
            return change(replace(answer, takes=takes))

        return Mishap(works=works, change=changed)

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
        )

    def _at_result(self, _: HttpRequest) -> Sequence[tuple[str, bool, Change]]:
        return (
            ("502 at a look", True, lambda a: replace(a, status=502, body=b"x")),
            ("429 at a look", True, _throttled("1")),
            ("HTML at a look", True, lambda a: replace(a, body=b"<html>", headers=HTML)),
            ("reset at a look", True, _cut(10)),
            ("silence at a look", True, _takes(inf)),
            ("odd word", True, _body({"status": "dreaming"})),
            ("backwards", True, _body({"status": "in_queue", "queue_position": -3})),
            ("redirect at a look", True, _redirect(302, "https://thief.example/")),
        )

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
        return "8.8.4.4" if host in {API_HOST, FILE_HOST} else "8.8.8.8"

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
