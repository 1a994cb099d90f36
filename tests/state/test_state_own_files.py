"""Jobs with the user's own files: their content makes the work, and the path only says where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchgen.input_files import file_url
from batchgen.jobs import Job, JobState, JsonValue, canonical_json, content_id, digest_of
from batchgen.references import reference_url
from batchgen.state import manual_actions
from batchgen.state.database import reading
from batchgen.state.plan_counts import PlanCounts
from batchgen.state.planned import Outlook, Wishes, foreseen
from batchgen.state.reconcile import ChangedJob, Difference, OnChanged, RenamedJob
from batchgen.state.results import paths_to_send
from batchgen.state.staging import open_staging
from tests.state.state_world import EDIT, State, open_state

S = JobState
CAT, DOG = "ca" * 32, "d0" * 32


def edit(
    job_id: str, content: str, path: str, *, prompt: str = "p", needs: tuple[str, ...] = ()
) -> Job:
    urls: list[JsonValue] = [file_url(content, path)]
    urls += [reference_url(one, "image", 0) for one in needs]
    body = canonical_json({"image_urls": urls, "prompt": prompt})
    return Job(job_id, EDIT, body, job_id, needs=needs)


def body(state: State, job_id: str) -> str:
    return str(state.one("SELECT body FROM job WHERE id = ?", job_id))


@contextmanager
def planning(state: State, jobs: list[Job], on_changed: OnChanged) -> Iterator[Outlook]:
    with open_staging() as staging:
        for one in jobs:
            staging.add(one)
        staging.finish()
        wishes = Wishes(on_changed=on_changed)
        with reading(state.path) as db, foreseen(db, staging, state.path, wishes) as outlook:
            yield outlook


def planned(state: State, jobs: list[Job], on_changed: OnChanged = OnChanged.REFUSE) -> PlanCounts:
    with planning(state, jobs, on_changed) as outlook:
        return sum(outlook.counts().values(), PlanCounts())


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """One job is paid for, one is pending."""
    jobs = [edit("cat", CAT, "a/cat.png"), edit("dog", DOG, "a/dog.png")]
    with open_state(tmp_path, *jobs) as opened:
        opened.finish("cat", "r1")
        yield opened


def test_equal_bytes_at_two_paths_are_the_same_work() -> None:
    here, there = edit("x", CAT, "a/cat.png"), edit("x", CAT, "/elsewhere/b.png")
    assert here.body != there.body
    assert digest_of(here.body) == digest_of(there.body)
    assert content_id(EDIT, here.body) == content_id(EDIT, there.body)
    assert digest_of(here.body) != digest_of(edit("x", DOG, "a/cat.png").body)


def test_files_that_only_moved_change_no_job_and_their_new_paths_are_taken_up(state: State) -> None:
    today = [edit("cat", CAT, "b/cat.png"), edit("dog", DOG, "b/dog.png")]
    assert planned(state, today) == PlanCounts(new=1, to_do=1, pending=1, done=1)
    assert state.merge(today) == Difference(new=1, known=1, orphaned=0, changed=())
    assert [body(state, one.id) for one in today] == [one.body for one in today]
    assert (state.state("cat"), state.state("dog")) == (S.DONE, S.PENDING)


def test_a_moved_file_of_a_request_under_way_is_taken_up(state: State) -> None:
    state.submit("dog", "r2")
    today = [edit("cat", CAT, "a/cat.png"), edit("dog", DOG, "b/dog.png")]
    assert not state.merge(today).asks_a_person
    assert (state.state("dog"), body(state, "dog")) == (S.QUEUED, today[1].body)


def test_a_changed_file_of_an_unpaid_job_is_followed(state: State) -> None:
    today = [edit("cat", CAT, "a/cat.png"), edit("dog", CAT, "a/dog.png")]
    assert planned(state, today).changed == 0
    assert not state.merge(today).asks_a_person
    assert body(state, "dog") == today[1].body


def test_a_changed_file_of_a_paid_job_asks_and_nothing_is_written(state: State) -> None:
    today = [edit("cat", DOG, "a/cat.png"), edit("dog", DOG, "b/dog.png")]
    before = [body(state, one.id) for one in today]
    assert planned(state, today).changed == 1
    assert state.merge(today).changed == (ChangedJob("cat", "done", live=False),)
    assert [body(state, one.id) for one in today] == before


def test_a_kept_job_keeps_the_content_and_the_path_it_was_paid_with(state: State) -> None:
    before = body(state, "cat")
    today = [edit("cat", DOG, "b/cat.png"), edit("dog", DOG, "a/dog.png")]
    assert planned(state, today, OnChanged.KEEP).to_do == 1
    state.merge(today, OnChanged.KEEP)
    assert (state.state("cat"), body(state, "cat")) == (S.DONE, before)


def test_a_kept_job_that_goes_again_has_the_old_content(state: State) -> None:
    """Its bytes are gone, so the sender refuses it: the new ones are never sent for it."""
    state.submit("dog", "r2")
    state.fail("dog", 1)
    before = body(state, "dog")
    today = [edit("cat", CAT, "a/cat.png"), edit("dog", CAT, "a/dog.png")]
    assert state.merge(today).changed == (ChangedJob("dog", "failed", live=False),)
    state.merge(today, OnChanged.KEEP)
    manual_actions.retry(state.db, state.seq("dog"))
    assert (state.state("dog"), body(state, "dog")) == (S.PENDING, before)


def test_a_rerun_takes_the_new_content_and_the_old_attempt_keeps_its_own(state: State) -> None:
    before = body(state, "cat")
    today = [edit("cat", DOG, "a/cat.png"), edit("dog", DOG, "a/dog.png")]
    assert planned(state, today, OnChanged.RERUN).to_do == 2
    state.merge(today, OnChanged.RERUN)
    assert (state.state("cat"), body(state, "cat")) == (S.PENDING, today[0].body)
    assert state.one("SELECT body FROM attempt") == before
    assert not state.merge(today).asks_a_person


def test_a_paid_job_with_another_id_and_another_path_is_the_same_job(state: State) -> None:
    today = [edit("tom", CAT, "b/tom.png"), edit("dog", DOG, "a/dog.png")]
    assert planned(state, today).renamed == 1
    assert state.merge(today).renamed == (RenamedJob("cat", "tom", "done"),)
    state.merge(today, OnChanged.KEEP)
    assert (state.state("tom"), body(state, "tom")) == (S.DONE, today[0].body)
    assert not state.merge(today).asks_a_person


def test_a_new_id_with_a_changed_file_is_a_new_job(state: State) -> None:
    found = state.merge([edit("tom", DOG, "a/cat.png"), edit("dog", DOG, "a/dog.png")])
    assert (found.new, found.orphaned, found.renamed) == (2, 1, ())


def test_two_jobs_with_equal_bytes_at_two_paths_are_two_jobs(tmp_path: Path) -> None:
    jobs = [edit("a", CAT, "a.png"), edit("b", CAT, "b.png")]
    with open_state(tmp_path, *jobs) as state:
        state.finish("a", "r1")
        state.finish("b", "r2")
        # The paths change places, and so may the results.
        today = [edit("a", CAT, "b.png"), edit("b", CAT, "a.png")]
        assert state.merge(today) == Difference(new=0, known=2, orphaned=0, changed=())
        renamed = [edit("x", CAT, "b.png"), edit("y", CAT, "a.png")]
        found = state.merge(renamed)
        assert [(one.before, one.now) for one in found.renamed] == [("a", "x"), ("b", "y")]


def test_a_chain_is_found_again_after_new_ids_and_new_paths(tmp_path: Path) -> None:
    jobs = [edit("still", CAT, "a.png"), edit("clip", DOG, "b.png", needs=("still",))]
    with open_state(tmp_path, *jobs) as state:
        state.finish("still", "r1")
        state.finish("clip", "r2")
        today = [edit("photo", CAT, "c.png"), edit("clip", DOG, "d.png", needs=("photo",))]
        assert planned(state, today).changed == 0
        found = state.merge(today, OnChanged.KEEP)
        assert ([one.now for one in found.renamed], found.changed) == (["photo"], ())
        assert [body(state, one.id) for one in today] == [one.body for one in today]
        assert not state.merge(today).asks_a_person


def test_a_plan_has_each_content_that_is_to_be_sent_once(state: State) -> None:
    new = [edit(one, one * 64, f"{one}.png") for one in "abc"]
    today = [edit("cat", CAT, "cat.png"), edit("dog", DOG, "dog.png"), *new]
    again = edit("again", "a" * 64, "copy.png")
    with planning(state, [*today, again], OnChanged.REFUSE) as outlook:
        assert [*paths_to_send(outlook, [new[1].body])] == ["a.png", "c.png", "dog.png"]


def test_many_renamed_jobs_are_paired_without_comparing_each_with_each(tmp_path: Path) -> None:
    """An axis that a sweep gets renames all of its jobs at once."""
    count = 3000

    def jobs(prefix: str) -> Iterator[Job]:
        return (edit(f"{prefix}{one}", CAT, prefix, prompt=str(one)) for one in range(count))

    with open_state(tmp_path, *jobs("a")) as state:
        state.db.execute("UPDATE job SET state = 'done', attempts = 1")
        state.db.execute(
            "INSERT INTO attempt (job, number, body_sha256, submitted_at, ended_at, outcome)"
            " SELECT seq, 1, '', 0, 1, 'succeeded' FROM job"
        )
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1

        state.db.set_progress_handler(step, 1000)
        found = state.merge(jobs("b"))
        state.db.set_progress_handler(None, 0)
        assert len(found.renamed) == count
        assert steps * 1000 < count * 1000, "instructions of SQLite"
