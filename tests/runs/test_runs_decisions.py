"""What people decide takes effect exactly once, whatever dies in between."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.events import Event, JobMoved, Noted
from batchgen.engine.ports import RecoveryEntry
from batchgen.errors import OutputError
from batchgen.jobs import JobState
from batchgen.manifest.tuning import parse_tuning
from batchgen.runs import decision_log, supervision
from batchgen.runs.decision_log import Decision, Verb, append_decisions, has_new
from batchgen.runs.decisions import Counted, decide, runner_lock
from batchgen.runs.folder import locked
from batchgen.runs.recovery_log import RecoveryLog
from batchgen.state import manual_actions, transitions
from batchgen.state.database import reading
from batchgen.state.queries import Selection
from tests.runs.run_world import Place, apply_new, bring_home, make_gated, make_place
from tests.state.state_world import T2I

MANIFEST = Path("m.yaml")


def unknown(place: Place, job_id: str) -> None:
    assert transitions.begin_attempt(place.db, place.seq(job_id), "h", None, 1.0) == 1
    assert transitions.unclear(place.db, place.seq(job_id), 1, "no_answer", "lost", "")


def test_decisions_are_applied_in_their_order(place: Place) -> None:
    unknown(place, "boat")
    unknown(place, "clip")
    path = place.folder.decisions
    append_decisions(path, [Decision(Verb.ADOPT, "boat", 5.0, "r-found")])
    append_decisions(path, [Decision(Verb.RESUBMIT, "clip", 6.0), Decision(Verb.CANCEL, "clip", 7)])
    applied = apply_new(place.db, path)
    assert [(one.decision.verb, one.objection) for one in applied] == [
        (Verb.ADOPT, None),
        (Verb.RESUBMIT, None),
        (Verb.CANCEL, None),
    ]
    assert (place.state("boat"), place.state("clip")) == ("queued", "cancelled")
    assert place.one("SELECT accepted_at FROM attempt WHERE request_id = 'r-found'") == 5.0


def test_only_their_owner_reads_the_decisions(place: Place) -> None:
    append_decisions(place.folder.decisions, [Decision(Verb.CANCEL, "boat", 1.0)])
    assert stat.S_IMODE(place.folder.decisions.stat().st_mode) == 0o600


def test_a_decision_takes_effect_once(place: Place) -> None:
    unknown(place, "boat")
    append_decisions(place.folder.decisions, [Decision(Verb.RESUBMIT, "boat", 1.0)])
    assert len(apply_new(place.db, place.folder.decisions)) == 1
    assert transitions.begin_attempt(place.db, place.seq("boat"), "h", None, 1.0) == 2
    transitions.unclear(place.db, place.seq("boat"), 2, "no_answer", "lost", "")
    # A second doubt about the same job needs a second word.
    assert apply_new(place.db, place.folder.decisions) == []
    assert place.state("boat") == "unknown"


def test_a_word_about_one_attempt_does_not_reach_a_later_one(place: Place) -> None:
    unknown(place, "boat")
    place.db.execute("UPDATE attempt SET outcome = 'not_sent', ended_at = 1")
    place.db.execute("UPDATE job SET state = 'pending'")
    assert transitions.begin_attempt(place.db, place.seq("boat"), "h", None, 1.0) == 2
    assert transitions.unclear(place.db, place.seq("boat"), 2, "no_answer", "lost", "")
    append_decisions(place.folder.decisions, [Decision(Verb.RESUBMIT, "boat", 1.0, attempt=1)])
    (applied,) = apply_new(place.db, place.folder.decisions)
    assert "submitted again after" in str(applied.objection)
    assert place.state("boat") == "unknown"
    append_decisions(place.folder.decisions, [Decision(Verb.RESUBMIT, "boat", 1.0, attempt=2)])
    (applied,) = apply_new(place.db, place.folder.decisions)
    assert (applied.objection, place.state("boat")) == (None, "pending")


def test_a_run_that_dies_before_its_commit_applies_the_decision_next_time(place: Place) -> None:
    unknown(place, "boat")
    append_decisions(place.folder.decisions, [Decision(Verb.WRITE_OFF, "boat", 1.0)])
    place.db.execute("BEGIN IMMEDIATE")
    assert len(apply_new(place.db, place.folder.decisions)) == 1
    place.db.execute("ROLLBACK")
    assert place.state("boat") == "unknown"
    assert len(apply_new(place.db, place.folder.decisions)) == 1
    assert place.state("boat") == "failed"


def test_half_a_line_waits_for_its_other_half(place: Place) -> None:
    path = place.folder.decisions
    append_decisions(path, [Decision(Verb.CANCEL, "boat", 1.0)])
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    assert apply_new(place.db, path) == []
    path.write_bytes(whole)
    assert len(apply_new(place.db, path)) == 1


def test_a_line_that_a_crash_tore_does_not_swallow_the_next_decision(place: Place) -> None:
    path = place.folder.decisions
    path.write_bytes(b'{"at": 1.0, "dec')
    append_decisions(path, [Decision(Verb.CANCEL, "boat", 1.0)])
    assert len(apply_new(place.db, path)) == 1
    assert place.state("boat") == "cancelled"


GARBAGE: list[Any] = [
    None,
    7,
    [],
    {},
    {"at": 1, "decide": "explode", "job": "boat", "request_id": None},
    {"at": 1, "decide": "cancel", "job": ["boat"], "request_id": None},
    {"at": "now", "decide": "resubmit", "job": "boat", "request_id": None},
    {"at": float("nan"), "decide": "resubmit", "job": "boat", "request_id": None},
    {"at": 10**400, "decide": "resubmit", "job": "boat", "request_id": None},
    {"at": 1, "decide": "adopt", "job": "boat", "request_id": None},
    {"at": 1, "decide": "adopt", "job": "boat", "request_id": 12},
    {"at": 1, "decide": "adopt", "job": "boat", "request_id": "\ud800"},
    {"at": 1, "decide": "cancel", "job": "\ud800", "request_id": None},
]


@pytest.mark.parametrize("row", GARBAGE)
def test_a_line_that_no_command_wrote_is_passed_over(place: Place, row: Any) -> None:
    """Else it would stop this run and every later one."""
    unknown(place, "boat")
    path = place.folder.decisions
    path.write_text(json.dumps(row) + "\n\xff{{{\n\n")
    append_decisions(path, [Decision(Verb.CANCEL, "clip", 1.0)])
    (applied,) = apply_new(place.db, path)
    assert applied.decision.job_id == "clip"
    assert (place.state("boat"), place.state("clip")) == ("unknown", "cancelled")


@given(st.binary(max_size=200))
def test_no_bytes_whatever_stop_a_run(noise: bytes) -> None:
    for line in noise.splitlines():
        assert decision_log._parse(line) is None


def test_an_unknown_job_is_an_objection_and_no_error(place: Place) -> None:
    append_decisions(place.folder.decisions, [Decision(Verb.CANCEL, "nobody", 1.0)])
    (applied,) = apply_new(place.db, place.folder.decisions)
    assert (applied.seq, applied.objection) == (None, "there is no job nobody")


def test_a_cancel_of_a_request_is_the_vendors_to_grant(place: Place) -> None:
    transitions.begin_attempt(place.db, place.seq("boat"), "h", None, 1.0)
    transitions.accepted(place.db, place.seq("boat"), 1, "r1", "raw", 1.0)
    append_decisions(place.folder.decisions, [Decision(Verb.CANCEL, "boat", 1.0)])
    (applied,) = apply_new(place.db, place.folder.decisions)
    assert applied.ask_vendor
    assert place.state("boat") == "queued"


def test_a_decision_that_cannot_be_written_is_an_error(place: Place) -> None:
    place.folder.decisions.unlink(missing_ok=True)
    place.folder.decisions.mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        append_decisions(place.folder.decisions, [])
    with pytest.raises(OutputError):
        apply_new(place.db, place.folder.decisions)


def test_without_a_runner_a_decision_is_applied_at_once(place: Place) -> None:
    unknown(place, "boat")
    with decide(place.folder, MANIFEST, [Decision(Verb.WRITE_OFF, "boat", 1.0)]) as decided:
        assert decided is not None
        assert [one.objection for one in decided.applied] == [None]
    assert place.state("boat") == "failed"


def test_with_a_runner_at_work_the_decision_is_left_to_it(place: Place) -> None:
    unknown(place, "boat")
    with (
        locked(place.folder),
        decide(place.folder, MANIFEST, [Decision(Verb.WRITE_OFF, "boat", 1.0)]) as decided,
    ):
        assert decided is None
    assert place.state("boat") == "unknown"
    assert len(apply_new(place.db, place.folder.decisions)) == 1


def test_a_request_whose_receipt_was_kept_is_not_paid_again_by_a_hasty_word(place: Place) -> None:
    """Row 51: the id is known after all, so there is nothing to resubmit."""
    transitions.begin_attempt(place.db, place.seq("boat"), "h", None, 1.0)
    receipts = RecoveryLog(place.folder.receipts)
    receipts.reserve()
    receipts.record(RecoveryEntry("boat", 1, "r-paid"))
    with decide(place.folder, MANIFEST, [Decision(Verb.RESUBMIT, "boat", 9.0)]) as decided:
        assert decided is not None
        (applied,) = decided.applied
    assert applied.objection == "job boat is queued, not unknown: there is nothing to resolve"
    assert place.one("SELECT request_id FROM attempt") == "r-paid"


def test_who_decides_nothing_of_their_own_says_what_time_it_is(place: Place) -> None:
    transitions.begin_attempt(place.db, place.seq("boat"), "h", None, 1.0)
    receipts = RecoveryLog(place.folder.receipts)
    receipts.reserve()
    receipts.record(RecoveryEntry("boat", 1, "r-paid"))
    with decide(place.folder, MANIFEST, [], at=9.0):
        assert place.one("SELECT accepted_at FROM attempt") == 9.0


class Ears:
    """Stands for the scheduler: notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.heard: list[Event] = []

    async def cancel(self, seq: int) -> None:
        self.told.append(("cancel", seq))

    async def reconsider(self, seq: int) -> None:
        self.told.append(("look", seq))

    async def reload_due_jobs(self) -> None:
        self.told.append(("released", 0))


