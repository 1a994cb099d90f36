"""An edit that changes only ids: what is paid is found again, and never paid twice unasked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.jobs import Job, JobState, JsonValue, canonical_json
from batchgen.references import reference_url
from batchgen.state import manual_actions, transitions
from batchgen.state.files import saved_files
from batchgen.state.queries import Selection, due_page
from batchgen.state.reconcile import ChangedJob, OnChanged, RenamedJob
from tests.state.state_world import T2I, State, job, open_state

S = JobState


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path, job("boat", "a"), job("clip", "b")) as found:
        found.finish("boat", "r1")
        yield found


def clip(job_id: str, still: str, *, prompt: str = "pan", gate: bool = False) -> Job:
    urls: list[JsonValue] = [reference_url(still, "image", 0)]
    body: dict[str, JsonValue] = {"image_urls": urls, "prompt": prompt}
    return Job(job_id, T2I, canonical_json(body), job_id, needs=(still,), gate=gate)


def rows(state: State) -> list[tuple[object, ...]]:
    return state.db.execute("SELECT * FROM job ORDER BY seq").fetchall()


def due(state: State) -> list[str]:
    return [one.id for one in due_page(state.db, T2I, Selection(), None, 9)]


def test_a_paid_job_under_a_new_id_is_refused_and_nothing_is_written(state: State) -> None:
    before = rows(state)
    found = state.merge([job("ship", "a"), job("clip", "b"), job("new", "c")])
    assert found.renamed == (RenamedJob("boat", "ship", "done"),)
    assert found.changed == ()
    assert found.asks_a_person
    assert rows(state) == before


def test_keep_goes_on_under_the_new_id_and_nothing_is_to_be_paid(state: State) -> None:
    today = [job("ship", "a", tags=("new",), priority=3, gate=True), job("clip", "b")]
    found = state.merge(today, OnChanged.KEEP)
    assert (found.new, found.known, found.orphaned) == (1, 1, 0)
    assert state.state("ship") is S.DONE
    assert due(state) == ["clip"]
    (saved,) = saved_files(state.db)
    assert (saved.job_id, saved.path) == ("ship", "files/boat.png")
    assert state.one("SELECT tags || priority || gate FROM job WHERE id = 'ship'") == '["new"]31'
    assert not state.merge(today).asks_a_person


def test_rerun_pays_for_a_new_job_and_leaves_the_old_one_as_it_was(state: State) -> None:
    today = [job("ship", "a"), job("clip", "b")]
    found = state.merge(today, OnChanged.RERUN)
    assert len(found.renamed) == 1
    assert (state.state("boat"), state.state("ship")) == (S.DONE, S.PENDING)
    assert state.one("SELECT listed FROM job WHERE id = 'boat'") == 0
    assert not state.merge(today).asks_a_person


def test_rerun_of_some_keeps_the_others(tmp_path: Path) -> None:
    with open_state(tmp_path, job("a", "a"), job("b", "b"), job("c", "c"), job("d", "d")) as state:
        for one in "abcd":
            state.finish(one, f"r-{one}")
        today = [job("a2", "a"), job("b2", "b"), job("c", "new c"), job("d", "new d")]
        picked = Selection(("a2", "c"))
        found = state.merge(today, OnChanged.RERUN, picked)
        assert [one.now for one in found.renamed] == ["a2", "b2"]
        assert due(state) == ["c", "a2"]
        assert (state.state("b2"), state.state("d")) == (S.DONE, S.DONE)
        assert state.merge(today).changed == (ChangedJob("d", "done", live=False),)


def test_a_request_under_way_is_followed_under_the_new_id(tmp_path: Path) -> None:
    with open_state(tmp_path, job("boat", "a")) as state:
        state.submit("boat", "r1")
        state.merge([job("ship", "a")], OnChanged.RERUN)
        assert state.state("ship") is S.QUEUED
        assert state.one("SELECT count(*) FROM job") == 1


def test_several_equal_jobs_are_paired_in_order(tmp_path: Path) -> None:
    with open_state(tmp_path, *(job(f"p-{n}", "a") for n in (1, 2, 3))) as state:
        for n in (1, 2, 3):
            state.finish(f"p-{n}", f"r{n}")
        found = state.merge([job(f"q-{n}", "a") for n in (1, 2, 3, 4)])
        assert [(one.before, one.now) for one in found.renamed] == [
            ("p-1", "q-1"),
            ("p-2", "q-2"),
            ("p-3", "q-3"),
        ]
        assert found.new == 1


def test_what_was_never_paid_or_has_another_input_or_stays_is_no_renamed_job(state: State) -> None:
    state.begin("clip")
    transitions.turn_back(state.db, state.seq("clip"), 1, "not_sent", "why", 1.0)
    assert state.merge([job("boat", "a"), job("film", "b"), job("twin", "a")]).renamed == ()
    assert state.merge([job("ship", "another"), job("clip", "b")]).renamed == ()
    assert state.merge([job("ship", "a", model="x/y"), job("clip", "b")]).renamed == ()


def test_a_chain_whose_links_all_got_new_ids_is_found_as_a_whole(tmp_path: Path) -> None:
    old = (job("still", "s"), clip("pan", "still"), clip("zoom", "pan", prompt="zoom"))
    new = (job("still-x", "s"), clip("pan-x", "still-x"), clip("zoom-x", "pan-x", prompt="zoom"))
    with open_state(tmp_path, *old) as state:
        for one in old:
            state.finish(one.id, f"r-{one.id}")
        assert [one.now for one in state.merge(new).renamed] == ["still-x", "pan-x", "zoom-x"]
        state.merge(new, OnChanged.KEEP)
        assert due(state) == []
        assert [state.state(one.id) for one in new] == [S.DONE] * 3
        assert not state.merge(new).asks_a_person


def test_dependants_follow_a_renamed_job_and_done_ones_are_not_paid_again(tmp_path: Path) -> None:
    def jobs(still: str) -> tuple[Job, ...]:
        return job(still, "s", gate=True), clip("pan", still), clip("zoom", still, prompt="zoom")

    with open_state(tmp_path, *jobs("still")) as state:
        state.finish("still", "r1")
        manual_actions.approve(state.db, state.seq("still"), 1.0)
        state.finish("pan", "r2")
        found = state.merge(jobs("first"), OnChanged.KEEP)
        assert (found.changed, len(found.renamed)) == ((), 1)
        assert due(state) == ["zoom"]
        assert state.state("pan") is S.DONE
        assert state.one("SELECT body FROM job WHERE id = 'zoom'") == jobs("first")[2].body
        assert not state.merge(jobs("first")).asks_a_person


def test_a_changed_dependant_is_kept_with_a_reference_that_still_leads_somewhere(
    tmp_path: Path,
) -> None:
    with open_state(tmp_path, job("still", "s"), clip("pan", "still")) as state:
        state.finish("still", "r1")
        state.finish("pan", "r2")
        found = state.merge([job("first", "s"), clip("pan", "first", prompt="up")], OnChanged.KEEP)
        assert [one.id for one in found.changed] == ["pan"]
        assert state.one("SELECT body FROM job WHERE id = 'pan'") == clip("pan", "first").body
