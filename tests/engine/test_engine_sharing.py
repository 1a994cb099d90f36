"""Several engines on one virtual clock that share the limits of an account, from many seeds."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.events import LimitsShared, Noted, Warned
from batchgen.engine.policy import EnginePolicy
from batchgen.engine.ports import Unreached
from batchgen.engine.reserved import Holding, Reserved, window_of
from batchgen.manifest.policy import ModelPolicy
from batchgen.manifest.units import Rate
from batchgen.state import account
from batchgen.state.account import Claim, Grant, Shares
from tests.engine.simulated_vendor import Course, Habits, Vendor
from tests.engine.simulation import EDIT, EPOCH, I2V, T2I, Process, World
from tests.engine.virtual_loop import VirtualLoop

ON_THE_WIRE = 0.05
"""Seconds from a POST to the vendor's acceptance, as the simulated vendor has it."""


@dataclass
class Member:
    """A run's port to the account. A dead one says nothing more, not even that it leaves."""

    group: Group
    name: str
    is_dead: bool = False
    is_unreachable: bool = False
    reports: list[tuple[float, tuple[Claim, ...]]] = field(default_factory=list)

    async def exchange(self, claims: Sequence[Claim], now: float) -> Shares | Unreached:
        await asyncio.sleep(0.003)
        if self.is_unreachable:
            return Unreached("disk full")
        self.reports.append((now, tuple(claims)))
        return account.exchange(self.group.db, self.name, claims, now, self.group.is_alive)

    async def leave(self, claims: Sequence[Claim], now: float) -> None:
        if not (self.is_dead or self.is_unreachable):
            account.leave(self.group.db, self.name, claims, now)


@dataclass
class Run:
    """`at` it starts, in seconds; `killed` and `tuned` come so much later."""

    world: World
    member: Member
    at: float = 0.0
    killed: float = inf
    scripts: tuple[Callable[[Process], Any], ...] = ()
    ended: float = inf


@dataclass
class Group:
    """Runs of one account, with one vendor."""

    folder: Path
    db: sqlite3.Connection
    vendor: Vendor = field(default_factory=Vendor)
    runs: dict[str, Run] = field(default_factory=dict)

    def is_alive(self, name: str) -> bool:
        return not self.runs[name].member.is_dead

    def add(self, name: str, jobs: int | dict[str, int], at: float = 0.0, **policy: Any) -> Run:
        folder = self.folder / name
        folder.mkdir()
        member = Member(self, name)
        world = World(folder, EnginePolicy(**policy), self.vendor, account=member)
        by_model = {T2I: jobs} if isinstance(jobs, int) else jobs
        world.add_jobs(
            (model, f"{name}-{model[-5:]}{number}")
            for model, count in by_model.items()
            for number in range(count)
        )
        self.runs[name] = Run(world, member, at)
        return self.runs[name]

    def work(self) -> None:
        loop = VirtualLoop()

        async def everybody() -> None:
            async with asyncio.TaskGroup() as group:
                for run in self.runs.values():
                    group.create_task(_live(run, loop))

        try:
            loop.run_until_complete(everybody())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            for run in self.runs.values():
                run.world.lives[0].db.close()
                shutil.copy(run.world.folder / "state0.db", run.world.state)

    def process(self, name: str) -> Process:
        return self.runs[name].world.lives[0]

    def in_flight(self) -> list[tuple[float, str, str]]:
        """At the time of each POST, all requests that runs which live have in flight."""
        spans = []
        for one in self.vendor.ledger.values():
            run = self.runs[one.job.split("-")[0]]
            over = min(one.ends, run.at + run.killed)
            spans.append((one.accepted_at - ON_THE_WIRE, over, one.model, one.job))
        return [
            (start, model, job)
            for start in {start for start, _, _, _ in spans}
            for began, over, model, job in spans
            if began <= start + 1e-9 < over
        ]

    def most_at_once(self, model: str = "", since: float = 0.0, until: float = inf) -> int:
        counts: dict[float, int] = {}
        for at, one, _ in self.in_flight():
            if since <= at < until and model in ("", one):
                counts[at] = counts.get(at, 0) + 1
        return max(counts.values(), default=0)

    def most_in(self, seconds: float, model: str = "") -> int:
        times = sorted(at for at, one, _ in self.vendor.posts if model in ("", one))
        return max(sum(at <= one < at + seconds - 1e-6 for one in times) for at in times)

    def all_done(self, *names: str) -> None:
        for name in names or self.runs:
            assert set(self.runs[name].world.states().values()) == {"done"}, name

    def submits(self, name: str, since: float = 0.0, until: float = inf) -> int:
        whose = f"{name}-"
        return sum(
            since <= at < until and job.startswith(whose) for at, _, job in self.vendor.posts
        )


