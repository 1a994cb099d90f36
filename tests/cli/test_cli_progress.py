"""What people see of a run, on a terminal and elsewhere."""

from __future__ import annotations

import errno
import io
import re
from pathlib import Path

import pytest

from batchgen.cli.progress import LINE_EVERY, Part, Progress, Standing, bar_format
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
        progress.on_event(started(pending=100))
        for _ in range(50):
            progress.on_event(moved(JobState.PENDING, JobState.SUBMITTING))
        assert stream.getvalue() == ""
        clock.now += LINE_EVERY
        progress.on_event(moved(JobState.PENDING, JobState.SUBMITTING))
        progress.on_event(moved(JobState.PENDING, JobState.SUBMITTING))
    assert stream.getvalue() == "0/100 · 1.00 USD · 51 in flight · 49 waiting\n"


def test_a_line_tells_rate_time_left_and_money() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        progress.on_event(started(done=10, fetching=20))
        clock.now += LINE_EVERY - 1
        progress.on_event(moved(JobState.FETCHING, JobState.DONE, cost=0.5))
        clock.now += 1
        progress.on_event(moved(JobState.FETCHING, JobState.DONE))
    # Two in ten seconds; what an earlier run did does not count for the rate.
    assert stream.getvalue() == "12/30 · 01:30 left · 1.50 USD · 12/min · 18 to download\n"


def test_unknown_and_failed_are_told_at_once_but_not_for_ever() -> None:
    stream = io.StringIO()
    with Progress(stream, Clock()) as progress:
        progress.on_event(started(submitting=20))
        progress.on_event(moved(JobState.SUBMITTING, JobState.UNKNOWN))
        for _ in range(10):
            progress.on_event(moved(JobState.SUBMITTING, JobState.FAILED))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "a: unknown: the reason"
    assert lines[1:] == ["a: failed: the reason"] * 4


def test_what_concerns_the_whole_run_is_told_at_once() -> None:
    stream = io.StringIO()
    with Progress(stream, Clock()) as progress:
        progress.on_event(started(pending=3))
        progress.on_event(Slowed(T2I, 12.4))
        progress.on_event(Paused(Pause(PauseReason.NO_BALANCE, "no money", "top up")))
        progress.on_event(Draining(2))
        progress.on_event(ModelRefused(T2I, 3, "403", "not open"))
        progress.on_event(Noted("a detail for the log", "a"))
    slowed, paused, draining, refused = stream.getvalue().splitlines()
    assert slowed == f"{T2I}: too many requests; waiting 12 s"
    assert paused == "paused: no money; finishing what is under way"
    assert draining.startswith("stopping: 2 in flight stay with the vendor")
    assert refused == f"{T2I}: 3 more jobs failed: not open"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "current downloads finish"),
        (1, "1 in flight stays with the vendor"),
        (2, "2 in flight stay with the vendor"),
    ],
)
def test_a_stop_says_what_stays_with_the_vendor(count: int, words: str) -> None:
    stream = io.StringIO()
    with Progress(stream, Clock()) as progress:
        progress.on_event(Draining(count))
    assert stream.getvalue().startswith(f"stopping: {words}")


def test_blocked_jobs_count_as_settled_until_they_are_freed() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        progress.on_event(started(pending=9, failed=1))
        for blocked in (4, 7, 7, 0):
            clock.now += LINE_EVERY
            progress.on_event(JobsBlocked({T2I: blocked}))
    shown = [line.split(" · ") for line in stream.getvalue().splitlines()]
    assert [(parts[:2], parts[parts.index("1.00 USD") + 1 :][-2:]) for parts in shown] == [
        (["5/10", "1 failed"], ["5 waiting", "4 blocked"]),
        (["8/10", "1 failed"], ["2 waiting", "7 blocked"]),
        (["8/10", "1 failed"], ["2 waiting", "7 blocked"]),
        (["1/10", "1 failed"], ["9 waiting"]),
    ]


def test_a_terminal_gets_a_bar_for_all_and_one_a_model() -> None:
    terminal, clock = Terminal(), Clock()
    with Progress(terminal, clock) as progress:
        progress.on_event(
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
        progress.on_event(started(pending=2))
    assert "all" in terminal.getvalue()
    assert "t2i" not in terminal.getvalue()


def test_bars_are_not_redrawn_with_every_event() -> None:
    terminal, clock = Terminal(), Clock()
    with Progress(terminal, clock) as progress:
        progress.on_event(started(pending=1000))
        before = len(terminal.getvalue())
        for _ in range(500):
            progress.on_event(moved(JobState.PENDING, JobState.SUBMITTING))
        assert len(terminal.getvalue()) == before


def test_a_job_of_a_model_that_was_not_there_at_the_start_is_counted() -> None:
    """A decision while the run goes on may bring one back."""
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        clock.now += LINE_EVERY
        progress.on_event(JobMoved("a", EDIT, JobState.PENDING, JobState.SUBMITTING))
    assert "1 in flight" in stream.getvalue()


def test_jobs_that_come_while_the_run_goes_on_are_waiting_too() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, clock) as progress:
        progress.on_event(started(pending=3))
        clock.now += LINE_EVERY
        progress.on_event(JobsAdded({T2I: 2, EDIT: 5}))
    assert stream.getvalue().startswith("0/10 · 1.00 USD · 10 waiting")


