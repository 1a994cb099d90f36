"""What goes wrong at the vendor's, and what a person then sees and does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.shell import Emulator, Shell


def test_four_failures_of_two_sentences_are_two_causes_each_with_a_key_to_retry(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(4)
    for sentence in ("No faces are drawn", "Too many trees"):
        emulator.arm("submit", "vendor_failed", message=f"{sentence}.", times=2)
    run = user.expect(1, "run", "m.yaml").out
    keys = dict(re.findall(r"  2 failed · .*(faces|trees).*? · --cause=([0-9a-f]+)", run))
    assert set(keys) == {"faces", "trees"}
    status = user.expect(0, "status", "m.yaml").out
    assert all(f"--cause={key}" in status for key in keys.values())
    again = user.expect(1, "retry", "m.yaml", "--json", f"--cause={keys['trees']}").document
    assert (again["submitted"], again["counts"]) == (2, {"done": 2, "failed": 2})
    assert [(cause["key"], cause["jobs"]) for cause in again["causes"]] == [(keys["faces"], 2)]


def test_retries_of_the_manifest_try_again_unasked(user: Shell, emulator: Emulator) -> None:
    user.manifest(1, run={"retries": 1})
    emulator.arm("submit", "vendor_failed")
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 2


def lose_an_answer(user: Shell, emulator: Emulator, jobs: int = 1) -> None:
    """Run into a submit that was accepted and whose answer never came."""
    user.manifest(jobs, run={"concurrency": 1})
    emulator.arm("submit", "reset_after")
    user.expect(76, "run", "m.yaml")


def test_what_cannot_be_the_id_of_a_request_is_refused_at_once(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("submit", "reset_after")
    user.expect(76, "run", "m.yaml", "--limit", "1")
    adopt = ("resolve", "m.yaml", "boat-000", "--adopt")
    assert "'x' is not a request id\n" in user.expect(64, *adopt, "x").err
    err = user.expect(64, *adopt, "boat-001").err
    assert "'boat-001' is the id of a job, not of a request" in err
    assert "page Generations on runcomfy.com" in err
    user.expect(76, "run", "m.yaml")
    (known,) = (job["request_id"] for job in user.status()["jobs"] if job["request_id"])
    err = user.expect(64, *adopt, "some-other-thing").err
    assert f"'some-other-thing' is not a request id such as {known}" in err
    assert user.states()["boat-000"] == "unknown"


def test_adopting_the_request_fetches_it_without_another_charge(
    user: Shell, emulator: Emulator
) -> None:
    lose_an_answer(user, emulator)
    (charge,) = emulator.charges()
    user.expect(0, "resolve", "m.yaml", "boat-000", "--adopt", charge["request_id"])
    assert user.expect(0, "run", "m.yaml", "--json").document["submitted"] == 0
    assert len(emulator.charges()) == 1
    (job,) = user.status()["jobs"]
    assert job["state"] == "done"
    assert job["request_id"] == charge["request_id"]
    assert Path(job["files"][0]["path"]).stat().st_size == job["files"][0]["bytes"]


def test_writing_off_counts_as_failed_and_sends_nothing(user: Shell, emulator: Emulator) -> None:
    lose_an_answer(user, emulator)
    user.expect(0, "resolve", "m.yaml", "boat-000", "--write-off")
    user.expect(1, "run", "m.yaml")
    assert user.states() == {"boat-000": "failed"}
    assert len(emulator.charges()) == 1


def test_resubmitting_pays_again_and_only_once(user: Shell, emulator: Emulator) -> None:
    lose_an_answer(user, emulator, jobs=2)
    done = user.expect(64, "resolve", "m.yaml", "boat-001", "--resubmit")
    assert "boat-001 is done, not unknown" in done.err
    user.expect(0, "resolve", "m.yaml", "boat-*", "--resubmit")
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 3


def test_the_log_is_json_lines_and_tells_the_end(user: Shell, emulator: Emulator) -> None:
    lose_an_answer(user, emulator)
    lines = (user.folder / "out/run.log").read_text("utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert events[0]["event"] == "RunStarted"
    assert events[-1]["event"] == "RunEnded"
    assert events[-1]["exit_code"] == 76