async def _live(run: Run, loop: VirtualLoop) -> None:
    await asyncio.sleep(run.at)
    process = run.world._start(loop)
    main = asyncio.ensure_future(process.scheduler.run(process.models))
    scripts = [asyncio.ensure_future(script(process)) for script in run.scripts]
    await asyncio.wait({main}, timeout=None if run.killed == inf else run.killed)
    run.ended = loop.time()
    if not main.done():
        run.member.is_dead = True
        process.line.cut()
        main.cancel()
        await asyncio.wait({main})
    else:
        process.end = main.result()
    for script in scripts:
        script.cancel()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    with grouped(tmp_path) as group:
        yield group


@contextmanager
def grouped(folder: Path) -> Iterator[Group]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        account.create(db)
        yield Group(folder, db)


def taking(group: Group, seconds: float) -> None:
    group.vendor.habits = Habits(course=lambda *_: Course(queued=0.0, runs=seconds))


def test_two_runs_use_all_places_together_and_never_more(group: Group) -> None:
    taking(group, 10.0)
    for name in ("a", "b"):
        group.add(name, 60, concurrency=8)
    group.work()
    group.all_done()
    assert group.most_at_once() == 8
    ended = [run.ended for run in group.runs.values()]
    # 120 requests of 10 s in 8 places: 150 s, and what it takes to notice their ends.
    assert 150.0 < max(ended) < 175.0
    assert max(ended) - min(ended) < 25.0


def test_the_second_run_gets_its_share_as_requests_of_the_first_end(group: Group) -> None:
    taking(group, 10.0)
    group.add("a", 200, concurrency=12)
    group.add("b", 40, at=35.0, concurrency=12)
    group.work()
    group.all_done()
    assert group.most_at_once() == 12
    assert 0 < group.submits("b", until=50.0) <= 6
    # Then each has six, and the first has all again once the second is done.
    assert abs(group.submits("a", 60.0, 90.0) - group.submits("b", 60.0, 90.0)) <= 6
    after = group.runs["b"].ended + 15.0
    assert group.submits("a", after, after + 50.0) >= 45


def test_a_run_that_needs_little_leaves_the_rest_to_the_other(group: Group) -> None:
    taking(group, 10.0)
    group.add("a", 150, concurrency=10)
    group.add("b", 20, concurrency=10, models={T2I: ModelPolicy(rate=Rate(6, 60.0))})
    group.work()
    group.all_done()
    assert group.most_at_once() <= 10


def test_a_killed_run_gives_its_places_to_the_others(group: Group) -> None:
    taking(group, 10.0)
    group.add("a", 100, concurrency=8).killed = 42.0
    group.add("b", 100, concurrency=8)
    group.work()
    group.all_done("b")
    assert group.submits("b", 20.0, 40.0) in range(7, 11)
    assert group.submits("b", 45.0, 65.0) in range(14, 18)
    assert group.most_at_once() == 8


def test_the_strictest_limits_of_the_runs_that_live_count(group: Group) -> None:
    taking(group, 5.0)
    group.add("a", 150, concurrency=20)
    strict = group.add("b", 20, at=30.0, concurrency=4)
    group.work()
    group.all_done()
    assert group.most_at_once(since=strict.at + 6.0) >= 10
    later = [at for at, _, _ in group.in_flight() if strict.at + 6.0 < at < strict.ended]
    assert max(map(later.count, later)) <= 4


