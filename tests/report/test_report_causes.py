"""Failures are grouped by cause, and each group has the command for just its jobs."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.jobs import JobState
from batchgen.report.page import RunCommands, causes, rerun_command
from batchgen.state.queries import Selection, select_jobs
from batchgen.state.records import JobRow
from batchgen.state.report_queries import troubled_jobs
from tests.report.night_world import begin, job, not_done
from tests.state.state_world import a_job_row

SHELL = RunCommands("night shift.yaml", rehearsal=False)


def not_done_row(job_id: str, state: JobState, code: str, error: str) -> JobRow:
    return a_job_row(job_id, state=state, error_code=code, error=error)


def failed(job_id: str, words: str, code: str = "content_policy") -> JobRow:
    return not_done_row(job_id, JobState.FAILED, code, words)


def test_messages_that_differ_in_figures_ids_and_urls_are_one_cause_the_commonest_first() -> None:
    found = causes(
        [
            failed("late", "gave up after 30 s", "timeout"),
            failed("a", "job a: refused in request 8f14e45f-ceea-467f, see https://x.example/1"),
            failed("b", "job b: refused in request 45c48cce-2e2d-7fbd, see https://x.example/22"),
            failed("c", "the picture shows a person"),
        ]
    )
    assert [cause.jobs for cause in found] == [["a", "b"], ["late"], ["c"]]
    assert found[0].message.startswith("job a: refused")
    assert len({cause.key for cause in found}) == 3


def test_blocked_jobs_are_one_cause_whatever_they_wait_for() -> None:
    found = causes(
        not_done_row(name, JobState.BLOCKED, "need_failed", f"it needs {need}, which is failed")
        for name, need in (("clip-1", "still-dawn"), ("clip-2", "still-dusk"))
    )
    assert [cause.jobs for cause in found] == [["clip-1", "clip-2"]]
    assert rerun_command(found[0], SHELL) is None


def test_a_command_names_exactly_the_jobs_of_its_cause() -> None:
    refused, late = causes([failed("a", "x"), failed("b; rm", "x"), failed("c", "y")])
    command = rerun_command(refused, SHELL)
    assert command is not None
    assert shlex.split(command) == [
        *("batchgen", "retry", "night shift.yaml", "--job=a", "--job=b; rm")
    ]
    assert rerun_command(late, SHELL) == "batchgen retry 'night shift.yaml' --job=c"


def test_of_many_jobs_a_command_names_the_cause_and_stays_short() -> None:
    (cause,) = causes([failed(f"job-{n}", "x") for n in range(100_000)])
    assert rerun_command(cause, SHELL) == f"batchgen retry 'night shift.yaml' --cause={cause.key}"
    (lost,) = causes(not_done_row(f"{n}", JobState.UNKNOWN, "no_answer", "reset") for n in range(9))
    command = f"batchgen resolve m.yaml --resubmit --cause={lost.key}"
    assert rerun_command(lost, RunCommands("m.yaml", rehearsal=True)) == command


def test_the_cause_of_a_command_is_just_the_jobs_that_the_report_counts(tmp_path: Path) -> None:
    """The words differ in figures and ids; neighbours have the same code, or the same words."""
    with closing(begin(tmp_path, [job(f"j-{n}", "x") for n in range(12)])) as db:
        for number in range(6):
            not_done(db, f"j-{number}", "failed", "policy", f"job j-{number}: refused, {number}")
        not_done(db, "j-6", "failed", "policy", "another reason")
        not_done(db, "j-7", "failed", "timeout", "job j-7: refused, 7")
        not_done(db, "j-8", "unknown", "policy", "job j-8: refused, 8")
        not_done(db, "j-9", "fetching", "policy", "job j-9: refused, 9")
        db.execute("UPDATE job SET state = 'done', error_code = 'policy' WHERE id = 'j-10'")
        found = causes(troubled_jobs(db))
        assert sorted(len(cause.jobs) for cause in found) == [1, 1, 1, 1, 6]
        for cause in found:
            chosen = select_jobs(db, Selection(causes=(cause.key,)), tuple(JobState))
            assert [job_id for _, job_id, _ in chosen] == cause.jobs
        # Nobody is shown, and no report counts, what left the manifest and is not under way.
        db.execute("UPDATE job SET listed = 0 WHERE id IN ('j-0', 'j-8')")
        counted = {cause.key: cause.jobs for cause in causes(troubled_jobs(db))}
        assert counted[found[0].key] == [f"j-{n}" for n in range(1, 6)]
        for key, jobs in counted.items():
            rows = select_jobs(db, Selection(causes=(key,)), tuple(JobState))
            assert [job_id for _, job_id, _ in rows] == jobs
        db.execute("UPDATE job SET listed = 1")
        but = select_jobs(db, Selection(causes=(f"!{found[0].key}",)), tuple(JobState))
        assert [job_id for _, job_id, _ in but] == [f"j-{n}" for n in range(6, 12)]


@pytest.mark.parametrize("job_id", ["!neg", "!n*[1]?", "a*", "b[1]", "!!"])
def test_a_command_means_the_job_and_never_all_others(tmp_path: Path, job_id: str) -> None:
    """No manifest may give an id with a `!` first; an older state can have one."""
    others = ["neg", "!nag", "!n", "a", "ab", "b1", "!n1[1]x", "!"]
    with closing(begin(tmp_path, [job(name, "x") for name in (job_id, *others)])) as db:
        not_done(db, job_id, "failed", "policy", "no")
        (cause,) = causes(troubled_jobs(db))
        command = rerun_command(cause, SHELL)
        assert command is not None
        *_, which = shlex.split(command)
        selection = Selection((which.removeprefix("--job="),))
        assert [row[1] for row in select_jobs(db, selection, tuple(JobState))] == [job_id]


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (JobState.UNKNOWN, "batchgen resolve m.yaml --resubmit -- --odd"),
        (JobState.FETCHING, "batchgen run m.yaml --job=--odd --emulator"),
        (JobState.LOST, "batchgen retry m.yaml --job=--odd --emulator"),
    ],
)
def test_each_state_has_its_own_verb_and_a_rehearsal_stays_one(
    state: JobState, command: str
) -> None:
    (cause,) = causes([not_done_row("--odd", state, "code", "words")])
    assert rerun_command(cause, RunCommands("m.yaml", rehearsal=True)) == command
