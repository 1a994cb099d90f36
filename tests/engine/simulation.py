"""A whole run on a virtual clock: the real engine on a real state file, and a simulated vendor."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from batchgen.engine.events import Event, JobMoved
from batchgen.engine.policy import EnginePolicy
from batchgen.engine.ports import Account, DiskUsage, OwnFiles, Ports, RecoveryEntry
from batchgen.engine.scheduler import RunEnd, Scheduler
from batchgen.jobs import Job, JobState, JsonValue, canonical_json
from batchgen.state import manual_actions, queries
from batchgen.state.database import open_for_writing
from batchgen.state.queries import Selection
from batchgen.state.store import Store
from batchgen.state.writer import Writer
from tests.engine.simulated_inputs import SimulatedInputs
from tests.engine.simulated_vendor import PRICE, Habits, Line, Vendor
from tests.engine.virtual_loop import InlineExecutor, VirtualLoop
from tests.state.state_world import State

EPOCH = 1_700_000_000.0
"""What the wall clock shows when the virtual one shows 0."""

DISK_SIZE = 10**12

T2I = "vendor/text-to-image"
EDIT = "vendor/edit"
I2V = "vendor/image-to-video"
MODELS = (T2I, EDIT, I2V)


@dataclass(slots=True)
class OnePrice:
    usd: float | None = PRICE

    def price(self, model: str, body: str) -> float | None:
        return self.usd


@dataclass(slots=True)
class Disk:
    """`left` gives the free bytes, or raises what a bad disk raises. `checks` are loop times."""

    left: Callable[[], int] = lambda: DISK_SIZE
    checks: list[float] = field(default_factory=list)

    async def usage(self) -> DiskUsage:
        self.checks.append(asyncio.get_running_loop().time())
        return DiskUsage(self.left(), DISK_SIZE, "files")


class RecoveryLog:
    def __init__(self) -> None:
        self.entries: list[RecoveryEntry] = []

    def record(self, entry: RecoveryEntry) -> None:
        self.entries.append(entry)


@dataclass(slots=True)
class Process:
    """One life of the program. `events` are what it told, each with the loop's time."""

    db: sqlite3.Connection
    store: Store
    line: Line
    scheduler: Scheduler
    recovery_log: RecoveryLog
    models: list[str]
    events: list[tuple[float, Event]]
    end: RunEnd | None = None

    def moves(self, state: JobState) -> list[tuple[float, JobMoved]]:
        return [
            (at, event)
            for at, event in self.events
            if isinstance(event, JobMoved) and event.state is state
        ]

    def emitted(self, kind: type[Event]) -> list[tuple[float, Any]]:
        return [(at, event) for at, event in self.events if isinstance(event, kind)]


