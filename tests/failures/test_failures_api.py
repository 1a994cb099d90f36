"""Rows 28 to 39: what the API answers, in all the ways that it may be odd."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

import batchgen
from batchgen.engine import decisions, health
from batchgen.engine.backoff import delay
from batchgen.engine.events import Event, Slowed
from tests.failures.failing import impatient, only
from tests.shell import Emulator, Shell, boat, emulating, wait_until


def logged(user: Shell, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in user.log().splitlines()]
    return [line for line in lines if line["event"] == event]


def notes(user: Shell) -> list[str]:
    return [line["text"] for line in logged(user, "Noted")]


@pytest.mark.parametrize(
    ("code", "exit_code", "state"),
    [
        (400001, 1, "failed"),
        (400002, 75, "pending"),
        (400004, 77, "pending"),
        (403001, 1, "failed"),
        (422000, 1, "failed"),
    ],
)
def test_row_28_http_200_with_an_error_code_is_a_refusal_by_its_code(
    user: Shell, emulator: Emulator, code: int, exit_code: int, state: str
) -> None:
    user.manifest(1)
    emulator.arm("submit", "error_code", error_code=code, message="not like this")
    assert "not like this" in user.expect(exit_code, "run", "m.yaml").said
    assert user.states() == {"boat-000": state}
    assert emulator.charges() == []


def test_row_29_completed_and_then_a_failed_result_is_failed_in_the_vendors_words(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    emulator.arm("submit", "vendor_failed", message="The brushes are dry.")
    emulator.arm("result", "unknown_state", word="completed")
    said = user.expect(1, "run", "m.yaml").said
    assert "The brushes are dry." in said
    assert "batchgen retry m.yaml" in said
    job = only(user.status()["jobs"])
    assert (job["state"], job["error"]["message"]) == ("failed", "The brushes are dry.")
    assert user.expect(1, "run", "m.yaml", "--json").document["submitted"] == 0
    assert len(emulator.charges()) == 1
    assert user.expect(0, "retry", "m.yaml", "--json").document["submitted"] == 1
    assert user.states() == {"boat-000": "done"}
    assert len(emulator.charges()) == 2


@dataclass
class FirstWait:
    """Runs until the vendor's first 429, and then leaves: nobody wants to wait 300 s here."""

    waits: list[float] = field(default_factory=list)

    def of(self, user: Shell) -> float:
        with user.at_home():
            asyncio.run(self._run())
        return self.waits[0]

    async def _run(self) -> None:
        running = asyncio.create_task(batchgen.run_async("m.yaml", on_event=self._hear))
        self._leave = running.cancel
        await asyncio.wait({running})

    def _hear(self, event: Event) -> None:
        if isinstance(event, Slowed):
            self.waits.append(event.seconds)
            self._leave()


@pytest.fixture
def usual_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(delay.__kwdefaults__ or {}, "first", 1.0)


@pytest.mark.usefixtures("usual_backoff")
@pytest.mark.parametrize(
    ("header", "shortest", "longest"),
    [
        ("7", 7, 7),
        (timedelta(seconds=20), 18, 20),
        (timedelta(days=-1), 0.5, 1),
        ("-5", 0.5, 1),
        ("0", 0.5, 1),
        ("99999999999", 300, 300),
        ("inf", 300, 300),
        (timedelta(days=9999), 300, 300),
        ("soon", 0.5, 1),
        (None, 0.5, 1),
    ],
)
def test_row_30_a_retry_after_of_any_form_is_honoured_or_clamped(
    user: Shell,
    emulator: Emulator,
    header: str | timedelta | None,
    shortest: float,
    longest: float,
) -> None:
    """Where it asks for nothing usable, the wait is half a second to one, by chance."""
    user.manifest(1)
    if isinstance(header, timedelta):
        header = format_datetime(datetime.now(UTC) + header, usegmt=True)
    headers = {} if header is None else {"Retry-After": header}
    emulator.arm("submit", "status", status=429, headers=headers)
    assert shortest <= FirstWait().of(user) <= longest
    assert emulator.charges() == []


