"""Downloads: beside the submits, tried again, renewed, given up, never lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import pytest

from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.outcomes import (
    Corrupt,
    Fetched,
    FetchOutcome,
    Interrupted,
    TooLarge,
    UrlExpired,
    VerifiedFile,
)
from batchgen.engine.events import FileSaved, PauseReason, Warned
from batchgen.engine.fetch_decisions import FETCH_PATIENCE
from batchgen.errors import DiskFullError
from batchgen.jobs import JobState
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course, Delivery, Request, Vendor
from tests.engine.simulation import Process, World, job_of, one_model, with_habits, with_policy


def test_a_slow_download_never_holds_a_submit_back(world: World) -> None:
    with_policy(world, concurrency=4, downloads=1)
    one_model(world, 40)
    with_habits(world, delivery=lambda _url: Delivery(takes=300.0))
    world.live()
    judge(world)
    assert max(at for at, _, _ in world.vendor.posts) < 1.2 * 40 * 5.1 / 4
    assert set(world.states().values()) == {"done"}


def test_an_interrupted_download_is_tried_again_after_the_wait_that_was_asked_for(
    world: World,
) -> None:
    one_model(world, 1)
    outcomes: list[FetchOutcome | None] = [Interrupted("reset"), Interrupted("503", 45.0), None]
    with_habits(world, delivery=lambda _url: Delivery(outcomes.pop(0)))
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    times = [at for at, _ in world.lives[0].line.fetched]
    assert times[2] - times[1] >= 45.0


def test_a_file_that_takes_no_metadata_is_kept_with_a_warning(world: World) -> None:
    one_model(world, 1)
    file = VerifiedFile("files/a000.gif", 9, "ab" * 32, "image/gif", 8, 8, None, 1)
    fetched = Fetched(file, "image/gif files take none")
    with_habits(world, delivery=lambda _url: Delivery(fetched))
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    ((_, warned),) = world.lives[0].emitted(Warned)
    assert warned == Warned("files/a000.gif has no metadata added: image/gif files take none")


def test_an_expired_url_is_renewed_at_once(world: World) -> None:
    """Row 40."""
    one_model(world, 1)

    def deliver(url: str) -> Delivery:
        if url.endswith("turn=0"):
            world.vendor.renewed["r00000"] = 1
            return Delivery(UrlExpired(403, "expired"))
        return Delivery()

    with_habits(world, delivery=deliver)
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    assert [url[-6:] for _, url in world.lives[0].line.fetched] == ["turn=0", "turn=1"]


@pytest.mark.parametrize(
    ("outcome", "code", "tries"),
    [
        (UrlExpired(403, "expired"), "url_expired", 8),
        (Corrupt("half a picture"), "corrupt", 3),
        (HostNotAllowed("evil.test", "not allowed"), "host_not_allowed", 1),
        (TooLarge(3 << 30), "too_large", 1),
    ],
)
def test_a_download_that_is_given_up_leaves_its_job_to_the_next_run(
    world: World, outcome: FetchOutcome, code: str, tries: int
) -> None:
    """Rows 41, 42, 48, 49."""
    one_model(world, 2)
    with_habits(world, delivery=lambda url: Delivery(outcome if job_of(url) == "a000" else None))
    assert world.live().pause is None
    assert world.states() == {"a000": "fetching", "a001": "done"}
    assert world.error("a000") == code
    assert Counter(job_of(url) for _, url in world.lives[0].line.fetched)["a000"] == tries
    with_habits(world)
    world.live()
    judge(world)
    assert world.states() == {"a000": "done", "a001": "done"}
    assert len(world.vendor.posts) == 2


def deliver_from(world: World, hosts: dict[str, float]) -> None:
    """Hosts of files that do not answer until a time of the loop."""

    def deliver(url: str) -> Delivery:
        host = url.split("/")[2]
        if asyncio.get_running_loop().time() < hosts.get(host, 0.0):
            return Delivery(Interrupted(f"no connection to {host}", unreached=True), takes=0.0)
        return Delivery()

    with_habits(world, delivery=deliver)


@dataclass(slots=True)
class Elsewhere(Vendor):
    """A vendor whose files are on more than one host."""

    host: Callable[[Request], str] = lambda _request: "cdn.test"

    def urls(self, request: Request) -> tuple[str, ...]:
        host = self.host(request)
        return tuple(url.replace("cdn.test", host) for url in Vendor.urls(self, request))


def tries(world: World, host: str = "cdn.test") -> list[float]:
    return [at for at, url in world.lives[-1].line.fetched if host in url]


def test_a_host_that_was_down_for_two_minutes_is_asked_again_in_the_same_run(world: World) -> None:
    with_policy(world, concurrency=40)
    one_model(world, 40)
    deliver_from(world, {"cdn.test": 120.0})
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert world.now < 200.0


def test_a_host_that_is_down_is_tried_by_one_file_at_a_time_and_warned_of_once(
    world: World,
) -> None:
    with_policy(world, concurrency=40)
    one_model(world, 40)
    deliver_from(world, {"cdn.test": 600.0})
    world.live()
    before = [at for at in tries(world) if at < 600.0]
    # Those that were on their way when the first one failed, and then one after each wait.
    assert len(before) < 40
    assert len([at for at in before if at > 30.0]) <= 20
    ((_, told),) = world.lives[0].emitted(Warned)
    assert told.text.startswith("results wait for cdn.test (no connection to cdn.test)")
    polls = [len([at for at in one.polls if at > 10.0]) for one in world.vendor.ledger.values()]
    # New URLs lead to the same host: only those that try it ask for theirs.
    assert sum(polls) <= 20
    assert set(world.states().values()) == {"done"}


def test_a_host_that_stays_away_is_given_up_after_a_quarter_of_an_hour(world: World) -> None:
    one_model(world, 20)
    deliver_from(world, {"cdn.test": inf})
    assert world.live().pause is None
    assert set(world.states().values()) == {"fetching"}
    assert world.error("a007") == "unreachable"
    assert FETCH_PATIENCE <= world.now < FETCH_PATIENCE + 200.0
    deliver_from(world, {})
    world.live()
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert len(world.vendor.posts) == 20


def test_another_host_goes_on_while_one_is_down(world: World) -> None:
    with_policy(world, concurrency=2, downloads=1)
    one_model(world, 30)
    world.vendor = Elsewhere(
        host=lambda request: "cdn.test" if int(request.job[1:]) % 2 else "other.test"
    )
    deliver_from(world, {"other.test": 5000.0})
    world.live()
    assert Counter(world.states().values()) == {"done": 15, "fetching": 15}
    assert max(tries(world)) < 120.0


def test_results_that_were_given_up_are_downloaded_when_their_host_answers_later(
    world: World,
) -> None:
    """The run has other work for hours: what was given up goes again in it."""
    with_policy(world, concurrency=1)
    one_model(world, 12)
    deliver_from(world, {"cdn.test": 2200.0})
    world.vendor.habits.course = lambda *_: Course(runs=400.0)
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert any(event.code == "unreachable" for _, event in world.lives[0].moves(JobState.FETCHING))


def test_a_dead_url_is_renewed_before_its_host_is_waited_for(world: World) -> None:
    """After a rehearsal was killed, its files are served at another port."""
    one_model(world, 24)
    seen = Counter[str]()

    def at_a_port(request: Request) -> str:
        seen[request.job] += 1
        return f"127.0.0.1:{min(seen[request.job], 2)}"

    world.vendor = Elsewhere(host=at_a_port)
    deliver_from(world, {"127.0.0.1:1": inf})
    world.live()
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert world.now < 60.0


def test_a_file_that_fails_alone_holds_no_other_of_its_host_back(world: World) -> None:
    one_model(world, 20)
    with_habits(
        world,
        delivery=lambda url: Delivery(Interrupted("500") if job_of(url) == "a003" else None),
    )
    world.live()
    assert Counter(world.states().values()) == {"done": 19, "fetching": 1}
    done = [at for at, event in world.lives[0].moves(JobState.DONE)]
    assert max(done) < 60.0
    assert world.error("a003") == "unreachable"


def test_ctrl_c_ends_the_wait_for_a_host(world: World) -> None:
    one_model(world, 3)
    deliver_from(world, {"cdn.test": inf})

    async def ctrl_c(process: Process) -> None:
        await asyncio.sleep(100.0)
        process.scheduler.drain()

    end = world.live(ctrl_c)
    assert end.drained
    assert world.now < 120.0
    assert set(world.states().values()) == {"fetching"}


def test_a_file_that_was_given_up_does_not_come_back_with_its_neighbour(world: World) -> None:
    one_model(world, 1)

    def deliver(url: str) -> Delivery:
        outcome = TooLarge(3 << 30) if "/0?" in url else UrlExpired(403, "expired")
        return Delivery(outcome)

    with_habits(world, course=lambda *_: Course(files=2), delivery=deliver)
    world.live()
    tried = Counter(url[-8] for _, url in world.lives[0].line.fetched)
    assert tried == {"0": 1, "1": 8}


def test_every_file_of_a_job_is_home_before_it_is_done(world: World) -> None:
    one_model(world, 4)
    with_habits(world, course=lambda *_: Course(files=3))
    world.live()
    judge(world)
    (process,) = world.lives
    saved = process.emitted(FileSaved)
    assert len(saved) == 12
    assert len({event.file.path for _, event in saved}) == 12
    assert len(process.moves(JobState.DONE)) == 4


def test_a_bad_disk_pauses_the_run_and_keeps_what_was_paid(world: World) -> None:
    """Row 50."""
    with_policy(world, concurrency=2, downloads=2)
    one_model(world, 30)

    def deliver(url: str) -> Delivery:
        if job_of(url) >= "a004":
            raise DiskFullError("the disk is full", where="files", next_step="free some space")
        return Delivery()

    with_habits(world, delivery=deliver)
    end = world.live()
    assert end.pause is not None
    assert (end.pause.reason, end.pause.where) == (PauseReason.DISK, "files")
    assert end.pause.next_step == "free some space"
    counts = Counter(world.states().values())
    assert counts["done"] == 4
    assert counts["fetching"] == len(world.vendor.ledger) - 4
    with_habits(world)
    world.live()
    judge(world)
    assert len(world.vendor.posts) == 30