@dataclass(slots=True)
class World:
    """A folder, a vendor, a disk and a clock that outlive each process.

    `inputs` are the servers of input images; None: not probed. `approvals` are the jobs that a
    person approved, with the time. `wall_jump`: by how much the wall clock is ahead of the loop's,
    at a loop's time.
    """

    folder: Path
    policy: EnginePolicy = field(default_factory=lambda: EnginePolicy(concurrency=8))
    vendor: Vendor = field(default_factory=Vendor)
    disk: Disk = field(default_factory=Disk)
    wall_jump: Callable[[float], float] = lambda _now: 0.0
    seed: int = 0
    price: float | None = PRICE
    now: float = 0.0
    lives: list[Process] = field(default_factory=list)
    inputs: SimulatedInputs | None = None
    own_files: OwnFiles | None = None
    account: Account | None = None
    approvals: dict[str, float] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    on_event: Callable[[Event], None] = lambda _event: None

    @property
    def state(self) -> Path:
        return self.folder / f"state{len(self.lives)}.db"

    def add_jobs(self, jobs: Iterable[tuple[str, str]]) -> None:
        """`jobs` are `(model, id)`."""
        self.add(job(model, job_id) for model, job_id in jobs)

    def add(self, jobs: Iterable[Job]) -> None:
        with closing(open_for_writing(self.state)) as db:
            State(self.state, db).merge(jobs)

    def live(self, *scripts: Callable[[Process], Awaitable[object]]) -> RunEnd:
        """One process to its end; `scripts` run beside it, and what is left of them is dropped."""
        loop, process, main = self._begin(scripts)
        try:
            return loop.run_until_complete(main)
        finally:
            self._leave(loop, process)

    def crash(self, after: float) -> int:
        """A process that dies after `after` seconds; how many submits were on the wire."""
        loop, process, main = self._begin(())
        loop.call_later(after, loop.stop)
        loop.run_forever()
        process.line.cut()
        on_wire = process.line.on_wire.total()
        # What the disk has at this moment is all that the next life gets.
        before = self.folder / f"state{len(self.lives) - 1}.db"
        for end in ("", "-wal"):
            shutil.copy(f"{before}{end}", f"{self.state}{end}")
        moment = loop.time()
        if not main.done():
            main.cancel()
        loop.run_until_complete(asyncio.wait({main}))
        self._leave(loop, process)
        self.now = moment
        return on_wire

    def _begin(
        self, scripts: Iterable[Callable[[Process], Awaitable[object]]]
    ) -> tuple[VirtualLoop, Process, asyncio.Task[RunEnd]]:
        loop = VirtualLoop(self.now)
        process = self._start(loop)

        async def run() -> RunEnd:
            beside = [asyncio.ensure_future(script(process)) for script in scripts]
            try:
                process.end = await process.scheduler.run(process.models)
            finally:
                for one in beside:
                    one.cancel()
                for end in await asyncio.gather(*beside, return_exceptions=True):
                    if isinstance(end, AssertionError):
                        raise end
            return process.end

        return loop, process, loop.create_task(run(), name="main")

    def _start(self, loop: VirtualLoop) -> Process:
        db = open_for_writing(self.state)
        db.execute("PRAGMA synchronous = OFF")
        manual_actions.settle_dead_run(db, EPOCH + self.now)
        manual_actions.reopen(db)
        if self.policy.resubmits:
            manual_actions.resubmit_all(db, self.policy.resubmits, EPOCH + self.now)
        writer = Writer(db, self.state, InlineExecutor(), gathering=0.0)
        store = Store(writer, lambda: EPOCH + loop.time() + self.wall_jump(loop.time()))
        line, recovery_log = Line(self.vendor), RecoveryLog()
        events: list[tuple[float, Event]] = []

        def listen(event: Event) -> None:
            events.append((loop.time(), event))
            self.on_event(event)

        dice = Random(self.seed)
        ports = Ports(
            line,
            store,
            line,
            OnePrice(self.price),
            recovery_log,
            dice,
            self.disk,
            self.inputs,
            own_files=self.own_files,
            account=self.account,
        )
        scheduler = Scheduler(ports, self.policy, self.selection, listen)
        models = queries.pending_models(db)
        process = Process(db, store, line, scheduler, recovery_log, models, events)
        self.lives.append(process)
        return process

    def _leave(self, loop: VirtualLoop, process: Process) -> None:
        """The next life finds the state under a new name, as it was left here."""
        self.now = loop.time()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        process.db.close()
        before = self.folder / f"state{len(self.lives) - 1}.db"
        if not self.state.exists():
            shutil.copy(before, self.state)

    def approve(self, *jobs: str) -> None:
        """Between two lives."""
        for one in jobs:
            assert self.change(manual_actions.approve, one, EPOCH + self.now) is None
            self.approvals[one] = self.now

    def change(self, change: Callable[..., Any], name: str, *values: object) -> Any:
        """A person's word about a job, between two lives."""
        with closing(open_for_writing(self.state)) as db:
            (seq,) = db.execute("SELECT seq FROM job WHERE id = ?", (name,)).fetchone()
            return change(db, seq, *values)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.state)) as db:
            return db.execute(sql, values).fetchall()

    def states(self) -> dict[str, str]:
        return dict(self.query("SELECT id, state FROM job"))

    def error(self, job: str) -> str:
        ((code,),) = self.query("SELECT error_code FROM job WHERE id = ?", job)
        return str(code)


def job(model: str, job_id: str, *references: str, **more: Any) -> Job:
    """One job; `references` are the URLs that stand in its input, `more` is of Job."""
    body: dict[str, JsonValue] = {"job": job_id}
    if references:
        body["images"] = list(references)
    return Job(job_id, model, canonical_json(body), job_id, **more)


def one_model(world: World, count: int, model: str = T2I) -> list[str]:
    """Jobs `a000`, `a001`, … of one model, added to the world."""
    names = [f"a{number:03}" for number in range(count)]
    world.add_jobs((model, name) for name in names)
    return names


def with_policy(world: World, **changes: Any) -> None:
    world.policy = replace(world.policy, **changes)


def with_habits(world: World, **habits: Any) -> None:
    world.vendor.habits = Habits(**habits)


def job_of(url: str) -> str:
    return url.split("/")[3]