async def test_the_engine_hears_of_jobs_that_move_again(tmp_path: Path) -> None:
    place = make_place(tmp_path / "out", ("a", "b", "c", "d"))
    unknown(place, "a")
    for job_id in ("c",):
        transitions.begin_attempt(place.db, place.seq(job_id), "h", None, 1.0)
        transitions.accepted(place.db, place.seq(job_id), 1, "r1", "raw", 1.0)
    append_decisions(
        place.folder.decisions,
        [
            Decision(Verb.RESUBMIT, "a", 1.0),
            Decision(Verb.RESUBMIT, "b", 1.0),
            Decision(Verb.CANCEL, "c", 1.0),
            Decision(Verb.CANCEL, "d", 1.0),
            Decision(Verb.CANCEL, "e", 1.0),
        ],
    )
    ears = Ears()
    applied = apply_new(place.db, place.folder.decisions)
    await supervision.act_on(applied, ears, ears.heard.append)  # type: ignore[arg-type]
    assert ears.told == [("look", place.seq("a")), ("cancel", place.seq("c"))]
    assert ears.heard == [
        Noted("decided: resubmit", "a"),
        JobMoved(
            "a",
            "bytedance/dreamina-4-0/text-to-image",
            JobState.UNKNOWN,
            JobState.PENDING,
        ),
        Noted("job b is pending, not unknown: there is nothing to resolve", "b"),
        Noted("decided: cancel", "c"),
        Noted("decided: cancel", "d"),
        JobMoved(
            "d",
            "bytedance/dreamina-4-0/text-to-image",
            JobState.PENDING,
            JobState.CANCELLED,
        ),
        Noted("there is no job e", "e"),
    ]
    # At a run's beginning the engine meets them in the state; only the cancel must be asked for.
    early = Ears()
    await supervision.ask_for_cancels([place.seq("c")], early)  # type: ignore[arg-type]
    assert early.told == [("cancel", place.seq("c"))]
    place.db.close()


