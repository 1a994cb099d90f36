"""What a plan is told, and how a huge manifest is taken up part by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from batchgen.jobs import Job
from batchgen.state import files, transitions
from batchgen.state.causes import cause_key
from batchgen.state.database import open_for_writing, reading
from batchgen.state.plan_counts import PlanCounts
from batchgen.state.planned import ChangedInput, OrphanedJob, Outlook, Wishes, foreseen
from batchgen.state.queries import Selection
from batchgen.state.reconcile import OnChanged, RenamedJob
from batchgen.state.records import KnownImage
from batchgen.state.staging import Staging, open_staging
from tests.state.state_world import EDIT, T2I, State, job, open_state


@contextmanager
def staged(jobs: Iterable[Job]) -> Iterator[Staging]:
    with open_staging() as staging:
        for one in jobs:
            staging.add(one)
        staging.finish()
        yield staging


BEFORE = [
    job("done"),
    job("changed"),
    job("refused"),
    job("under-way", model=EDIT),
    job("left", "an old one", model=EDIT),
    job("never"),
]
TODAY = [
    job("done", needs=("new",)),
    job("changed", "another"),
    job("refused", "mended"),
    job("under-way", model=EDIT),
    job("new"),
    job("new-edit", model=EDIT, tags=("hero",)),
]


def lived(folder: Path) -> State:
    with open_state(folder, *BEFORE) as state:
        state.finish("done", "r1")
        state.finish("changed", "r2")
        state.begin("refused")
        transitions.refused(state.db, state.seq("refused"), 1, "422", "words", 1.0)
        state.submit("under-way", "r3")
        state.finish("left", "r4")
        return state


@contextmanager
def outlook(path: Path, jobs: Iterable[Job], **wishes: Any) -> Iterator[Outlook]:
    """As a plan has it: the state is only read."""
    with (
        staged(jobs) as staging,
        reading(path) as db,
        foreseen(db, staging, path, Wishes(**wishes)) as found,
    ):
        yield found


def counted(path: Path, jobs: Iterable[Job], **wishes: Any) -> dict[str, PlanCounts]:
    with outlook(path, jobs, **wishes) as found:
        return dict(found.counts())


def test_a_plan_counts_each_job_of_the_manifest_once_as_a_merge_would_leave_it(
    tmp_path: Path,
) -> None:
    path = lived(tmp_path).path
    assert counted(path, TODAY) == {
        T2I: PlanCounts(new=1, changed=1, to_do=2, pending=2, done=2),
        EDIT: PlanCounts(new=1, to_do=1, pending=1, in_flight=1, orphaned=1),
    }
    assert counted(path, TODAY, selection=Selection(tags=("hero",))) == {
        EDIT: PlanCounts(new=1, to_do=1, pending=1)
    }
    done = Selection(states=("done",), models=("t2i",))
    assert counted(path, TODAY, selection=done) == {T2I: PlanCounts(changed=1, done=2)}


def test_changed_inputs_and_orphans_are_told_by_name(tmp_path: Path) -> None:
    path = lived(tmp_path).path
    with outlook(path, TODAY) as found:
        assert found.changed(9) == [
            ChangedInput("changed", T2I, T2I, job("x").body, job("x", "another").body, "done")
        ]
        assert found.orphans(9) == [OrphanedJob("left", EDIT, "done")]
        assert found.changed(0) == []
    with outlook(path, TODAY, selection=Selection(models=("t2i",))) as found:
        assert found.orphans(9) == []


CHAIN = [job("a", "a"), job("b", "b", needs=("a",)), job("c", "c", needs=("b",))]


def fail(state: State, job_id: str) -> None:
    state.submit(job_id, f"r-{job_id}")
    state.fail(job_id)


def figures(state: State, jobs: Iterable[Job], **wishes: Any) -> tuple[int, ...]:
    found = counted(state.path, jobs, **wishes)[T2I]
    return found.pending, found.blocked, found.failed, found.to_do, found.waiting


def test_a_need_that_goes_again_takes_its_whole_chain_along(tmp_path: Path) -> None:
    with open_state(tmp_path, *CHAIN) as state:
        state.begin("a")
        transitions.refused(state.db, state.seq("a"), 1, "422", "words", 1.0)
        assert figures(state, CHAIN) == (0, 2, 1, 0, 0)
        # A mended input is taken up without asking, and then nothing blocks the others.
        assert figures(state, [job("a", "mended"), *CHAIN[1:]]) == (3, 0, 0, 3, 2)
        assert figures(state, CHAIN, retry_failed=True) == (2, 0, 1, 3, 2)
        only_last = Selection(("c",))
        assert figures(state, CHAIN, retry_failed=True, selection=only_last) == (0, 1, 0, 0, 0)


def test_a_new_job_that_needs_a_failed_one_will_be_blocked(tmp_path: Path) -> None:
    with open_state(tmp_path, job("a", "a")) as state:
        fail(state, "a")
        assert figures(state, CHAIN) == (0, 2, 1, 0, 0)


def test_a_changed_need_that_is_rerun_sets_its_chain_going(tmp_path: Path) -> None:
    today = [job("a", "new"), *CHAIN[1:]]
    with open_state(tmp_path, *CHAIN) as state:
        fail(state, "a")
        assert figures(state, today) == (0, 2, 1, 0, 0)
        assert figures(state, today, on_changed=OnChanged.RERUN) == (2, 0, 1, 3, 2)


def test_what_was_too_slow_is_asked_again_and_blocks_nobody(tmp_path: Path) -> None:
    with open_state(tmp_path, *CHAIN) as state:
        state.submit("a", "r1")
        transitions.set_aside(state.db, state.seq("a"), 1, "timeout", "late")
        assert counted(state.path, CHAIN)[T2I] == PlanCounts(
            new=2, to_do=2, waiting=2, pending=2, failed=1, asked_again=1
        )


def test_a_limit_is_foreseen(tmp_path: Path) -> None:
    with open_state(tmp_path, *CHAIN) as state:
        today = [*CHAIN, job("d", "d"), job("e", "e", priority=1)]
        assert figures(state, today, limit=2)[3:] == (2, 0)
        assert figures(state, today, limit=4)[3:] == (4, 1)


def test_a_cause_is_a_selection_as_any_other(tmp_path: Path) -> None:
    """What is only in today's manifest is in no trouble; what left it may be."""
    state = lived(tmp_path)
    words = "UPDATE job SET state = 'failed', error_code = 'policy', error = ? WHERE id = ?"
    with closing(open_for_writing(state.path)) as db:
        db.executemany(words, [("no: 1", "changed"), ("no: 2", "left"), ("never", "done")])
    key = cause_key("changed", "failed", "policy", "no: 1")
    with outlook(state.path, TODAY, selection=Selection(causes=(key,)), retry_failed=True) as one:
        assert {model: found.to_do for model, found in one.counts().items()} == {T2I: 1, EDIT: 0}
        assert [job.id for job in one.orphans(9)] == ["left"]
    with outlook(state.path, TODAY, selection=Selection(causes=(f"!{key}",))) as rest:
        assert rest.counts()[T2I].new == 1
        assert rest.counts()[T2I].failed == 1
        assert rest.orphans(9) == []


