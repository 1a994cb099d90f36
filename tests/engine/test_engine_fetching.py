"""Downloads: beside the submits, tried again, renewed, given up, never lost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from batchgen.downloads.outcomes import (
    Corrupt,
    FetchOutcome,
    HostNotAllowed,
    Interrupted,
    TooLarge,
    UrlExpired,
)
from batchgen.engine.events import FileSaved, PauseReason
from batchgen.errors import DiskFullError
from batchgen.jobs import JobState
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course, Delivery
from tests.engine.simulation import job_of, one_model, with_habits, with_policy

if TYPE_CHECKING:
    from tests.engine.simulation import World


def test_a_slow_download_never_holds_a_submit_back(world: World) -> None:
    with_policy(world, concurrency=4, downloads=1)
    one_model(world, 40)
    with_habits(world, delivery=lambda _url: Delivery(takes=300.0))
    world.live()
    judge(world)
    assert max(at for at, _, _ in world.vendor.posts) < 1.2 * 40 * 5.1 / 4
    assert set(world.states().values()) == {"done"}


def test_an_interrupted_download_is_tried_again_and_waits_as_told(world: World) -> None:
    one_model(world, 1)
    outcomes: list[FetchOutcome | None] = [Interrupted("reset"), Interrupted("503", 45.0), None]
    with_habits(world, delivery=lambda _url: Delivery(outcomes.pop(0)))
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    times = [at for at, _ in world.lives[0].line.fetched]
    assert times[2] - times[1] >= 45.0


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
        (Interrupted("reset"), "unreachable", 8),
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


def test_a_file_that_was_given_up_does_not_come_back_with_its_neighbour(world: World) -> None:
    one_model(world, 1)

    def deliver(url: str) -> Delivery:
        outcome = TooLarge(3 << 30) if "/0?" in url else Interrupted("reset")
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
    saved = process.told(FileSaved)
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