def test_a_limit_of_a_model_is_shared_too(group: Group) -> None:
    taking(group, 5.0)
    group.add("a", {T2I: 40, I2V: 20}, concurrency=12, models={I2V: ModelPolicy(concurrency=2)})
    group.add("b", {EDIT: 40, I2V: 20}, concurrency=12)
    group.work()
    group.all_done()
    # Only the first run declares it.
    assert group.most_at_once(I2V, until=group.runs["a"].ended) == 2
    assert group.most_at_once() == 12


@pytest.mark.parametrize("rate", [Rate(60, 60.0), Rate(1, 10.0), Rate(2, 1.0), Rate(6, 60.0)])
def test_a_rate_is_shared_to_the_last_submit(group: Group, rate: Rate) -> None:
    taking(group, 1.0)
    for name in ("a", "b", "c"):
        group.add(name, 40 if rate.interval < 5 else 8, concurrency=50, rate=rate)
    group.work()
    group.all_done()
    assert group.most_in(rate.seconds) <= rate.count
    jobs = len(group.vendor.posts)
    assert max(at for at, _, _ in group.vendor.posts) < 1.25 * jobs * rate.interval + 10.0


def test_a_new_run_waits_until_the_rate_that_another_used_has_rested(group: Group) -> None:
    taking(group, 1.0)
    group.add("a", 30, concurrency=50, rate=Rate(10, 60.0))
    group.add("b", 10, at=20.0, concurrency=50, rate=Rate(10, 60.0))
    group.work()
    group.all_done()
    assert group.most_in(60.0) <= 10


def test_after_a_kill_the_rate_rests_too(group: Group) -> None:
    taking(group, 1.0)
    group.add("a", 100, concurrency=50, rate=Rate(60, 60.0)).killed = 21.5
    group.add("b", 60, concurrency=50, rate=Rate(60, 60.0))
    group.work()
    group.all_done("b")
    assert group.most_in(20.0) <= 20


def test_one_place_goes_around(group: Group) -> None:
    taking(group, 5.0)
    for name in ("a", "b", "c"):
        group.add(name, 8, concurrency=1)
    group.work()
    group.all_done()
    assert group.most_at_once() == 1
    ended = [run.ended for run in group.runs.values()]
    assert max(ended) - min(ended) < 30.0
    assert max(ended) < 24 * 8.0


def test_runs_that_need_two_limits_never_wait_for_each_other(group: Group) -> None:
    """Each keeps some of the rate while it waits for the only place of the model."""
    taking(group, 4.0)
    for name in ("a", "b", "c", "d", "e"):
        models = {I2V: ModelPolicy(concurrency=1)}
        group.add(name, {T2I: 2, I2V: 6}, concurrency=5, rate=Rate(30, 60.0), models=models)
    group.work()
    group.all_done()
    assert group.most_at_once(I2V) == 1
    assert max(run.ended for run in group.runs.values()) < 30 * 7.0


def test_auto_stays_within_what_is_reserved(group: Group) -> None:
    taking(group, 5.0)
    group.add("a", 120)
    group.add("b", 60, concurrency=6)
    group.work()
    group.all_done()
    later = [at for at, _, _ in group.in_flight() if 6.0 < at < group.runs["b"].ended]
    assert max(map(later.count, later)) <= 6


def test_what_is_tuned_counts_for_all(group: Group) -> None:
    taking(group, 5.0)

    async def tune(process: Process) -> None:
        await asyncio.sleep(30.0)
        policy = replace(process.scheduler._context.policy, concurrency=3)
        process.scheduler.retune(policy, EPOCH + 30.0)

    group.add("a", 100, concurrency=12).scripts = (tune,)
    group.add("b", 40, concurrency=12)
    group.work()
    group.all_done()
    both = min(run.ended for run in group.runs.values())
    later = [at for at, _, _ in group.in_flight() if 38.0 < at < both]
    assert max(map(later.count, later)) == 3


def test_a_run_without_the_file_warns_once_and_has_its_own_limits(group: Group) -> None:
    taking(group, 5.0)
    group.add("a", 40, concurrency=4).member.is_unreachable = True
    group.work()
    group.all_done()
    assert group.most_at_once() == 4
    (warned,) = [one.text for _, one in group.process("a").emitted(Warned)]
    assert warned.startswith("limits cannot be shared with other runs: disk full;")


