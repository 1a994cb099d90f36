"""Names of files: claimed in the state, so the same on every run and never one for two."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.state.reconcile import OnChanged
from tests.state.state_world import State, job, open_state


def file_names(state: State, job_id: str) -> list[str]:
    rows = state.db.execute(
        "SELECT name FROM file WHERE job = ? ORDER BY attempt, position", (state.seq(job_id),)
    )
    return [name for (name,) in rows]


def test_another_take_never_overwrites_the_first_one(state: State) -> None:
    state.finish("boat", "r1")
    state.merge([job("boat", "another boat"), job("clip")], OnChanged.RERUN)
    state.submit("boat", "r2")
    state.deliver("boat", number=2, count=2)
    assert file_names(state, "boat") == ["boat", "boat.take2.1", "boat.take2.2"]


def test_a_numbered_file_gives_way_to_a_job_of_that_name(state: State) -> None:
    """Row 47: `boat.1` is the first of two files, and another job's name too."""
    state.merge([job("boat"), job("boat.1")])
    state.finish("boat", "r1", count=2)
    state.finish("boat.1", "r2")
    first, second = file_names(state, "boat")
    assert second == "boat.2"
    assert first.startswith("boat.1-")
    assert len(first) == len("boat.1-") + 8
    assert file_names(state, "boat.1") == ["boat.1"]


def test_a_new_job_gives_way_to_a_file_that_has_its_name(state: State) -> None:
    """Row 47, the other way round."""
    state.finish("boat", "r1", count=2)
    state.merge([job("boat"), job("clip"), job("Boat.1")])
    state.finish("Boat.1", "r2")
    assert file_names(state, "boat") == ["boat.1", "boat.2"]
    (name,) = file_names(state, "Boat.1")
    assert name.startswith("Boat.1-")


def test_names_are_the_same_in_another_run_of_the_same_manifest(tmp_path: Path) -> None:
    """Row 47."""
    jobs = [job("Boat"), job("boat"), job("x", name="boat"), job("boat.1"), job("../x", name="CON")]
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with open_state(folder, *jobs) as state:
            for one in jobs:
                state.finish(one.id, f"r-{one.id}", count=2)
            found.append([file_names(state, one.id) for one in jobs])
    assert found[0] == found[1]
    names = [name.casefold() for per_job in found[0] for name in per_job]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("order", [("b", "b-2", "b-3"), ("b-3", "b-2", "b"), ("b-2", "b", "b-3")])
def test_a_repeat_and_a_second_picture_have_names_of_their_own_in_any_order(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    with open_state(tmp_path, *map(job, ("b", "b-2", "b-3"))) as state:
        for job_id in order:
            state.finish(job_id, f"r-{job_id}", count=2)
        assert [file_names(state, job_id) for job_id in ("b", "b-2", "b-3")] == [
            ["b.1", "b.2"],
            ["b-2.1", "b-2.2"],
            ["b-3.1", "b-3.2"],
        ]


def test_a_name_that_an_earlier_version_claimed_stays(state: State) -> None:
    state.finish("boat", "r1", count=2)
    state.db.execute("UPDATE file SET name = replace(name, '.', '-')")
    state.merge([job("boat"), job("clip")])
    assert file_names(state, "boat") == ["boat-1", "boat-2"]
