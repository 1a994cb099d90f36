"""What a run does before its first request, and how signals end it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.engine.ports import RecoveryEntry
from batchgen.errors import UsageError
from batchgen.jobs import JobState
from batchgen.manifest.header import Manifest
from batchgen.runs.decision_log import Decision, Verb, append_decisions
from batchgen.runs.options import RunOptions
from batchgen.runs.prepare import read_header
from batchgen.runs.recovery_log import RecoveryLog
from batchgen.runs.workload import Workload, take_stock
from batchgen.state import queries, transitions
from batchgen.state.queries import Selection
from tests.runs.run_world import Place, in_a_process, write_manifest
from tests.state.state_world import T2I


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], Manifest]:
    return lambda run: read_header(write_manifest(tmp_path, 1, run=run))


def start(place: Place, manifest: Manifest, options: RunOptions | None = None) -> Workload:
    place.db.execute("BEGIN IMMEDIATE")
    found = take_stock(place.db, place.folder, manifest, options or RunOptions(), 50.0)
    place.db.execute("COMMIT")
    return found


def submit(place: Place, job_id: str) -> None:
    transitions.begin_attempt(place.db, place.seq(job_id), "h", 0.5, 1.0)


def follow(place: Place, job_id: str) -> None:
    submit(place, job_id)
    transitions.accepted(place.db, place.seq(job_id), 1, f"r-{job_id}", "raw", 1.0)


def test_new_jobs_are_to_be_submitted(place: Place, manifest: Callable[[str], Manifest]) -> None:
    found = start(place, manifest("{}"))
    assert (found.models, found.in_flight, found.to_fetch) == ((T2I,), 0, 0)
    assert not found.is_idle


def test_a_finished_run_has_nothing_to_do(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    """Promise 3."""
    for job_id in ("boat", "clip"):
        submit(place, job_id)
        transitions.refused(place.db, place.seq(job_id), 1, "422", "no", 1.0)
    assert start(place, manifest("{}")).is_idle
    assert not start(place, manifest("{}"), RunOptions(retry_failed=True)).is_idle


def test_a_limited_retry_leaves_the_others_failed_for_a_plain_run_not_to_pay(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    for job_id in ("boat", "clip"):
        submit(place, job_id)
        transitions.refused(place.db, place.seq(job_id), 1, "422", "no", 1.0)
    start(place, manifest("{}"), RunOptions(retry_failed=True, limit=1))
    assert (place.state("boat"), place.state("clip")) == ("pending", "failed")


def test_a_limit_counts_what_is_pending_and_what_goes_again_together(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    submit(place, "clip")
    transitions.refused(place.db, place.seq("clip"), 1, "422", "no", 1.0)
    start(place, manifest("{}"), RunOptions(retry_failed=True, limit=1))
    # `boat` goes first, as it stands first.
    assert (place.state("boat"), place.state("clip")) == ("pending", "failed")


def test_the_same_command_follows_what_it_selected_by_a_state_that_has_passed(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    rejected = RunOptions(retry_failed=True, selection=Selection(states=("rejected",)))
    with pytest.raises(UsageError, match="no job of the manifest is selected"):
        start(place, manifest("{}"), rejected)
    place.db.execute("ROLLBACK")
    follow(place, "boat")
    found = start(place, manifest("{}"), rejected)
    # It pays for nothing else.
    assert (found.models, found.in_flight) == ((), 1)


def test_what_a_dead_run_left_is_settled(place: Place, manifest: Callable[[str], Manifest]) -> None:
    """Row 58: a receipt comes before a person's word, and both before anything is sent."""
    submit(place, "boat")
    submit(place, "clip")
    receipts = RecoveryLog(place.folder.receipts)
    receipts.reserve()
    receipts.record(RecoveryEntry("boat", 1, "r1"))
    append_decisions(
        place.folder.decisions,
        [Decision(Verb.RESUBMIT, "boat", 9.0), Decision(Verb.WRITE_OFF, "clip", 9.0)],
    )
    found = start(place, manifest("{}"))
    assert (place.state("boat"), place.state("clip")) == ("queued", "failed")
    assert (found.models, found.in_flight) == ((), 1)
    assert (found.money.reserved, found.money.unknown) == (0.5, 0.5)