def test_a_file_that_fails_for_a_moment_changes_nothing(group: Group) -> None:
    taking(group, 5.0)

    async def fail(_process: Process) -> None:
        await asyncio.sleep(20.0)
        group.runs["a"].member.is_unreachable = True
        await asyncio.sleep(30.0)
        group.runs["a"].member.is_unreachable = False

    group.add("a", 60, concurrency=6).scripts = (fail,)
    group.add("b", 60, concurrency=6)
    group.work()
    group.all_done()
    assert group.most_at_once() == 6
    assert group.process("a").emitted(Warned) == []


def test_people_see_with_how_many_runs_the_limits_are_shared(group: Group) -> None:
    taking(group, 5.0)
    group.add("a", 60, concurrency=6)
    group.add("b", 10, at=10.0, concurrency=6)
    group.work()
    texts = [one.text for _, one in group.process("a").emitted(Noted)]
    assert texts == [
        "limits shared with 1 other run",
        "limits are no longer shared with another run",
    ]
    shared = [one.shared for _, one in group.process("a").emitted(LimitsShared)]
    assert shared[-1]["others"] == 0
    assert shared[-1]["places"]["of"] == 6
    assert shared[-1]["places"]["reserved"] in range(7)


@pytest.mark.parametrize("seed", range(12))
def test_no_limit_is_exceeded_whoever_comes_goes_or_dies(tmp_path: Path, seed: int) -> None:
    dice = Random(seed)
    limit, video_limit = dice.choice((1, 3, 7, 24)), dice.choice((1, 2, 5))
    rate = dice.choice((None, Rate(60, 60.0), Rate(30, 60.0), Rate(2, 1.0)))
    with grouped(tmp_path) as group:
        group.vendor.habits = Habits(
            course=lambda *_: Course(dice.uniform(0, 3), dice.uniform(0.5, 20.0))
        )
        for number in range(dice.randint(2, 5)):
            jobs = {T2I: dice.randint(1, 40), I2V: dice.randint(0, 15)}
            models = {I2V: ModelPolicy(concurrency=video_limit)}
            run = group.add(
                f"r{number}", jobs, dice.choice((0.0, dice.uniform(0, 60))),
                concurrency=limit, rate=rate, models=models,
            )  # fmt: skip
            run.killed = dice.choice((inf, inf, dice.uniform(1.0, 80.0)))
        group.work()
        group.all_done(*(name for name, run in group.runs.items() if run.killed == inf))
        assert group.most_at_once() <= limit
        assert group.most_at_once(I2V) <= video_limit
        if rate is not None:
            assert group.most_in(rate.seconds) <= rate.count


def test_what_a_run_has_is_not_used_after_it_was_suspended() -> None:
    news: list[str] = []
    reserved = Reserved(Holding("places"), Holding("submits"), lambda: news.append("!"))
    grants = {"places": Grant(8, 0.0, reserved=4, keep=4)}
    reserved.take(grants, 1, valid_until=60.0)
    assert reserved.opens_at(59.0, 59.0, 1, 0.0) == 59.0
    assert news == []
    assert reserved.opens_at(61.0, 61.0, 1, 0.0) is None
    assert (news, reserved.lacks) == (["!"], True)
    reserved.lapse(61.0, 1)
    assert reserved.claims(61.0, 1, 8)[0].reserved == 1
    reserved.take(grants, 1, valid_until=121.0)
    assert reserved.opens_at(62.0, 62.0, 1, 0.0) == 62.0


def test_the_highest_rate_has_a_window_at_once() -> None:
    most, window = window_of(Rate(999_999_999, 1.0))
    assert most / window == pytest.approx(999_999_999)


@given(st.integers(1, 5000), st.sampled_from((1.0, 60.0, 3600.0)))
def test_who_keeps_the_window_keeps_the_rate(count: int, seconds: float) -> None:
    most, window = window_of(Rate(count, seconds))
    assert most <= 20
    parts = round(seconds / window)
    assert window * parts == pytest.approx(seconds)
    assert 0.9 * count < most * parts <= count
