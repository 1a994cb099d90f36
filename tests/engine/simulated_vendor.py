"""A vendor and its file store on the loop's clock, with a ledger that a judge can read."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from batchgen.downloads.adopt import SourceGone
from batchgen.downloads.embedding import Provenance
from batchgen.downloads.outcomes import Fetched, FetchOutcome, VerifiedFile
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import (
    Accepted,
    Cancelled,
    CancelOutcome,
    Ended,
    Failed,
    Missing,
    NotSent,
    Queued,
    ResultOutcome,
    Running,
    StatusOutcome,
    SubmitOutcome,
    Succeeded,
)
from batchgen.runcomfy.upload import BeforeLast
from batchgen.storage.locations import Location

PRICE = 0.05


@dataclass(frozen=True, slots=True)
class Reply:
    """What becomes of a submit after `takes` seconds (`inf`: no answer ever).

    No `outcome`: accepted. `charged`: there is a request, whatever the outcome says of it.
    `uploads`: seconds until the whole body has gone out, after which `takes` is counted.
    """

    outcome: SubmitOutcome | None = None
    takes: float = 0.1
    charged: bool = True
    uploads: float = 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """How a request goes: seconds in the queue, seconds at work, its end and number of files.

    `hidden`: seconds for which the vendor says 404. The first `videos` of the files are videos.
    `files_after`: seconds after its end until a result names them. `cost_after`: so many results
    of the ended request do not tell the cost.
    """

    queued: float = 1.0
    runs: float = 4.0
    end: JobState = JobState.DONE
    files: int = 1
    hidden: float = 0.0
    videos: int = 0
    files_after: float = 0.0
    cost_after: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What becomes of a download after `takes` seconds. No `outcome`: the file arrives."""

    outcome: FetchOutcome | None = None
    takes: float = 0.2


@dataclass(slots=True)
class Habits:
    """How the vendor behaves: functions of a model and a job, or of a request or a URL."""

    reply: Callable[[str, str], Reply] = lambda _model, _job: Reply()
    course: Callable[[str, str], Course] = lambda _model, _job: Course()
    result: Callable[[Request], ResultOutcome | None] = lambda _request: None
    status: Callable[[Request], StatusOutcome | None] = lambda _request: None
    delivery: Callable[[str], Delivery] = lambda _url: Delivery()
    result_takes: Callable[[Request], float] = lambda _request: 0.02


@dataclass(slots=True)
class Request:
    """One charge. `known`: the caller got its id. `left`: the caller has let it go."""

    id: str
    job: str
    model: str
    accepted_at: float
    course: Course
    known: bool = False
    left: bool = False
    cancelled_at: float = inf
    polls: list[float] = field(default_factory=list)
    status_polls: list[float] = field(default_factory=list)
    results_given: int = 0

    @property
    def starts(self) -> float:
        return self.accepted_at + self.course.queued

    @property
    def ends(self) -> float:
        return min(self.starts + self.course.runs, self.cancelled_at)


@dataclass(slots=True)
class Vendor:
    """Outlives the processes that talk to it. `ledger` has every charge by its request id.

    `posts` are `(time, model, job)`, `bodies` are `(time, job, body)` of every submit; `polls` are
    the times of all polls.
    """

    habits: Habits = field(default_factory=Habits)
    ledger: dict[str, Request] = field(default_factory=dict)
    posts: list[tuple[float, str, str]] = field(default_factory=list)
    bodies: list[tuple[float, str, str]] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    peak: Counter[str] = field(default_factory=Counter)
    busy: list[tuple[float, str, Counter[str]]] = field(default_factory=list)
    renewed: Counter[str] = field(default_factory=Counter)

    def charge(self, model: str, job: str, at: float) -> Request:
        request = Request(f"r{len(self.ledger):05}", job, model, at, self.habits.course(model, job))
        self.ledger[request.id] = request
        return request

    def charges(self, job: str) -> list[Request]:
        return [request for request in self.ledger.values() if request.job == job]

    def in_flight(self, now: float) -> Counter[str]:
        """By model: requests that the caller knows of, and that have not ended."""
        return Counter(
            request.model
            for request in self.ledger.values()
            if request.known and not request.left and request.ends > now
        )

    def state(self, request: Request, now: float) -> ResultOutcome:
        if now < request.accepted_at + request.course.hidden:
            return Missing("not found")
        if now < request.ends:
            return Queued(1) if now < request.starts else Running()
        if request.cancelled_at <= request.ends:
            return Cancelled(0.0, "{}")
        match request.course.end:
            case JobState.DONE:
                return self._success(request, now)
            case JobState.CANCELLED:
                return Cancelled(0.0, "{}")
            case JobState.LOST:
                return Missing("expired")
            case _:
                return Failed("model_error", "the model failed", PRICE, "{}")

    def _success(self, request: Request, now: float) -> ResultOutcome:
        request.results_given += 1
        late = now < request.ends + request.course.files_after
        cost = PRICE if request.results_given > request.course.cost_after else None
        return Succeeded(() if late else self.urls(request), cost, "{}")

    def urls(self, request: Request) -> tuple[str, ...]:
        turn = self.renewed[request.id]
        return tuple(
            f"https://cdn.test/{request.job}/{request.id}/{number}"
            f"{'.mp4' if number < request.course.videos else ''}?turn={turn}"
            for number in range(request.course.files)
        )


