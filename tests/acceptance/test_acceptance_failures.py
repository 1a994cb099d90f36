"""What goes wrong at the vendor's, and what a person then sees and does."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.shell import Emulator, Shell, boat


def test_a_vendor_failure_is_shown_and_retry_pays_once_more(
    user: Shell, emulator: Emulator
) -> None:
    """Row 29."""
    user.manifest(2)
    emulator.arm("submit", "vendor_failed", message="The brushes are dry.")
    said = user.expect(1, "run", "m.yaml").said
    assert "The brushes are dry." in said
    assert "batchgen retry m.yaml" in said
    (failed,) = [job for job in user.status()["jobs"] if job["state"] == "failed"]
    assert "The brushes are dry." in failed["error"]["message"]
    assert user.expect(1, "run", "m.yaml", "--json").document["submitted"] == 0
    assert user.expect(0, "retry", "m.yaml", "--json").document["submitted"] == 1
    assert len(emulator.charges()) == 3
    assert set(user.states().values()) == {"done"}


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


def lose_an_answer(user: Shell, emulator: Emulator, jobs: int = 1) -> str:
    """Run into a submit that was accepted and whose answer never came; gives what was said."""
    user.manifest(jobs, run={"concurrency": 1})
    emulator.arm("submit", "reset_after")
    return user.expect(76, "run", "m.yaml").said


def test_a_lost_answer_is_held_until_a_person_decides(user: Shell, emulator: Emulator) -> None:
    """Rows 21 and 23."""
    said = lose_an_answer(user, emulator)
    assert "may or may not have been charged" in said
    assert "batchgen resolve m.yaml JOB --adopt REQUEST_ID | --resubmit | --write-off" in said
    user.expect(76, "run", "m.yaml")
    assert user.states() == {"boat-000": "unknown"}
    assert "may or may not have been charged: boat-000" in user.expect(0, "status", "m.yaml").out
    assert len(emulator.charges()) == 1


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
    lose_an_answer(user, emulator)
    user.expect(0, "resolve", "m.yaml", "boat-*", "--resubmit")
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 2


def test_a_request_that_cannot_be_adopted_is_refused(user: Shell, emulator: Emulator) -> None:
    lose_an_answer(user, emulator, jobs=2)
    taken = user.status()["jobs"][1]["request_id"]
    for request_id, words in (
        ("../../x", "is not a request id"),
        ("", "is not a request id"),
        (taken, "belongs to job boat-001 already"),
    ):
        done = user.expect(64, "resolve", "m.yaml", "boat-000", "--adopt", request_id)
        assert words in done.said
    assert user.states()["boat-000"] == "unknown"


def test_only_an_unknown_job_can_be_resolved(user: Shell, emulator: Emulator) -> None:
    lose_an_answer(user, emulator, jobs=2)
    done = user.expect(64, "resolve", "m.yaml", "boat-001", "--resubmit")
    assert "boat-001 is done, not unknown" in done.err
    missing = user.expect(64, "resolve", "m.yaml", "baot-000", "--resubmit")
    assert "no unknown job is called 'baot-000'" in missing.err
    assert "boat-000" in missing.err
    assert len(emulator.charges()) == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 402, "body": '{"message": "top up"}'},
        {"kind": "error_code", "error_code": 400002, "message": "top up"},
    ],
    ids=["HTTP 402", "HTTP 200 with 400002"],
)
def test_no_balance_pauses_and_fails_no_job(
    user: Shell, emulator: Emulator, fault: dict[str, str]
) -> None:
    """Rows 15 and 28."""
    user.manifest(3, run={"concurrency": 1})
    emulator.arm("submit", after=1, times=None, **fault)
    done = user.expect(75, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "no_balance"
    assert "top up" in done.err
    assert user.status()["counts"] == {"pending": 2, "done": 1}
    assert len(emulator.charges()) == 1


def test_429_is_obeyed(user: Shell, emulator: Emulator) -> None:
    """Row 30."""
    user.manifest(2)
    emulator.arm("submit", "status", status=429, headers={"Retry-After": "1"})
    assert "too many requests; waiting 1 s" in user.expect(0, "run", "m.yaml").err
    assert len(emulator.charges()) == 2


def test_an_api_that_cannot_be_reached_is_69_and_the_job_waits(shell: Shell) -> None:
    """Row 19."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    shell.manifest(2)
    user = shell.having(RUNCOMFY_MODEL_API_BASE=base, RUNCOMFY_TOKEN="t")
    said = user.expect(69, "run", "m.yaml").said
    assert "the API cannot be reached" in said
    assert "the same command continues" in said
    assert user.status()["counts"] == {"pending": 2}


def test_five_unknown_outcomes_pause_the_run(user: Shell, emulator: Emulator) -> None:
    """Row 27."""
    user.manifest(8, run={"concurrency": 1})
    emulator.arm("submit", "html", times=None)
    done = user.expect(76, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "unknown_outcomes"
    assert "five submits within a minute" in done.err
    assert user.status()["counts"] == {"pending": 3, "unknown": 5}
    assert emulator.charges() == []


@pytest.mark.parametrize("kind", ["expired", "wrong_bytes", "short_body", "html", "empty"])
def test_a_bad_download_is_tried_again_and_not_paid_again(
    user: Shell, emulator: Emulator, kind: str
) -> None:
    """Rows 40, 41, 42, 45 and 46."""
    user.manifest(1)
    emulator.arm("file", kind)
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 1
    assert [path.name for path in (user.folder / "out/files").iterdir()] == ["boat-000.png"]
    assert user.states() == {"boat-000": "done"}


def test_a_foreign_host_is_not_fetched_and_the_way_out_is_named(
    user: Shell, emulator: Emulator
) -> None:
    """Row 48."""
    user.manifest(2)
    emulator.arm("submit", "foreign_host")
    said = user.expect(75, "run", "m.yaml").said
    assert "elsewhere.example" in said
    assert "output.allow_hosts" in said
    assert user.status()["counts"] == {"fetching": 1, "done": 1}
    assert len(emulator.charges()) == 2


def test_one_forbidden_model_does_not_stop_the_others(user: Shell, emulator: Emulator) -> None:
    """Row 14."""
    video = {
        "id": "clip",
        "model": "bytedance/dreamina-3-0/pro/image-to-video",
        "input": {"prompt": "p", "image_urls": ["https://pictures.example.com/boat.png"]},
    }
    user.manifest([boat(0), video, boat(1)])
    emulator.arm("submit", "status", status=403, model="*video", body='{"message": "not open"}')
    assert "not open" in user.expect(1, "run", "m.yaml").said
    assert user.states() == {"boat-000": "done", "clip": "failed", "boat-001": "done"}


def test_the_log_is_json_lines_and_tells_the_end(user: Shell, emulator: Emulator) -> None:
    lose_an_answer(user, emulator)
    lines = (user.folder / "out/run.log").read_text("utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert events[0]["event"] == "RunStarted"
    assert events[-1]["event"] == "RunEnded"
    assert events[-1]["exit_code"] == 76
