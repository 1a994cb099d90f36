"""One life of a night: the whole program, `execute` and all below it, and how it is ended.

By itself, by its death at a numbered point, or by a loss of power there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from batchgen.engine.events import JobMoved
from batchgen.errors import BatchgenError, LockedError
from batchgen.runs import decisions, startup
from batchgen.runs.context import World
from batchgen.runs.execute import execute
from tests.simulation.bucket_client import use_results
from tests.simulation.findings import Finding
from tests.simulation.loop import SimulationLoop
from tests.simulation.own_files import use_bucket
from tests.simulation.vendor import EPOCH, TOKEN
from tests.simulation.wire import Network

if TYPE_CHECKING:
    from batchgen.engine.events import Event
    from batchgen.runs.options import RunOptions
    from batchgen.runs.summary import Summary
    from tests.simulation.bucket import ResultBucket
    from tests.simulation.chain import Chain
    from tests.simulation.image import Image
    from tests.simulation.night import Night
    from tests.simulation.picking import Habits
    from tests.simulation.tuning import Tune


# A night has one thread: whoever holds a lock lets go of it only when the wait is over.
for module in (startup, decisions):
    vars(module)["PATIENCE"] = 0.0


class End(Enum):
    """How a life is ended from outside."""

    DEATH = "death of the process"
    POWER_LOSS = "loss of power"
    ABORT = "cancellation"


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a life is ended: at its point number `at`, or that of the kind `kind` alone."""

    at: int
    how: End = End.DEATH
    kind: str | None = None


@dataclass(slots=True)
class Life:
    """How one life went, from the time `began`. `cut_at` is the point's name where it was cut."""

    began: float = 0.0
    points: int = 0
    cut_at: str = ""
    aborted: bool = False
    on_wire: int = 0
    first_submit: int = 0
    summary: Summary | None = None
    error: BatchgenError | None = None
    labels: list[str] = field(default_factory=list)


