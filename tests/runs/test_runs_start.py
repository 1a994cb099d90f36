"""When a run begins to submit is remembered, so that a crash in the night costs no day."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path

from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import ProblemLog
from batchgen.runs.options import RunOptions
from batchgen.runs.workload import take_stock
from tests.runs.run_world import Place, write_manifest

EVENING = datetime(2026, 11, 21, 18).timestamp()  # noqa: DTZ001 - local, as people mean it
START = datetime(2026, 11, 21, 22).timestamp()  # noqa: DTZ001 - as above
HOUR = 3600.0


def begun(place: Place, folder: Path, at: float, options: RunOptions | None = None) -> float | None:
    manifest = read_manifest(
        write_manifest(folder, 1, run='{start_at: "22:00"}'), ProblemLog(), env={}
    )
    assert manifest is not None
    return take_stock(place.db, place.folder, manifest, options or RunOptions(), at).begins_at


def test_a_run_that_was_cut_off_after_its_time_to_start_goes_on_at_once(
    place: Place, tmp_path: Path
) -> None:
    assert begun(place, tmp_path, EVENING) == START
    assert begun(place, tmp_path, START - 1.0) == START
    assert begun(place, tmp_path, START + 4 * HOUR) is None
    assert begun(place, tmp_path, START + 5 * HOUR) is None
    tomorrow = START + timedelta(days=1).total_seconds()
    assert begun(place, tmp_path, START + 20 * HOUR) == tomorrow


def test_another_time_to_start_is_not_the_one_that_has_come(place: Place, tmp_path: Path) -> None:
    begun(place, tmp_path, EVENING)
    later = RunOptions(start_at=time(23))
    assert begun(place, tmp_path, START + 0.5 * HOUR, later) == START + HOUR