def test_decisions_are_read_from_the_start_where_the_file_was_moved_away(place: Place) -> None:
    unknown(place, "boat")
    append_decisions(place.folder.decisions, [Decision(Verb.CANCEL, "clip" * 40, 1.0)])
    apply_new(place.db, place.folder.decisions)
    place.folder.decisions.unlink()
    append_decisions(place.folder.decisions, [Decision(Verb.WRITE_OFF, "boat", 1.0)])
    assert [one.objection for one in apply_new(place.db, place.folder.decisions)] == [None]


async def test_approvals_reach_the_engine_once_for_all_of_them(tmp_path: Path) -> None:
    place = make_gated(tmp_path / "out")
    bring_home(place, "still-1", "still-2")
    words = [Decision(Verb.APPROVE, f"still-{n}", 5.0, attempt=1) for n in (1, 2)]
    append_decisions(place.folder.decisions, words)
    ears = Ears()
    applied = apply_new(place.db, place.folder.decisions)
    await supervision.act_on(applied, ears, ears.heard.append)  # type: ignore[arg-type]
    assert ears.told == [("released", 0)]
    assert ears.heard == [
        Noted("decided: approve", "still-1"),
        Noted("decided: approve", "still-2"),
    ]
    due = place.db.execute("SELECT id FROM job WHERE state = 'pending' AND waiting = 0").fetchall()
    assert due == [("still-3",), ("clip-1",), ("clip-2",), ("poster",), ("sketch",)]
    place.db.close()


