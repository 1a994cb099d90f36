"""The vendor's other words over HTTP: what is no end, what is no refusal, what follows late."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchgen.engine import decisions, health
from tests.failures.failing import only
from tests.shell import Emulator, Shell, emulating


def logged(user: Shell, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in user.log().splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.fixture
def strict() -> Iterator[Emulator]:
    """Takes two requests at a time and refuses a third one with 429."""
    with emulating(max_parallel=2, latency=0.2) as emulator:
        yield emulator


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "not_ready"},
        {"kind": "html", "status": 403},
        {"kind": "html", "status": 409},
        {"kind": "html", "status": 422},
        {"kind": "html", "status": 425},
        {"kind": "html", "status": 200},
        {"kind": "status", "status": 403, "body": '{"error_code": 403001}'},
        {"kind": "status", "status": 404, "body": '{"error_code": 404001}'},
        {"kind": "status", "status": 401, "body": '{"error_code": 400004}'},
    ],
    ids=lambda fault: " ".join(str(part) for part in fault.values()),
)
def test_a_result_that_is_not_ready_frees_no_place_and_loses_no_job(
    tmp_path: Path, shell: Shell, strict: Emulator, fault: dict[str, Any]
) -> None:
    user = shell.using(strict)
    user.manifest(6, run={"concurrency": 2})
    strict.arm("result", **fault, times=None if fault["kind"] == "not_ready" else 5)
    user.expect(0, "run", "m.yaml")
    assert set(user.states().values()) == {"done"}
    assert len(strict.charges()) == 6
    # With a third request in flight the emulator would have said 429.
    assert logged(user, "Slowed") == []


def test_an_early_success_is_waited_for(user: Shell, emulator: Emulator) -> None:
    user.manifest(2)
    emulator.arm("submit", "early_success", size=2)
    user.expect(0, "run", "m.yaml")
    assert set(user.states().values()) == {"done"}
    assert len(emulator.charges()) == 2


@pytest.mark.parametrize("command", ["run", "retry"])
def test_files_that_come_after_all_are_taken_by_the_next_run_and_by_a_retry_for_free(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    # Two looks, one a second after the other, and then the request is set aside.
    monkeypatch.setattr(decisions, "FILES_PATIENCE", 0.5)
    user.manifest(2)
    emulator.arm("submit", "early_success", size=2, times=2)
    said = user.expect(1, "run", "m.yaml").said
    assert "names no file; each run asks for its result again" in said
    plan = user.expect(0, "plan", "m.yaml", "--json").document["total"]
    assert (plan["failed"], plan["asked_again"], plan["in_flight"]) == (2, 2, 0)
    assert set(user.states().values()) == {"failed"}
    user.expect(0, command, "m.yaml")
    assert set(user.states().values()) == {"done"}
    assert len(emulator.charges()) == 2


def test_a_retry_pays_again_only_for_what_has_really_ended_without_files(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "FILES_PATIENCE", 0.3)
    user.manifest(1)
    emulator.arm("submit", "no_urls")
    user.expect(1, "run", "m.yaml")
    assert only(user.status()["jobs"])["error"]["code"] == "no_files"
    user.expect(1, "run", "m.yaml")
    assert len(emulator.charges()) == 1
    user.expect(0, "retry", "m.yaml")
    assert len(emulator.charges()) == 2
    assert user.states() == {"boat-000": "done"}


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_gateways_page_at_the_submit_fails_no_job_and_no_model(
    user: Shell, emulator: Emulator, status: int
) -> None:
    user.manifest(3)
    emulator.arm("submit", "html", status=status)
    user.expect(0, "run", "m.yaml")
    assert set(user.states().values()) == {"done"}
    assert len(emulator.charges()) == 3


def test_pages_in_a_row_pause_with_the_gateways_name_and_the_same_command_goes_on(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "GATEWAYS_IN_A_ROW", 2)
    user.manifest(20)
    emulator.arm("submit", "html", status=403, times=None)
    said = user.expect(69, "run", "m.yaml").said
    assert "a gateway or proxy in between answers instead of the API" in said
    assert "HTTP 403: an HTML page instead of JSON" in said
    assert set(user.states().values()) == {"pending"}
    emulator.disarm()
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 20


@pytest.mark.parametrize("status", [400, 402])
def test_a_wallet_that_is_empty_by_another_code_pauses(
    user: Shell, emulator: Emulator, status: int
) -> None:
    user.manifest(3, run={"concurrency": 1})
    emulator.arm("submit", "no_funds", status=status, after=1, times=None)
    said = user.expect(75, "run", "m.yaml").said
    assert "the account's balance is too low" in said
    assert sorted(user.states().values()) == ["done", "pending", "pending"]


def test_the_same_refusal_of_many_jobs_pauses_and_a_retry_goes_on_with_all(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(40, run={"concurrency": 2})
    emulator.arm("submit", "error_code", error_code=7001, message="plan over", times=None)
    said = user.expect(75, "run", "m.yaml").said
    assert "10 jobs in a row for the same reason (7001: plan over)" in said
    assert user.status()["counts"]["failed"] < 14
    emulator.disarm()
    user.expect(0, "retry", "m.yaml")
    assert len(emulator.charges()) == 40


@pytest.mark.parametrize("word", ["detail", "error_message"])
def test_what_is_wrong_with_an_input_is_said_in_words(
    user: Shell, emulator: Emulator, word: str
) -> None:
    user.manifest(1)
    emulator.arm("submit", "invalid_input", message="too long", word=word)
    user.expect(1, "run", "m.yaml")
    reason = only(user.status()["jobs"])["error"]["message"]
    assert reason.startswith("prompt: too long")


def test_a_cost_that_is_late_or_a_text_is_settled_in_state_and_metadata(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(2)
    emulator.arm("submit", "late_cost")
    emulator.arm("submit", "text_cost")
    summary = user.expect(0, "run", "m.yaml", "--json").document
    charged = sum(charge["usd"] for charge in emulator.charges())
    assert summary["spent_usd"] == pytest.approx(charged)
    assert summary["unpriced"] == 0
    lines = (user.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["cost"] for line in lines] == [charged / 2] * 2


def test_an_end_in_an_unknown_word_is_an_end_and_is_told_on_the_screen(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    emulator.arm("submit", "final_word", word="finalized")
    assert "'finalized'" in user.expect(0, "run", "m.yaml").err
    assert user.states() == {"boat-000": "done"}


def test_a_failure_reason_is_read(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("submit", "failure_reason", message="The brushes are dry.")
    assert "The brushes are dry." in user.expect(1, "run", "m.yaml").said


def test_a_request_that_failed_for_lack_of_money_pauses_and_goes_again_by_the_same_command(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("submit", "failed_for_balance")
    assert "balance is too low" in user.expect(75, "run", "m.yaml").said
    assert user.states() == {"boat-000": "pending", "boat-001": "pending"}
    user.expect(0, "run", "m.yaml")
    assert set(user.states().values()) == {"done"}


@pytest.mark.parametrize("place", ["submit", "result", "status", "cancel"])
def test_doubled_answers_cross_no_jobs(user: Shell, emulator: Emulator, place: str) -> None:
    user.manifest(12, run={"concurrency": 4})
    if place == "status":
        emulator.arm("result", "not_ready", times=None)
    emulator.arm(place, "doubled", times=None, seconds=0.0)
    user.expect(0, "run", "m.yaml")
    assert_nothing_crossed(user, emulator, 12)


def test_the_document_of_another_request_is_nobodys(user: Shell, emulator: Emulator) -> None:
    user.manifest(12, run={"concurrency": 4})
    emulator.arm("result", "other_document", times=20)
    user.expect(0, "run", "m.yaml")
    assert_nothing_crossed(user, emulator, 12)


def assert_nothing_crossed(user: Shell, emulator: Emulator, jobs: int) -> None:
    charges = {charge["request_id"]: charge["input"] for charge in emulator.charges()}
    assert len(charges) == jobs
    lines = (user.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == jobs
    for line in map(json.loads, lines):
        assert charges[line["request_id"]] == line["input"]
