"""What people see of a run, on a terminal and elsewhere."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from batchgen.engine.events import (
    Draining,
    JobMoved,
    JobsAdded,
    JobsBlocked,
    LookingAtImages,
    ModelRefused,
    Noted,
    Pause,
    Paused,
    PauseReason,
    RunStarted,
    Slowed,
)
from batchgen.jobs import JobState
from batchgen.progress import LINE_EVERY, Progress
from batchgen.state.records import Money

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A stream whose reader left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def started(**counts: int) -> RunStarted:
    states = {JobState(state): count for state, count in counts.items()}
    return RunStarted("boats", Path("out"), {T2I: states}, Money(1.0, 0.0, 0))


def moved(before: JobState, state: JobState, cost: float | None = None) -> JobMoved:
    return JobMoved("a", T2I, before, state, reason="the reason", cost=cost)


def test_a_log_gets_a_line_only_when_one_is_due() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        progress.hear(started(pending=100))
        for _ in range(50):
            progress.hear(moved(JobState.PENDING, JobState.SUBMITTING))
        assert stream.getvalue() == ""
        clock.now += LINE_EVERY
        progress.hear(moved(JobState.PENDING, JobState.SUBMITTING))
        progress.hear(moved(JobState.PENDING, JobState.SUBMITTING))
    assert stream.getvalue() == "0/100 · 51 in flight · 49 waiting · 1.00 USD\n"


def test_a_line_tells_rate_time_left_and_money() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        progress.hear(started(done=10, fetching=20))
        clock.now += LINE_EVERY - 1
        progress.hear(moved(JobState.FETCHING, JobState.DONE, cost=0.5))
        clock.now += 1
        progress.hear(moved(JobState.FETCHING, JobState.DONE))
    # Two in ten seconds; what an earlier run did does not count for the rate.
    assert stream.getvalue() == "12/30 · 18 to download · 1.50 USD · 12/min · 01:30 left\n"


def test_unknown_and_failed_are_told_at_once_but_not_for_ever() -> None:
    stream = io.StringIO()
    with Progress(stream, Clock()) as progress:
        progress.hear(started(submitting=20))
        progress.hear(moved(JobState.SUBMITTING, JobState.UNKNOWN))
        for _ in range(10):
            progress.hear(moved(JobState.SUBMITTING, JobState.FAILED))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "a: unknown: the reason"
    assert lines[1:] == ["a: failed: the reason"] * 4


def test_what_concerns_the_whole_run_is_told_at_once() -> None:
    stream = io.StringIO()
    with Progress(stream, Clock()) as progress:
        progress.hear(started(pending=3))
        progress.hear(Slowed(T2I, 12.4))
        progress.hear(Paused(Pause(PauseReason.NO_BALANCE, "no money", "top up")))
        progress.hear(Draining(2))
        progress.hear(ModelRefused(T2I, 3, "403", "not open"))
        progress.hear(Noted("a detail for the log", "a"))
    slowed, paused, draining, refused = stream.getvalue().splitlines()
    assert slowed == f"{T2I}: too many requests; waiting 12 s"
    assert paused == "paused: no money; ending what is under way"
    assert draining.startswith("stopping: 2 in flight stay with the vendor")
    assert refused == f"{T2I}: 3 more jobs failed: not open"


def test_blocked_jobs_count_as_settled_until_they_are_freed() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        progress.hear(started(pending=9, failed=1))
        for blocked in (4, 7, 7, 0):
            clock.now += LINE_EVERY
            progress.hear(JobsBlocked({T2I: blocked}))
    settled = [line.split(" · 1.00")[0] for line in stream.getvalue().splitlines()]
    assert settled == [
        "5/10 · 5 waiting · 1 failed · 4 blocked",
        "8/10 · 2 waiting · 1 failed · 7 blocked",
        "8/10 · 2 waiting · 1 failed · 7 blocked",
        "1/10 · 9 waiting · 1 failed",
    ]


def test_a_terminal_gets_a_bar_for_all_and_one_a_model() -> None:
    terminal, clock = Terminal(), Clock()
    with Progress(terminal, clock) as progress:
        progress.hear(
            RunStarted(
                "boats",
                Path("out"),
                {T2I: {JobState.DONE: 3}, EDIT: {JobState.QUEUED: 1}},
                Money(0.0, 0.0, 0),
            )
        )
    shown = terminal.getvalue()
    assert "all    75%|" in shown
    assert "t2i   100%|" in shown
    assert "edit    0%|" in shown
    assert "3/4" in shown


def test_one_model_needs_no_bar_of_its_own() -> None:
    terminal = Terminal()
    with Progress(terminal, Clock()) as progress:
        progress.hear(started(pending=2))
    assert "all" in terminal.getvalue()
    assert "t2i" not in terminal.getvalue()


def test_bars_are_not_redrawn_with_every_event() -> None:
    terminal, clock = Terminal(), Clock()
    with Progress(terminal, clock) as progress:
        progress.hear(started(pending=1000))
        before = len(terminal.getvalue())
        for _ in range(500):
            progress.hear(moved(JobState.PENDING, JobState.SUBMITTING))
        assert len(terminal.getvalue()) == before


def test_a_job_of_a_model_that_was_not_there_at_the_start_is_counted() -> None:
    """A decision while the run goes on may bring one back."""
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        clock.now += LINE_EVERY
        progress.hear(JobMoved("a", EDIT, JobState.PENDING, JobState.SUBMITTING))
    assert "1 in flight" in stream.getvalue()


def test_jobs_that_come_while_the_run_goes_on_are_waiting_too() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        progress.hear(started(pending=3))
        clock.now += LINE_EVERY
        progress.hear(JobsAdded({T2I: 2, EDIT: 5}))
    assert stream.getvalue().startswith("0/10 · 10 waiting")


def test_a_look_at_input_images_is_announced_since_it_may_take_a_while() -> None:
    stream = io.StringIO()
    with Progress(stream, Clock()) as progress:
        progress.hear(LookingAtImages(1))
        progress.hear(LookingAtImages(1200))
    assert stream.getvalue().splitlines() == [
        "looking at 1 input image",
        "looking at 1200 input images",
    ]


@pytest.mark.parametrize("event", [started(pending=1), Slowed(T2I, 1.0), Draining(1)])
def test_a_screen_that_is_gone_does_not_end_the_run(event: RunStarted | Slowed | Draining) -> None:
    clock = Clock()
    with Progress(Gone(), clock) as progress:
        clock.now += LINE_EVERY
        progress.hear(event)
        progress.hear(event)