def test_unknown_outcomes_are_submitted_again_where_the_manifest_says_so(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    submit(place, "boat")
    assert start(place, manifest("{}")).models == (T2I,)
    assert place.state("boat") == "unknown"
    start(place, manifest("{on_unknown: resubmit}"))
    assert place.state("boat") == "pending"


def test_a_request_over_its_time_is_asked_again(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    follow(place, "boat")
    transitions.set_aside(place.db, place.seq("boat"), 1, "timeout", "late")
    assert start(place, manifest("{}")).in_flight == 1


def test_a_limit_and_a_selection_leave_the_rest_for_later(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    found = start(place, manifest("{}"), RunOptions(limit=1))
    assert [*queries.select_jobs(place.db, found.selection, (JobState.PENDING,))] == [
        (place.seq("boat"), "boat", T2I)
    ]
    follow(place, "boat")
    # What is paid is followed, selected or not.
    other = RunOptions(selection=Selection(jobs=("clip",)))
    assert start(place, manifest("{}"), other).in_flight == 1


def test_a_selection_that_names_no_job_is_a_mistake(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    with pytest.raises(UsageError, match="no job of the manifest is selected"):
        start(place, manifest("{}"), RunOptions(selection=Selection(tags=("absent",))))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RunOptions(limit=0),
        lambda: RunOptions(concurrency=-1),
        lambda: RunOptions(max_duration=0.0),
        lambda: RunOptions(stop_at="07:00"),  # type: ignore[arg-type]
        lambda: RunOptions(start_at="22:00"),  # type: ignore[arg-type]
        lambda: RunOptions(budget=0.0),
        lambda: RunOptions(budget=float("inf")),
        lambda: RunOptions(rate="60/min"),  # type: ignore[arg-type]
        lambda: RunOptions(on_changed="refuse"),  # type: ignore[arg-type]
        lambda: RunOptions(selection=Selection(jobs="girl*")),  # type: ignore[arg-type]
    ],
)
def test_options_of_the_wrong_kind_are_refused_and_never_mean_everything(
    wrong: Callable[[], RunOptions],
) -> None:
    with pytest.raises(UsageError):
        wrong()


def test_a_crash_in_the_beginning_leaves_everything_to_the_next_one(
    place: Place, manifest: Callable[[str], Manifest]
) -> None:
    submit(place, "boat")
    append_decisions(place.folder.decisions, [Decision(Verb.RESUBMIT, "boat", 9.0)])
    place.db.execute("BEGIN IMMEDIATE")
    take_stock(place.db, place.folder, manifest("{}"), RunOptions(), 50.0)
    place.db.execute("ROLLBACK")
    assert place.state("boat") == "submitting"
    start(place, manifest("{}"))
    assert place.state("boat") == "pending"


WAIT_FOR_SIGNALS = """
import asyncio, sys
from batchgen.concurrency import stop_signals
async def main():
    drained = asyncio.Event()
    never = asyncio.Event()
    with stop_signals(drained.set, never.set) as stop:
        print("ready", flush=True)
        await drained.wait()
        print(f"draining after {stop.received.name}", flush=True)
        await never.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (signal.SIGINT, signal.SIGINT, 130),
        (signal.SIGTERM, signal.SIGTERM, 143),
        (signal.SIGINT, signal.SIGTERM, 143),
    ],
)
def test_the_first_signal_drains_and_the_second_leaves_at_once(
    first: signal.Signals, second: signal.Signals, code: int
) -> None:
    """Row 56, row 57."""
    process = in_a_process(WAIT_FOR_SIGNALS)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stdout.readline() == f"draining after {first.name}\n"
        process.send_signal(second)
        assert process.wait() == code