async def test_an_approval_of_an_earlier_result_does_not_reach_the_new_one(tmp_path: Path) -> None:
    place = make_gated(tmp_path / "out")
    bring_home(place, "still-1")
    place.db.execute("UPDATE job SET state = 'pending' WHERE id = 'still-1'")
    bring_home(place, "still-1")
    append_decisions(place.folder.decisions, [Decision(Verb.APPROVE, "still-1", 5.0, attempt=1)])
    ears = Ears()
    (applied,) = apply_new(place.db, place.folder.decisions)
    await supervision.act_on([applied], ears, ears.heard.append)  # type: ignore[arg-type]
    assert "submitted again after" in str(applied.objection)
    assert ears.told == []
    assert place.one("SELECT approved FROM job WHERE id = 'still-1'") == 0
    place.db.close()


def test_an_approval_with_a_request_id_is_no_line_of_ours() -> None:
    line = b'{"at": 1, "decide": "approve", "job": "boat", "request_id": "r1"}'
    assert decision_log._parse(line) is None


async def test_picks_and_flaws_reach_the_state_and_no_engine(tmp_path: Path) -> None:
    place = make_place(tmp_path / "out", ["boat", "clip"])
    bring_home(place, "boat")
    words = [
        Decision(Verb.REJECT, "boat", 5.0, attempt=1, position=1),
        Decision(Verb.FIND, "boat", 5.0, attempt=1, position=1, flaws={"blank": "one colour"}),
        Decision(Verb.KEEP, "clip", 5.0),
    ]
    append_decisions(place.folder.decisions, words)
    ears = Ears()
    applied = apply_new(place.db, place.folder.decisions)
    await supervision.act_on(applied, ears, ears.heard.append)  # type: ignore[arg-type]
    assert place.one("SELECT pick FROM file") == "reject"
    assert place.db.execute("SELECT kind, words FROM flaw").fetchall() == [("blank", "one colour")]
    # Of thousands of picks only those are told that came to nothing.
    assert ears.told == []
    assert ears.heard == [Noted("job clip, which is pending, has no result to pick", "clip")]
    append_decisions(place.folder.decisions, [Decision(Verb.UNPICK, "boat", 6.0)])
    assert [one.objection for one in apply_new(place.db, place.folder.decisions)] == [None]
    assert place.one("SELECT pick FROM file") is None
    place.db.close()


