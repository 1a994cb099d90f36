"""Which words a run sends, and what they say: one line each."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from batchgen.engine.events import Event, JobMoved, ModelRefused, Pause, PauseReason
from batchgen.errors import DiskFullError
from batchgen.jobs import JobState
from batchgen.notify import Severity
from batchgen.runs import notifications
from batchgen.runs.api import run
from batchgen.runs.folder import RunFolder
from batchgen.runs.notifications import Cause, Standing
from batchgen.runs.options import RunOptions
from batchgen.runs.summary import Summary
from batchgen.state.approvals import Held
from batchgen.state.records import Money
from batchgen.storage.locations import FolderLocation
from tests.notify.receivers import dead_url, receiving
from tests.runs.run_world import lines, write_manifest
from tests.state.state_world import T2I

S = JobState
SLOW = Pause(PauseReason.BUDGET, "the budget is spent", "raise it")


def summary(counts: dict[JobState, int], **more: Any) -> Summary:
    return Summary("boats", Path("out"), counts, Money(1.5, 0, 0), 1.25, **more)


@pytest.mark.parametrize(
    ("ended", "text", "mood"),
    [
        (summary({S.DONE: 2}), "all done", Severity.SUCCESS),
        (summary({S.DONE: 2, S.FAILED: 1}), "ended, some jobs failed", Severity.FAILURE),
        (summary({S.UNKNOWN: 1}), "ended, outcomes unknown: batchgen resolve", Severity.FAILURE),
        (
            summary({S.FETCHING: 1}),
            "not finished; run the same command again to continue",
            Severity.WARNING,
        ),
        (summary({S.PENDING: 1}, pause=SLOW), "paused: the budget is spent", Severity.FAILURE),
        (summary({S.PENDING: 3}, held=Held(2, 3)), "2 to approve", Severity.WARNING),
        (summary({}, stopped_by=signal.SIGTERM), "stopped by SIGTERM", Severity.WARNING),
    ],
)
def test_an_end_is_named_by_the_most_urgent_thing(
    ended: Summary, text: str, mood: Severity
) -> None:
    assert notifications.end(ended) == Cause(text, mood)


def test_other_causes_name_the_job_the_model_or_the_error() -> None:
    moved = JobMoved("boat", T2I, S.RUNNING, S.FAILED, reason="the brushes are dry")
    lost_answer = JobMoved("boat", T2I, S.SUBMITTING, S.UNKNOWN, reason="no answer")
    refused = ModelRefused(T2I, 5, "forbidden", "not open to you")
    assert (
        notifications.first_failure(moved).text == "first failure: boat failed: the brushes are dry"
    )
    assert (
        notifications.first_failure(lost_answer).text
        == "first failure: boat outcome unknown: no answer"
    )
    assert notifications.first_failure(refused).text == f"first failure: {T2I}: not open to you"
    assert notifications.pause(SLOW).text == "paused: the budget is spent; raise it"
    assert notifications.broken(DiskFullError("no room")).text == "ended by an error: no room"


def test_a_word_is_one_bounded_line_whatever_the_vendor_says(tmp_path: Path) -> None:
    figures = Standing({S.DONE: 2, S.FAILED: 1}, Money(1.5, 0, 0), FolderLocation(tmp_path))
    cause = Cause("first\n failure: \x1b[31m" + "x" * 1000, Severity.WARNING)
    word = notifications.message("boats", RunFolder(tmp_path), cause, figures, 3725)
    assert word.title == "batchgen: boats"
    assert word.text.isprintable()
    assert word.text.startswith("boats: first failure: xxx")
    tail = f" · 2 done, 1 failed · 1.50 USD spent · 1 h 02 min · {tmp_path}"
    assert word.text.endswith(f"…{tail}")
    assert len(word.text) < 250 + len(tail)


def test_without_figures_a_word_still_says_what_happened(tmp_path: Path) -> None:
    word = notifications.message(
        "boats", RunFolder(tmp_path), Cause("broken", Severity.FAILURE), None, 1
    )
    assert word.text == f"boats: broken · 1.0 s · {tmp_path}"


def test_a_program_that_runs_a_manifest_hears_what_became_of_its_words(tmp_path: Path) -> None:
    heard: list[str] = []

    def on_event(event: Event) -> None:
        heard.append(type(event).__name__)

    with receiving() as receiver:
        manifest = write_manifest(tmp_path, 1)
        addresses = (receiver.url, dead_url())
        options = RunOptions(emulator=True, emulator_latency=0.01, notify=addresses)
        assert run(manifest, options, on_event=on_event).exit_code == 0
        assert receiver.next()["message"].startswith("boats (rehearsal): all done · 1 done")
    assert heard[-2:] == ["Notified", "Notified"]
    words = [line for line in lines(tmp_path / "out/run.log") if line["event"] == "Notified"]
    assert [("trouble" in word) for word in words].count(True) == 1
    assert {word["to"] for word in words} == {"json://127.0.0.1"}