class Line:
    """One process's connection to the vendor: the engine's ports `api` and `files`.

    Cut it, and what is on the wire goes on without an answer.
    """

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.on_wire: Counter[str] = Counter()
        self.posted: list[tuple[float, str]] = []
        self.sent: list[tuple[float, str]] = []
        self.fetched: list[tuple[float, str]] = []
        self._cut = False

    def cut(self) -> None:
        self._cut = True

    async def submit(self, model: str, body: str, before_last: BeforeLast) -> SubmitOutcome:
        job = json.loads(body)["job"]
        self.vendor.posts.append((_now(), model, job))
        self.vendor.bodies.append((_now(), job, body))
        self.posted.append((_now(), model))
        self.sent.append((_now(), job))
        self.on_wire[model] += 1
        self._note_peak(model)
        try:
            reply = self.vendor.habits.reply(model, job)
            if reply.uploads:
                await self._pass(reply.uploads)
            try:
                await before_last()
            except BatchgenError:
                return NotSent("the rest of the input was withheld")
            return await self._answer(reply, model, job)
        finally:
            self.on_wire[model] -= 1

    async def _answer(self, reply: Reply, model: str, job: str) -> SubmitOutcome:
        outcome = reply.outcome
        await self._pass(min(0.05, reply.takes))
        request = None
        if reply.charged and (outcome is None or not isinstance(outcome, Accepted)):
            request = self.vendor.charge(model, job, _now())
        await self._pass(max(0.0, reply.takes - 0.05))
        if outcome is None:
            assert request is not None
            request.known = True
            return Accepted(request.id, json.dumps({"request_id": request.id}))
        if isinstance(outcome, Accepted):
            # An id that two jobs have is held, so its place is free though the vendor works on.
            self.vendor.ledger[outcome.request_id].left = True
        return outcome

    async def result(self, request_id: str) -> ResultOutcome:
        request = self.vendor.ledger[request_id]
        self.vendor.polls.append(_now())
        await self._pass(self.vendor.habits.result_takes(request))
        request.polls.append(_now())
        special = self.vendor.habits.result(request)
        return special or self.vendor.state(request, _now())

    async def status(self, request_id: str) -> StatusOutcome:
        await self._pass(0.02)
        request = self.vendor.ledger[request_id]
        request.status_polls.append(_now())
        special = self.vendor.habits.status(request)
        found = special or self.vendor.state(request, _now())
        return Ended() if isinstance(found, Succeeded) else found

    async def cancel(self, request_id: str) -> CancelOutcome:
        await self._pass(0.02)
        request = self.vendor.ledger[request_id]
        request.left = True
        if _now() < request.starts:
            request.cancelled_at = _now()
            return CancelOutcome.CANCELLED
        return CancelOutcome.NOT_CANCELLABLE

    async def fetch(
        self, url: str, name: str, _provenance: Provenance, *, request: str, is_new: bool
    ) -> FetchOutcome:
        assert not (is_new and url in {earlier for _, earlier in self.fetched})
        delivery = self.vendor.habits.delivery(url)
        await self._pass(delivery.takes)
        self.fetched.append((_now(), url))
        kind, seconds = ("video/mp4", 5.0) if ".mp4" in url else ("image/png", None)
        file = VerifiedFile(f"files/{name}.png", 9, "ab" * 32, kind, 8, 8, seconds, 1)
        return delivery.outcome or Fetched(file)

    async def adopt(
        self, source: Location, expected: VerifiedFile, name: str
    ) -> Fetched | SourceGone:
        return SourceGone("no other run is simulated")

    async def _pass(self, seconds: float) -> None:
        await (asyncio.sleep(seconds) if seconds < inf else asyncio.Event().wait())
        if self._cut:
            await asyncio.Event().wait()

    def _note_peak(self, model: str) -> None:
        busy = self.vendor.in_flight(_now()) + self.on_wire
        busy["all"] = busy.total()
        self.vendor.peak |= busy
        self.vendor.busy.append((_now(), model, busy))


def _now() -> float:
    return asyncio.get_running_loop().time()
