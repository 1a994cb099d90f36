"""What a job costs the state does not grow with how many others there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.jobs import JobState
from tests.state.state_world import State, job, open_state


def steps_of_a_life(folder: Path, others: int) -> int:
    """Steps of SQLite's machine, by tens, from the submit of the first job to its last file."""
    folder.mkdir()
    jobs = [job(f"job-{number:05}") for number in range(others)]
    with open_state(folder, *jobs, job("clip", needs=("job-00000",))) as state:
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        state.db.set_progress_handler(tick, 10)
        live(state)
        state.db.set_progress_handler(None, 10)
        return count


def live(state: State) -> None:
    state.submit("job-00001", "r1")
    state.deliver("job-00001", count=1)
    state.save_all("job-00001")
    assert state.state("job-00001") is JobState.DONE


def test_a_job_takes_as_many_steps_among_many_as_among_few(tmp_path: Path) -> None:
    few = steps_of_a_life(tmp_path / "few", 50)
    assert steps_of_a_life(tmp_path / "many", 2000) == pytest.approx(few, abs=20)
