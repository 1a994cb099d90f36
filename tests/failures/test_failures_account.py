"""Rows 12 to 17: token, permission, balance and budget."""

from __future__ import annotations

from typing import Any

import pytest

from tests.shell import PICTURE, VIDEO, Emulator, Shell, boat, emulating


def test_row_12_without_a_token_a_run_ends_with_77_before_anything(
    shell: Shell, emulator: Emulator
) -> None:
    shell.manifest(1)
    nameless = shell.having(RUNCOMFY_MODEL_API_BASE=emulator.base)
    assert "RUNCOMFY_TOKEN" in nameless.expect(77, "run", "m.yaml").err
    assert not (shell.folder / "out").exists()
    assert emulator.charges() == []


def test_row_13_a_token_rejected_in_mid_run_pauses_all_and_fails_no_job(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(6, run={"concurrency": 1})
    emulator.arm("submit", "status", after=2, times=None, status=401, body='{"message": "revoked"}')
    done = user.expect(77, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "token_refused"
    assert done.document["submitted"] == 3, "the refused one was the last"
    assert "the API refused the token (revoked)" in done.err
    assert "set a valid RUNCOMFY_TOKEN (a different one is fine), then run the same" in done.err
    assert set(user.states().values()) <= {"pending", "done", "fetching"}
    assert len(emulator.charges()) == 2


def test_row_13_requests_in_flight_are_kept_and_followed_by_the_next_run(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    for place in ("result", "status"):
        emulator.arm(place, "status", status=401, body='{"error_code": 400004}')
    user.expect(77, "run", "m.yaml")
    assert user.states() == {"boat-000": "queued"}
    assert user.expect(0, "run", "m.yaml", "--json").document["submitted"] == 0
    assert user.states() == {"boat-000": "done"}
    assert len(emulator.charges()) == 1


def test_row_14_the_jobs_of_a_forbidden_model_fail_and_the_others_go_on(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest([clip(0), boat(0), clip(1), boat(1)], run={"concurrency": 1})
    emulator.arm(
        "submit", "status", status=403, model=VIDEO, times=None, body='{"message": "not open"}'
    )
    done = user.expect(1, "run", "m.yaml", "--json")
    assert "not open" in done.err
    assert done.document["submitted"] == 3, "the second clip was not even tried"
    assert user.status()["counts"] == {"done": 2, "failed": 2}
    failed = [job for job in user.status()["jobs"] if job["state"] == "failed"]
    assert [job["id"] for job in failed] == ["clip-0", "clip-1"]
    assert [job["error"]["message"] for job in failed] == ["not open", "not open"]
    assert len(emulator.charges()) == 2


def clip(number: int) -> dict[str, Any]:
    job_input = {"prompt": f"clip {number}", "image_urls": [PICTURE]}
    return {"id": f"clip-{number}", "model": VIDEO, "input": job_input}


@pytest.mark.parametrize(
    "refusal",
    [
        {"kind": "status", "status": 402, "body": '{"message": "top up"}'},
        {"kind": "error_code", "error_code": 400002, "message": "top up"},
    ],
    ids=["HTTP 402", "HTTP 200 with 400002"],
)
def test_row_15_no_balance_pauses_and_no_job_is_marked_failed(
    user: Shell, emulator: Emulator, refusal: dict[str, Any]
) -> None:
    user.manifest(3, run={"concurrency": 1})
    emulator.arm("submit", after=1, **refusal)
    done = user.expect(75, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "no_balance"
    assert "top up" in done.err
    assert user.status()["counts"] == {"pending": 2, "done": 1}
    assert len(emulator.charges()) == 1
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 3


def test_row_16_a_budget_that_is_reached_stops_submits_and_what_is_paid_is_finished(
    user: Shell, emulator: Emulator
) -> None:
    """A picture of the emulator costs 0.03; eight would be submitted at once."""
    user.manifest(8, run={"budget": 0.10})
    done = user.expect(75, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "budget"
    assert "raise run.budget or --budget, then run the same command again to continue" in done.err
    assert done.document["spent_usd"] == pytest.approx(0.09)
    assert user.status()["counts"] == {"done": 3, "pending": 5}
    assert len(user.files()) == 3
    assert len(emulator.charges()) == 3
    user.manifest(8, run={"budget": 0.24})
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 8


def test_row_17_another_token_continues_the_run(shell: Shell) -> None:
    """One request is with the vendor, another job was not sent, when the token changes."""
    shell.manifest(2, run={"concurrency": 1})
    with emulating() as emulator:
        for place in ("result", "status"):
            emulator.arm(place, "status", status=401, body='{"error_code": 400004}')
        shell.using(emulator, "the-old-one").expect(77, "run", "m.yaml")
        assert shell.status()["counts"] == {"queued": 1, "pending": 1}
        again = shell.using(emulator, "the-new-one").expect(0, "run", "m.yaml", "--json")
        assert again.document["submitted"] == 1
        assert len(emulator.charges()) == 2


def test_row_17_a_wrong_token_leaves_all_to_the_right_one(shell: Shell) -> None:
    shell.manifest(2)
    with emulating(token="right") as emulator:
        said = shell.using(emulator, "wrong").expect(77, "run", "m.yaml").said
        assert "the API refused the token" in said
        assert shell.status()["counts"] == {"pending": 2}
        shell.using(emulator, "right").expect(0, "run", "m.yaml")
        assert {charge["status"] for charge in emulator.charges()} == {"succeeded"}
