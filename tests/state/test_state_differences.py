"""What a plan is told, and how a huge manifest is taken up part by part."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from batchgen.state import images, moves
from batchgen.state.database import open_for_reading
from batchgen.state.differences import (
    ChangedInput,
    PlanCounts,
    changed_inputs,
    orphans,
    plan_counts,
)
from batchgen.state.queries import Selection
from batchgen.state.records import KnownImage
from batchgen.state.staging import open_staging
from tests.state.state_world import EDIT, T2I, State, job, open_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from batchgen.jobs import Job
    from batchgen.state.staging import Staging


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
    job("left", model=EDIT),
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
        moves.refused(state.db, state.seq("refused"), 1, "422", "words", 1.0)
        state.submit("under-way", "r3")
        state.finish("left", "r4")
        return state


def test_a_plan_counts_each_job_of_the_manifest_once_as_a_merge_would_leave_it(
    tmp_path: Path,
) -> None:
    path = lived(tmp_path).path
    with staged(TODAY) as staging, closing(open_for_reading(path)) as db:
        assert plan_counts(db, staging, path, Selection()) == {
            T2I: PlanCounts(new=1, changed=1, pending=2, done=2),
            EDIT: PlanCounts(new=1, pending=1, in_flight=1, orphaned=1),
        }
        assert plan_counts(db, staging, path, Selection(tags=("hero",))) == {
            EDIT: PlanCounts(new=1, pending=1)
        }
        assert plan_counts(db, staging, path, Selection(states=("done",), models=("t2i",))) == {
            T2I: PlanCounts(changed=1, done=2)
        }


def test_changed_inputs_and_orphans_are_told_by_name(tmp_path: Path) -> None:
    path = lived(tmp_path).path
    with staged(TODAY) as staging, closing(open_for_reading(path)) as db:
        assert changed_inputs(db, staging, path, Selection(), 9) == [
            ChangedInput("changed", T2I, T2I, job("x").body, job("x", "another").body, "done")
        ]
        assert orphans(db, staging, path, Selection(), 9) == [("left", EDIT, "done")]
        assert orphans(db, staging, path, Selection(models=("t2i",)), 9) == []
        assert changed_inputs(db, staging, path, Selection(), 0) == []


def test_the_last_look_at_an_image_is_remembered(tmp_path: Path) -> None:
    first = KnownImage("https://a.example/1.png", 1.0, None, None, None, None, "not found")
    later = KnownImage("https://a.example/1.png", 2.0, "image/png", 64, 48, 1234, None)
    with open_state(tmp_path) as state:
        images.remember_image(state.db, first)
        images.remember_image(state.db, later)
        urls = [later.url, "https://a.example/other.png"]
        assert images.known_images(state.db, urls) == {later.url: later}