def test_renamed_jobs_are_foreseen_kept_or_paid_anew(tmp_path: Path) -> None:
    today = [job("ship", "a"), job("b", "b")]
    with open_state(tmp_path, job("boat", "a"), job("b", "b")) as state:
        state.finish("boat", "r1")
        for choice in (OnChanged.REFUSE, OnChanged.KEEP):
            with outlook(state.path, today, on_changed=choice) as found:
                assert found.counts() == {
                    T2I: PlanCounts(new=1, renamed=1, to_do=1, pending=1, done=1)
                }
                assert found.renamed(9) == [RenamedJob("boat", "ship", "done")]
        assert counted(state.path, today, on_changed=OnChanged.RERUN) == {
            T2I: PlanCounts(new=2, renamed=1, to_do=2, pending=2, orphaned=1)
        }


def test_the_last_look_at_an_image_is_remembered(tmp_path: Path) -> None:
    first = KnownImage("https://a.example/1.png", 1.0, None, None, None, None, "not found")
    later = KnownImage("https://a.example/1.png", 2.0, "image/png", 64, 48, 1234, None)
    with open_state(tmp_path) as state:
        files.remember_image(state.db, first)
        files.remember_image(state.db, later)
        urls = [later.url, "https://a.example/other.png"]
        assert files.known_images(state.db, urls) == {later.url: later}
