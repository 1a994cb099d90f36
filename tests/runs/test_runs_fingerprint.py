"""A state is taken for that of a manifest only where its jobs were made from these very files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchgen.errors import ChangedJobsError, ManifestError
from batchgen.jobs import Job, JobState
from batchgen.manifest.header import Manifest
from batchgen.manifest.stream import checked_jobs
from batchgen.runs import api, startup
from batchgen.runs.fingerprint import Fingerprint, fingerprint_of
from batchgen.runs.options import RunOptions
from batchgen.runs.prepare import read_with_environment
from tests.runs.run_world import statuses, write_manifest
from tests.state.state_world import T2I

REHEARSAL = RunOptions(emulator=True, emulator_latency=0.01)


def replace(path: Path, old: str, new: str) -> None:
    """As editors save: another file takes the name."""
    other = path.with_suffix(".new")
    other.write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")
    other.replace(path)


def test_a_manifest_that_is_replaced_behind_its_header_is_read_again_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_manifest(tmp_path, 1)

    def too_late(manifest: Manifest) -> Fingerprint:
        replace(path, "1024x1024", "2048x2048")
        return fingerprint_of(manifest)

    monkeypatch.setattr(startup, "fingerprint_of", too_late)
    assert api.run(path, REHEARSAL).counts == {JobState.DONE: 1}
    monkeypatch.undo()
    with pytest.raises(ChangedJobsError):
        api.run(path, REHEARSAL)


def write_sweep(folder: Path, name: str = "m.yaml", prompt: str = "{{ prompt }}") -> Path:
    """Its output is relative to the working directory."""
    (folder / "rows.csv").write_text("prompt\nboat\n", encoding="utf-8")
    path = folder / name
    path.write_text(
        "version: 1\noutput: {dir: out}\nenv: [MOOD]\njobs:\n"
        f"  - {{id: 'j{{{{ index }}}}', from: rows.csv, model: {T2I},"
        f" input: {{prompt: '{prompt}', size: 1024x1024}}}}\n",
        encoding="utf-8",
    )
    return path


def test_rows_that_were_there_only_while_they_were_read_are_not_taken_for_the_files_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOOD", "calm")
    monkeypatch.chdir(tmp_path)
    path, rows, aside = write_sweep(tmp_path), tmp_path / "rows.csv", tmp_path / "aside.csv"

    def elsewhere(*given: Any) -> Iterator[Job]:
        rows.rename(aside)
        rows.write_text("prompt\nanother\n", encoding="utf-8")
        yield from checked_jobs(*given)
        aside.replace(rows)

    monkeypatch.setattr(startup, "checked_jobs", elsewhere)
    assert api.run(path, REHEARSAL).counts == {JobState.DONE: 1}
    monkeypatch.setattr(startup, "checked_jobs", checked_jobs)
    with pytest.raises(ChangedJobsError):
        api.run(path, REHEARSAL)


def test_a_stale_fingerprint_is_that_of_no_state(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, 1)
    manifest = read_with_environment(path, {}, rehearsal=True)
    found = fingerprint_of(manifest)
    assert found.is_of(found.text())
    assert not found.is_of(None)
    replace(path, "boat", "ship")
    assert found.text() == ""
    # What the state keeps while jobs are taken up must not match either.
    assert not found.is_of("")


def test_rows_from_a_pipe_are_refused_at_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOOD", "calm")
    monkeypatch.chdir(tmp_path)
    path = write_sweep(tmp_path)
    (tmp_path / "rows.csv").unlink()
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(ManifestError) as caught:
        api.run(path, REHEARSAL)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(path), 5)
    assert "this is not a regular file" in str(problem)


def test_names_and_values_that_are_not_utf_8_are_run_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"caf\xe9")
    monkeypatch.setenv("MOOD", odd)
    folder = tmp_path / odd
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = write_sweep(folder, f"{odd}.yaml")
    for _ in range(2):
        assert api.run(path, REHEARSAL).counts == {JobState.DONE: 1}
    assert [one.id for one in statuses(folder / "out")] == ["j1"]


def test_a_value_that_is_not_utf_8_cannot_be_part_of_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOOD", os.fsdecode(b"caf\xe9"))
    monkeypatch.chdir(tmp_path)
    path = write_sweep(tmp_path, prompt="{{ env.MOOD }}")
    with pytest.raises(ManifestError) as caught:
        api.run(path, REHEARSAL)
    assert len(caught.value.problems) == 1
