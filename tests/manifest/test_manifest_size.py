"""Memory, and the examples that come with the project."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import ProblemLog
from batchgen.manifest.starters.manifests import starter_manifest
from batchgen.manifest.stream import checked_jobs
from tests.manifest.manifest_reading import EDIT, HEAD, T2I, VIDEO, read, read_file

EXAMPLES = Path(__file__).parents[2] / "manifests"


def test_memory_stays_flat_however_many_jobs_there_are(tmp_path: Path) -> None:
    """Row 6."""
    few, many = (peak_of(write_jobs(tmp_path, count), count) for count in (200, 3000))
    assert many < few + 500_000


def write_jobs(folder: Path, count: int) -> Path:
    path = folder / f"{count}.yaml"
    with path.open("w") as file:
        file.write(f"{HEAD}jobs:\n")
        for number in range(count):
            file.write(f"  - {{id: job-{number}, input: {{prompt: '{'x' * 500}'}}}}\n")
    return path


def peak_of(path: Path, count: int) -> int:
    log = ProblemLog()
    tracemalloc.start()
    try:
        manifest = read_manifest(path, log)
        assert manifest is not None
        assert sum(1 for _ in checked_jobs(manifest, log)) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "count"), [("quickstart", 8), ("overnight", 24), ("dataset", 12)])
def test_the_examples_are_valid(name: str, count: int) -> None:
    reading = read_file(EXAMPLES / f"{name}.yaml")
    assert reading.problems == []
    assert len(reading.jobs) == count
    assert {job.model for job in reading.jobs} == {T2I, EDIT, VIDEO}
    assert reading.manifest is not None
    assert reading.manifest.output.dir == Path("output") / name
    assert len({job.name for job in reading.jobs}) == count


@pytest.mark.parametrize("name", ["my-batch", 'q"uote', "yes", "7: x", "ä"])
def test_the_starter_is_valid_under_any_name(name: str) -> None:
    reading = read(starter_manifest(name))
    assert reading.problems == []
    assert [job.model for job in reading.jobs] == [T2I, EDIT, VIDEO]


def test_the_starter_carries_its_name() -> None:
    manifest = read(starter_manifest("summer")).manifest
    assert manifest is not None
    assert (manifest.name, manifest.output.dir) == ("summer", Path("output/summer"))