def test_a_look_at_input_images_is_announced_since_it_may_take_a_while() -> None:
    stream = io.StringIO()
    with Progress(stream, Clock()) as progress:
        progress.on_event(LookingAtImages(1))
        progress.on_event(LookingAtImages(1200))
    assert stream.getvalue().splitlines() == [
        "checking 1 input image",
        "checking 1200 input images",
    ]


@pytest.mark.parametrize("event", [started(pending=1), Slowed(T2I, 1.0), Draining(1)])
def test_a_screen_that_is_gone_does_not_end_the_run(event: RunStarted | Slowed | Draining) -> None:
    clock = Clock()
    with Progress(Gone(), clock) as progress:
        clock.now += LINE_EVERY
        progress.on_event(event)
        progress.on_event(event)


BUSY = Standing({JobState.DONE: 12, JobState.FAILED: 2, JobState.QUEUED: 2, JobState.PENDING: 8})
TAIL = (
    Part("00:10 left", "00:10", needed=True),
    Part("1.16 USD", "$1.16", needed=True),
    Part("56/min"),
)
HUGE = Standing(
    {
        JobState.DONE: 123_456,
        JobState.FAILED: 7_890,
        JobState.UNKNOWN: 12,
        JobState.PENDING: 868_642,
    }
)
LONG = (
    Part("13:10:00 left", "13:10:00", needed=True),
    Part("4938.24 USD", "$4938.24", needed=True),
)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (
            120,
            (
                "all    58%|{bar:20}| 14/24 · 2 failed · 00:10 left · 1.16 USD · 56/min"
                " · 2 in flight · 8 waiting"
            ),
        ),
        (80, "all    58%|{bar:10}| 14/24 · 2 failed · 00:10 left · 1.16 USD · 56/min"),
        (60, "all    58% 14/24 · 2 failed · 00:10 left · 1.16 USD"),
        (50, "all 58% 14/24 · 2 failed · 00:10 left · 1.16 USD"),
        (40, "all 58% 14/24, 2 failed, 00:10, $1.16"),
        (20, "all 58%, 2 failed"),
    ],
)
def test_a_line_has_what_failed_the_time_left_and_the_money_before_all_else(
    columns: int, line: str
) -> None:
    assert bar_format("all", BUSY, TAIL, columns) == line


@pytest.mark.parametrize("columns", [1, 10, 20, 33, 40, 60, 61, 80, 99, 100, 200])
@pytest.mark.parametrize(("standing", "tail"), [(BUSY, TAIL), (HUGE, LONG)])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_cut(
    columns: int, standing: Standing, tail: tuple[Part, ...]
) -> None:
    line = bar_format("edit", standing, tail, columns)
    shown = re.sub(r"{bar:(\d+)}", lambda found: "#" * int(found[1]), line)
    assert len(shown) < max(columns, 2)
    known = {
        word
        for part in (*tail, *standing.troubles(), *standing.rest())
        for word in (part.text, part.short)
    }
    words = re.split(r" · |, ", shown)[1:]
    assert set(words) <= known


def test_a_resized_terminal_gets_lines_of_its_new_width(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    columns = 120
    monkeypatch.setattr("batchgen.cli.progress.terminal_columns", lambda _stream: columns)
    with Progress(terminal, clock) as progress:
        progress.on_event(started(done=12, failed=2, queued=2, pending=8))
        begin = len(terminal.getvalue())
        columns = 40
        clock.now += 1
        progress.on_event(moved(JobState.QUEUED, JobState.RUNNING))
        after = terminal.getvalue()[begin:]
    assert "all    58% 14/24 · 2 failed · 1.00 USD" in after
    # Nothing is blanked out as far as the old line went.
    assert " " * 41 not in after


def test_a_notice_is_wrapped_at_words() -> None:
    stream, terminal = io.StringIO(), Terminal()
    for one in (stream, terminal):
        with Progress(one, Clock()) as progress:
            progress.on_event(Paused(Pause(PauseReason.NO_BALANCE, "no money " * 20, "top up")))
    assert len(stream.getvalue().splitlines()) == 1
    lines = [line.strip("\r") for line in terminal.getvalue().splitlines() if "money" in line]
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])