def test_row_30_the_wait_is_kept_before_the_next_submit(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("submit", "status", status=429, headers={"Retry-After": "1"})
    done = user.expect(0, "run", "m.yaml", "--json")
    assert "too many requests; waiting 1 s" in done.err
    assert done.document["seconds"] >= 1
    assert len(emulator.charges()) == 1


@pytest.mark.usefixtures("usual_backoff")
def test_row_31_endless_429_is_met_by_longer_waits(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("submit", "status", status=429, times=2)
    user.expect(0, "run", "m.yaml")
    first, second = (line["seconds"] for line in logged(user, "Slowed"))
    assert 0.5 <= first <= 1 <= second <= 2


@pytest.mark.usefixtures("usual_backoff")
def test_row_31_endless_429_pauses_in_the_end(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody wants to wait a quarter of an hour here: a second has to do."""
    monkeypatch.setattr(health, "LONGEST_OUTAGE", 1.0)
    monkeypatch.setattr(health, "FEWEST_THROTTLES", 3)
    user.manifest(30)
    emulator.arm("submit", "status", status=429, times=None, headers={"Retry-After": "0.01"})
    with user.at_home():
        summary = batchgen.run("m.yaml")
    assert summary.exit_code == 75
    assert summary.pause is not None
    assert summary.pause.reason == "throttled"
    assert "set run.rate or a lower run.concurrency" in summary.pause.next_step
    # Three rounds: eight at once at first, then four, then two; their waits grow all the same.
    assert summary.submitted <= 8 + 4 + 2
    assert user.status()["counts"] == {"pending": 30}
    assert emulator.charges() == []


def test_row_32_a_state_that_goes_backwards_is_ignored_and_logged(shell: Shell) -> None:
    shell.manifest(1)
    with emulating(latency=0.8) as emulator:
        user = shell.using(emulator)
        emulator.arm("result", "state_backwards", after=1)
        user.expect(0, "run", "m.yaml")
        assert len(emulator.charges()) == 1
    assert notes(user) == ["the vendor says queued after running; ignored"]
    moves = [(line["before"], line["state"]) for line in logged(user, "JobMoved")]
    assert moves == [
        ("pending", "submitting"),
        ("submitting", "queued"),
        ("queued", "running"),
        ("running", "fetching"),
        ("fetching", "done"),
    ]


def test_row_33_an_unknown_state_is_asked_again_and_reported_once(
    shell: Shell,
) -> None:
    shell.manifest(1)
    with emulating(latency=1.0) as emulator:
        user = shell.using(emulator)
        emulator.arm("result", "unknown_state", word="resting", times=2)
        said = user.expect(0, "run", "m.yaml").err
        assert len(emulator.charges()) == 1
    words = "the vendor calls the request of boat-000 'resting', an unknown state: still asking"
    assert said.count(words) == 1
    assert notes(user)[1:] == ["unknown state 'resting' of the request; still asking"]
    assert user.states() == {"boat-000": "done"}


def test_row_34_a_404_just_after_the_submit_is_waited_out(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("result", "not_found", times=3)
    user.expect(0, "run", "m.yaml")
    assert user.states() == {"boat-000": "done"}
    assert len(emulator.charges()) == 1


def test_row_35_a_404_later_is_lost_and_reported_and_asked_for_again_without_paying(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, grace=0.0)
    user.manifest(1)
    emulator.arm("result", "not_found", times=2)
    emulator.arm("status", "not_found", times=2)
    said = user.expect(1, "run", "m.yaml").said
    assert "1 lost" in said
    assert "the vendor no longer knows the request" in said
    # A retry would ask, as each run does, and never submit.
    assert "→ batchgen resolve m.yaml JOB --resubmit" in said
    assert "batchgen retry" not in said
    assert user.states() == {"boat-000": "lost"}
    shown = user.expect(0, "status", "m.yaml").out
    assert shown.endswith("so:\n  → batchgen resolve m.yaml JOB --resubmit\n")
    assert user.expect(0, "run", "m.yaml", "--json").document["submitted"] == 0
    assert user.states() == {"boat-000": "done"}
    assert len(emulator.charges()) == 1


def test_a_job_that_a_retry_still_finds_lost_is_named_once_at_the_end(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, grace=0.0)
    user.manifest(1)
    emulator.arm("result", "not_found", times=100)
    emulator.arm("status", "not_found", times=100)
    for verb in ("run", "retry"):
        summary, *rest = user.expect(1, verb, "m.yaml").out.splitlines()
        assert "m: 1 lost" in summary
        cause, _, command = rest
        assert cause.startswith("  1 lost · not_found: ")
        assert command == "  → batchgen resolve m.yaml JOB --resubmit"
        assert user.expect(0, "status", "m.yaml").out.count(" lost · not_found") == 1
    err = user.expect(64, "resolve", "m.yaml", "--all", "--write-off").err
    assert "no job is unknown; jobs that are lost" in err
    assert "need their exact id: boat-000\n" in err
    assert (
        "no job is unknown among boat*;"
        in user.expect(64, "resolve", "m.yaml", "boat*", "--write-off").err
    )
    user.expect(0, "resolve", "m.yaml", "boat-000", "--write-off")


def test_row_36_one_request_id_given_to_two_jobs_holds_both(shell: Shell) -> None:
    shell.manifest(2, run={"concurrency": 2})
    with emulating(latency=1.0) as emulator:
        user = shell.using(emulator)
        emulator.arm("submit", "duplicate_request_id", after=1)
        said = user.expect(76, "run", "m.yaml").said
        shared = emulator.charges()[0]["request_id"]
        assert f"request {shared} was also given to boat-00" in said
        assert "; held" in said
        assert user.states() == {"boat-000": "unknown", "boat-001": "unknown"}
        assert user.expect(76, "run", "m.yaml", "--json").document["submitted"] == 0
        assert len(emulator.charges()) == 2


def test_row_36_the_request_id_of_a_job_that_is_done_holds_the_second(
    user: Shell, emulator: Emulator
) -> None:
    """What is done has its picture, verified on the disk; it is never taken back."""
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("submit", "duplicate_request_id", after=1)
    assert "was also given to boat-000" in user.expect(76, "run", "m.yaml").said
    assert user.states() == {"boat-000": "done", "boat-001": "unknown"}
    assert user.files() == ["boat-000.png"]
    assert user.expect(76, "run", "m.yaml", "--json").document["submitted"] == 0
    assert len(emulator.charges()) == 2


def test_row_37_success_without_urls_is_a_paid_failure_and_reported(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "FILES_PATIENCE", 0.3)
    user.manifest(1)
    emulator.arm("submit", "no_urls")
    done = user.expect(1, "run", "m.yaml", "--json")
    assert "the vendor reports success, and names no file" in done.err
    assert "batchgen retry m.yaml" in done.err
    assert done.document["spent_usd"] == pytest.approx(0.03)
    assert user.states() == {"boat-000": "failed"}
    assert user.expect(1, "run", "m.yaml", "--json").document["submitted"] == 0
    assert len(emulator.charges()) == 1


def test_row_38_a_cancel_that_comes_too_late_keeps_the_result(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest([boat(0)])
    for place in ("result", "status"):
        emulator.arm(place, "status", status=401, body='{"error_code": 400004}')
    user.expect(77, "run", "m.yaml")
    wait_until(lambda: only(emulator.charges())["status"] == "succeeded", "the picture is made")
    assert "1 request could not be cancelled" in user.expect(0, "cancel", "m.yaml").out
    user.expect(0, "run", "m.yaml")
    assert user.states() == {"boat-000": "done"}
    assert user.files() == ["boat-000.png"]
    assert len(emulator.charges()) == 1


def test_row_39_a_queue_position_that_is_absent_or_rises_or_is_negative_is_harmless(
    shell: Shell,
) -> None:
    shell.manifest(2)
    with emulating(latency=0.6, workers=1) as emulator:
        user = shell.using(emulator)
        for position in (3, 9, -4, None):
            emulator.arm("result", "queue_position", position=position)
        done = user.expect(0, "run", "m.yaml")
        assert len(emulator.charges()) == 2
    assert done.err == ""
    assert notes(user) == []
    assert set(user.states().values()) == {"done"}
