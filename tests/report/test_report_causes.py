"""What failed is grouped by why, and each group has the command for just its jobs."""

from __future__ import annotations

import shlex

import pytest

from batchgen.jobs import JobState
from batchgen.report.causes import Shell, causes, count_by_state, rerun_command
from batchgen.state.looking import Trouble

SHELL = Shell("night shift.yaml", rehearsal=False)


def failed(job_id: str, words: str, code: str = "content_policy") -> Trouble:
    return Trouble(job_id, JobState.FAILED, code, words)


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
    assert found[0].words.startswith("job a: refused")
    assert len({cause.key for cause in found}) == 3


def test_blocked_jobs_are_one_cause_whatever_they_wait_for() -> None:
    found = causes(
        Trouble(name, JobState.BLOCKED, "need_failed", f"it needs {need}, which is failed")
        for name, need in (("clip-1", "still-dawn"), ("clip-2", "still-dusk"))
    )
    assert [cause.jobs for cause in found] == [["clip-1", "clip-2"]]
    assert rerun_command(found[0], 2, SHELL) is None


def test_a_command_names_exactly_the_jobs_of_its_cause() -> None:
    refused, late = causes([failed("a", "x"), failed("b; rm", "x"), failed("c", "y")])
    command = rerun_command(refused, 3, SHELL)
    assert command is not None
    assert shlex.split(command) == [
        *("batchgen", "retry", "night shift.yaml", "--job=a", "--job=b; rm")
    ]
    assert rerun_command(late, 3, SHELL) == "batchgen retry 'night shift.yaml' --job=c"


def test_where_a_cause_is_all_of_a_state_the_state_names_it() -> None:
    (cause,) = found = causes([failed(f"job-{n}", "x") for n in range(500)])
    command = rerun_command(cause, count_by_state(found)[JobState.FAILED], SHELL)
    assert command == "batchgen retry 'night shift.yaml' --state=failed"


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
    (cause,) = causes([Trouble("--odd", state, "code", "words")])
    assert rerun_command(cause, 2, Shell("m.yaml", rehearsal=True)) == command
