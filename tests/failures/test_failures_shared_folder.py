"""Two manifests that name one output folder: neither speaks of the other's jobs."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.shell import Shell, boat

REHEARSED = ("--emulator", "--latency", "0", "-q")


@pytest.fixture
def shared(shell: Shell) -> Shell:
    """a.yaml was run, with the jobs boat-001 and boat-002; b.yaml has 003 and 004."""
    for name, numbers in (("a.yaml", (1, 2)), ("b.yaml", (3, 4))):
        shell.manifest([boat(number) for number in numbers], name=name[0])
        (shell.folder / "m.yaml").rename(shell.folder / name)
    shell.expect(0, "run", "a.yaml", *REHEARSED)
    return shell


def exported(shell: Shell, manifest: str, folder: str) -> set[str]:
    shell.expect(0, "export", manifest, folder, "--to", "jsonl")
    lines = (shell.folder / folder / "train.jsonl").read_text().splitlines()
    return {json.loads(line)["id"] for line in lines}


def test_a_second_manifest_is_refused_and_the_first_one_stays_whole(shared: Shell) -> None:
    for command in (("run", "b.yaml", *REHEARSED), ("plan", "b.yaml", "--emulator")):
        done = shared.expect(65, *command)
        assert "out was last run from" in done.err
        assert "a.yaml (name a)" in done.err
        assert "--take-over" in done.err
    for words in ("status b.yaml", "report b.yaml", "export b.yaml d --to hf"):
        assert "was last run from" in shared.expect(65, *words.split()).err
    assert {job["id"] for job in shared.status("a.yaml")["jobs"]} == {"boat-001", "boat-002"}
    assert exported(shared, "a.yaml", "d") == {"boat-001", "boat-002"}


def test_a_folder_that_is_taken_over_speaks_of_the_manifest_that_was_run_last(
    shared: Shell,
) -> None:
    shared.expect(0, "run", "b.yaml", *REHEARSED, "--take-over")
    assert {job["id"] for job in shared.status("b.yaml")["jobs"]} == {"boat-003", "boat-004"}
    assert "b.yaml (name b)" in shared.expect(65, "status", "a.yaml").err
    assert "b.yaml (name b)" in shared.expect(65, "export", "a.yaml", "d", "--to", "jsonl").err
    shared.expect(0, "run", "a.yaml", *REHEARSED, "--take-over")
    assert exported(shared, "a.yaml", "d") == {"boat-001", "boat-002"}


def test_a_manifest_that_was_renamed_is_still_the_same(shared: Shell) -> None:
    (shared.folder / "a.yaml").rename(shared.folder / "c.yaml")
    shared.expect(0, "status", "c.yaml")
    shared.expect(0, "run", "c.yaml", *REHEARSED)


def test_the_suggested_command_rehearses_just_what_was_asked(shared: Shell) -> None:
    asked = ("--job", "boat-003", "--rate", "90/min", "--max-duration", "2h", "--stop-at", "7:00")
    err = shared.expect(65, "run", "b.yaml", *REHEARSED, *asked).err
    command = err[err.index("batchgen run b.yaml") :].splitlines()[0]
    assert command == (
        "batchgen run b.yaml --job=boat-003 --rate=90/min --stop-at=07:00 --max-duration=7200s"
        " --latency=0.0 --take-over --emulator"
    )
    assert "--take-over --emulator" in shared.expect(65, "plan", "b.yaml").err
    assert "--take-over --emulator" in shared.expect(65, "status", "b.yaml").err
    shared.expect(0, *shlex.split(command)[1:])
    states = {job["id"]: job["state"] for job in shared.status("b.yaml")["jobs"]}
    assert states["boat-003"] == "done"
    assert states["boat-004"] == "pending"