class Process:
    """A run of the whole program in a night, from its start to its end or its cut."""

    def __init__(
        self, night: Night, life: Life, cut: Cut | None, options: RunOptions, *, aside: bool = False
    ) -> None:
        self._night = night
        self._options = options
        self._life = life
        self._cut = cut
        self._left = cut.at if cut else 0
        weather = night.weather
        number = len(night.lives)
        self._network = Network(
            night.vendor,
            self._point,
            weather.trip,
            weather.reaching,
            weather.resolving,
            photos=night.photos,
        )
        self._loop = SimulationLoop(night.now, self._network, night.dice(f"disk {number}"))
        # Of its own: a state that it makes has not the id of another one.
        self._dice = night.dice(f"engine {number}{' aside' if aside else ''}")
        self._torn = night.dice(f"tear {number}")
        self._image: Image | None = None
        self._rival: asyncio.Task[None] | None = None
        night.clock = night.vendor.now = self._loop.time
        night.vendor.waiting = self._network.waiting.values

    def run(self) -> None:
        night, life = self._night, self._life
        life.began = night.now
        life.first_submit = len(night.vendor.submits)
        night.vendor.refused_alike.clear()
        night.vendor.accepted_last = -inf
        night.vendor.life += 1
        night.disk.on_point = self._point
        with night.disk.watch(night.watched):
            self._main = self._loop.create_task(self._execute(), name="main")
            self._main.add_done_callback(self._stop)
            if night.scenario.rival_after is not None:
                self._loop.call_later(night.scenario.rival_after, self._start_rival)
            if (chain := night.scenario.chain) and chain.looks_in_after is not None:
                self._loop.call_later(chain.looks_in_after, self._look_in, chain)
            if (habits := night.scenario.habits) and habits.looks_in_after is not None:
                self._loop.call_later(habits.looks_in_after, self._judge_beside, habits)
            for tune in () if night.limits.calm else night.scenario.tunes:
                self._loop.call_later(tune.after, self._tune, tune)
            use_results(night.bucket)
            if night.bucket:
                self._use_bucket(night.bucket)
            if night.photos:
                number = len(night.lives) - 1
                use_bucket(night.photos)
                night.photos.begin_life(number, self._loop.call_later)
            self._loop.run_forever()
            night.now = self._loop.time()
            self._bury(self._main)
            self._image = None
        night.now += self._torn.uniform(0.5, 90.0)
        night.note(f"{night.now:.6f} life ended {life.cut_at or life.error or 'by itself'}")

    def _use_bucket(self, bucket: ResultBucket) -> None:
        self._loop.trip = bucket.trip
        number = len(self._night.lives) - 1
        bucket.begin_life(
            number, self._point, lambda: self._image is not None, self._loop.call_later
        )

    def _stop(self, _: object) -> None:
        if not self._network.dead:
            self._loop.stop()

    def _look_in(self, chain: Chain) -> None:
        if not self._main.done():
            self._night.person.look_in(chain)

    def _judge_beside(self, habits: Habits) -> None:
        if not self._main.done():
            self._night.picker.look_in(habits, self._life)

    def _tune(self, tune: Tune) -> None:
        if not self._main.done():
            self._night.person.tune(tune)

    async def _execute(self) -> None:
        try:
            self._life.summary = await self._run_the_command()
        except BatchgenError as exc:
            self._life.error = exc

    async def _run_the_command(self) -> Summary:
        night = self._night
        world = World(
            {"RUNCOMFY_TOKEN": TOKEN},
            night.place,
            self._wall_clock,
            self._dice,
            signals=False,
            memory=night.watched / "user",
        )
        return await execute(night.manifest, self._options, self._hear, world)

    def _start_rival(self) -> None:
        if not self._main.done():
            self._rival = self._loop.create_task(self._be_rival(), name="rival")

    async def _be_rival(self) -> None:
        """The same command once more, beside the first: it must not get in."""
        try:
            await self._run_the_command()
        except LockedError:
            return
        except BatchgenError as exc:
            # It did not even come as far as the lock.
            self._night.note(f"rival: {exc.what}")
            return
        self._night.findings.append(Finding("lock", "a second runner worked on the same state"))

    def _wall_clock(self) -> float:
        return EPOCH + self._loop.time()

    def _hear(self, event: Event) -> None:
        self._night.events += 1
        if self._image is None:
            if isinstance(event, JobMoved):
                self._night.told[event.job_id] = event.state.value
            self._night.note(f"{self._loop.time():.6f} {event!r}")

    def _point(self, label: str) -> None:
        life, night = self._life, self._night
        if self._image is not None:
            return
        life.points += 1
        life.labels.append(label)
        night.events += 1
        night.note(f"{self._loop.time():.6f} {label}")
        if self._cut is not None and self._cut.kind in {None, label}:
            self._left -= 1
            if not self._left:
                self._end(label, self._cut.how)

    def _end(self, label: str, how: End) -> None:
        if how is End.ABORT:
            self._life.aborted = True
            self._network.stopped_at = self._loop.time()
            self._loop.call_soon(self._main.cancel)
        else:
            self._die(label, how)

    def _die(self, label: str, how: End) -> None:
        """Nothing that comes after this moment reaches the disk or the vendor."""
        night, life = self._night, self._life
        life.cut_at = label
        loses_power = how is End.POWER_LOSS
        self._image = (
            night.disk.after_power_loss(self._torn) if loses_power else night.disk.after_death()
        )
        night.disk.kill()
        self._loop.stop()

    def _bury(self, main: asyncio.Task[None]) -> None:
        night = self._night
        died = self._image is not None
        on_the_way = self._network.die()
        night.findings += [Finding("trespass", one) for one in self._network.trespasses]
        if self._life.error is None:
            # A state that failed ends a life too, and the judge does not see when.
            night.findings += [Finding("hung up", one) for one in self._network.hung_up]
        self._life.on_wire = len(on_the_way) + len(self._network.waiting)
        tasks = {main, self._rival} if self._rival else {main}
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(tasks))
        if not main.cancelled() and not died and (bug := main.exception()) is not None:
            raise bug
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        night.clock = night.vendor.now = lambda: night.now
        night.vendor.waiting = lambda: ()
        for request in on_the_way:
            # What the system had taken over goes out, unless it lost its power too.
            if self._cut is None or self._cut.how is End.DEATH or self._torn.random() < 0.5:
                night.vendor.arrived_after_death(request)
        if self._image is not None:
            self._image.restore(night.watched)