@pytest.mark.parametrize(
    "more",
    [
        '"position": 0',
        '"position": 99999999999999999999',
        '"position": "1"',
        '"position": 1.5',
        '"flaws": ["blank"]',
        '"flaws": {"blank": 1}',
        '"flaws": {"blank": "\\ud800"}',
        '"flaws": null',
    ],
)
def test_a_mark_that_no_command_wrote_is_passed_over(place: Place, more: str) -> None:
    bring_home(place, "boat")
    line = f'{{"at": 1, "decide": "find", "job": "boat", "request_id": null, {more}}}'
    place.folder.decisions.write_text(f"{line}\n", "utf-8")
    assert apply_new(place.db, place.folder.decisions) == []


def test_a_word_that_comes_while_the_runner_ends_is_not_left_behind(tmp_path: Path) -> None:
    place = make_place(tmp_path / "out", ["boat"])
    bring_home(place, "boat")
    place.db.close()
    word = [Decision(Verb.KEEP, "boat", 5.0)]
    # The runner has looked for the last time.
    with runner_lock(place.folder), decide(place.folder, MANIFEST, word) as decided:
        assert decided is None
    with reading(place.folder.state) as db:
        assert db.execute("SELECT pick FROM file").fetchall() == [("keep",)]


async def test_a_retry_that_is_taken_back_sets_those_going_that_need_it(tmp_path: Path) -> None:
    place = make_gated(tmp_path / "out")
    bring_home(place, "still-1")
    place.db.execute("UPDATE job SET approved = 1 WHERE id = 'still-1'")
    place.db.execute("UPDATE file SET pick = 'reject'")
    everything = Selection()
    manual_actions.retry_selected(place.db, everything, manual_actions.may_go_again(rejected=True))
    due = "SELECT waiting = 0 FROM job WHERE id = 'clip-1'"
    assert (place.state("still-1"), place.one(due)) == ("pending", 0)
    append_decisions(place.folder.decisions, [Decision(Verb.KEEP, "still-1", 5.0, attempt=1)])
    ears = Ears()
    applied = apply_new(place.db, place.folder.decisions)
    await supervision.act_on(applied, ears, ears.heard.append)  # type: ignore[arg-type]
    assert ears.heard == [JobMoved("still-1", T2I, JobState.PENDING, JobState.DONE)]
    assert ears.told == [("released", 0)]
    assert (place.state("still-1"), place.one(due)) == ("done", 1)
    place.db.close()


def test_of_older_decisions_nobody_is_told_who_did_not_make_them(tmp_path: Path) -> None:
    place = make_place(tmp_path / "out", ["boat", "clip"])
    bring_home(place, "boat")
    place.db.close()
    append_decisions(place.folder.decisions, [Decision(Verb.KEEP, "boat", 4.0)])
    with decide(place.folder, MANIFEST, [Decision(Verb.CANCEL, "clip", 5.0)]) as decided:
        assert decided is not None
        assert [one.decision.verb for one in decided.applied] == [Verb.CANCEL]
        assert decided.db.execute("SELECT pick FROM file").fetchall() == [("keep",)]


def test_of_two_commands_at_once_neither_word_is_left_behind(tmp_path: Path) -> None:
    """The second finds the lock held, by one that has read the file already."""
    place = make_place(tmp_path / "out", ["boat", "clip"])
    bring_home(place, "boat", "clip")
    place.db.close()
    with (
        decide(place.folder, MANIFEST, [Decision(Verb.KEEP, "boat", 4.0)]) as first,
        decide(place.folder, MANIFEST, [Decision(Verb.REJECT, "clip", 5.0)]) as second,
    ):
        assert first is not None
        assert second is None
    with reading(place.folder.state) as db:
        assert db.execute("SELECT pick FROM file ORDER BY job").fetchall() == [
            ("keep",),
            ("reject",),
        ]


def test_the_picks_of_a_whole_night_are_taken_up_by_pages(place: Place) -> None:
    bring_home(place, "boat")
    words = [Decision(Verb.KEEP, "boat", float(number)) for number in range(3000)]
    append_decisions(place.folder.decisions, words)
    seen, pages, more = 0, 0, True
    while more:
        page = decision_log.apply_page(place.db, place.folder.decisions)
        seen, pages, more = seen + len(page.applied), pages + 1, page.more
    assert (seen, has_new(place.db, place.folder.decisions)) == (3000, False)
    assert pages > 2


def test_a_line_without_an_end_is_waited_for_and_one_of_any_length_passed_over(
    place: Place,
) -> None:
    bring_home(place, "boat")
    path = place.folder.decisions
    path.write_bytes(b"x" * 300_000 + b"\n")
    append_decisions(path, [Decision(Verb.KEEP, "boat", 1.0)])
    with path.open("ab") as file:
        file.write(b'{"half": ')
    assert [one.decision.verb for one in apply_new(place.db, path)] == [Verb.KEEP]
    assert apply_new(place.db, path) == []


def test_a_change_of_limits_is_about_no_job_and_is_read_once(place: Place) -> None:
    tuning = parse_tuning({"concurrency": "32", "budget": "none"})
    append_decisions(place.folder.decisions, [Decision(Verb.TUNE, "", 5.0, tuning=tuning)])
    (applied,) = apply_new(place.db, place.folder.decisions)
    assert (applied.decision.tuning, applied.seq, applied.objection) == (tuning, None, None)
    assert apply_new(place.db, place.folder.decisions) == []


@pytest.mark.parametrize(
    "row",
    [
        {"set": {"concurrency": "0"}, "models": [], "job": ""},
        {"set": {"concurrency": "3"}, "models": [], "job": "boat"},
        {"set": {"concurrency": "3"}, "job": ""},
        {"job": ""},
    ],
)
def test_a_change_of_limits_that_no_command_wrote_is_passed_over(
    place: Place, row: dict[str, Any]
) -> None:
    line = {"at": 1.0, "decide": "tune", "request_id": None, **row}
    place.folder.decisions.write_text(json.dumps(line) + "\n")
    assert apply_new(place.db, place.folder.decisions) == []


def test_many_decisions_are_written_and_applied_as_they_come(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_log, "WRITTEN_AT_ONCE", 2)
    monkeypatch.setattr(decision_log, "PAGE_BYTES", 100)
    decisions = Counted(Decision(Verb.CANCEL, "boat", float(n)) for n in range(7))
    with decide(place.folder, MANIFEST, decisions) as decided:
        assert decisions.count == 7
        assert decided is not None
        assert [one.decision.at for one in decided.applied] == [*map(float, range(7))]


def test_what_nobody_looks_at_is_applied_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_log, "PAGE_BYTES", 100)
    decisions = [Decision(Verb.CANCEL, one, 1.0) for one in ("boat", "boat", "boat", "clip")]
    with pytest.raises(OSError, match="a closed pipe"), decide(place.folder, MANIFEST, decisions):
        raise OSError("a closed pipe")
    assert (place.state("boat"), place.state("clip")) == ("cancelled", "cancelled")
    assert not has_new(place.db, place.folder.decisions)


def test_lines_of_another_process_in_between_are_not_ours(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_log, "WRITTEN_AT_ONCE", 1)

    def with_another() -> Iterator[Decision]:
        yield Decision(Verb.CANCEL, "boat", 1.0)
        append_decisions(place.folder.decisions, [Decision(Verb.CANCEL, "sketch", 1.0)])
        yield Decision(Verb.CANCEL, "clip", 1.0)

    with decide(place.folder, MANIFEST, with_another()) as decided:
        assert decided is not None
        assert [one.decision.job_id for one in decided.applied] == ["boat", "clip"]
