"""`plan`, `approve` and the selection, as a person meets them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from _pytest.capture import CaptureFixture

from batchgen.cli import main
from batchgen.jobs import content_id
from tests.shell import PICTURE, T2I, VIDEO, Emulator, Shell, boat, emulating


def clip(**more: Any) -> dict[str, Any]:
    """The vendor's price list bills it by the second: 0.08 USD in the emulator's."""
    return {"id": "clip", "model": VIDEO, "input": {"prompt": "p", "image_urls": [PICTURE], **more}}


def test_a_plan_tells_cost_and_writes_nothing(user: Shell, emulator: Emulator) -> None:
    user.manifest(
        [boat(0), boat(1), clip(frames=241)], run={"models": {T2I: {"price": 0.05}}, "budget": 9}
    )
    out = user.expect(0, "plan", "m.yaml").out
    assert "cost      0.10 USD known + ~0.80 USD estimated\n" in out
    assert "budget    9.00 USD: enough\n" in out
    assert "time      not known until the first requests are done\n" in out
    assert "the bundled schemas match the vendor's current ones\n" in out
    assert out.endswith("nothing was sent, nothing was written\n  → batchgen run m.yaml\n")
    assert not (user.folder / "out").exists()
    assert emulator.charges() == []


def test_a_plan_after_a_run_knows_what_is_done_and_how_long_the_rest_takes(
    shell: Shell,
) -> None:
    shell.manifest(2)
    with emulating(latency=0.3) as emulator:
        user = shell.using(emulator)
        user.expect(0, "run", "m.yaml")
        user.manifest([boat(1), boat(2), boat(3)])
        document = user.expect(0, "plan", "m.yaml", "--json").document
    total = document["total"]
    assert (total["jobs"], total["new"], total["done"], total["to_do"]) == (3, 2, 1, 2)
    assert document["orphaned"] == [{"id": "boat-000", "model": T2I, "state": "done"}]
    assert document["seconds"] > 0
    assert document["cost"] == {
        "known_usd": 0.0,
        "estimated_usd": 0.06,
        "jobs_without_price": 0,
    }
    assert document["spent_usd"] == pytest.approx(0.06)


def test_without_a_token_and_a_price_the_cost_is_unknown_and_no_zero(shell: Shell) -> None:
    shell.manifest(3)
    out = shell.expect(0, "plan", "m.yaml").out
    assert "cost      3 jobs without a known price\n" in out
    assert "prices and schemas were not compared with the vendor's: no API token\n" in out
    out = shell.expect(0, "plan", "m.yaml", "--offline").out
    assert "not compared with the vendor's: --offline\n" in out


def test_a_plan_of_a_rehearsal_needs_no_token(shell: Shell) -> None:
    shell.manifest(3)
    out = shell.expect(0, "plan", "m.yaml", "--emulator").out
    assert "cost      ~0.09 USD estimated\n" in out
    assert "  → batchgen run m.yaml --emulator\n" in out
    assert not (shell.folder / "out").exists()


def test_a_vendor_that_cannot_be_reached_spoils_no_plan(shell: Shell) -> None:
    shell.manifest(1)
    # Port 9 discards; nothing listens there.
    away = shell.having(RUNCOMFY_MODEL_API_BASE="http://127.0.0.1:9/v1", RUNCOMFY_TOKEN="any")
    out = away.expect(0, "plan", "m.yaml").out
    assert "prices and schemas were not compared with the vendor's: " in out


def test_a_plan_of_a_wrong_manifest_is_65(shell: Shell) -> None:
    shell.manifest([{"id": "a", "input": {"promt": "x"}}])
    assert "did you mean 'prompt'?" in shell.expect(65, "plan", "m.yaml").err


def test_a_plan_of_a_changed_job_says_what_run_will_do(user: Shell) -> None:
    user.manifest(1)
    user.expect(0, "run", "m.yaml")
    user.manifest([{**boat(0), "input": {"prompt": "another boat"}}])
    out = user.expect(0, "plan", "m.yaml").out
    assert '    prompt: "boat number 0" → "another boat"\n' in out
    assert "run refuses (exit code 65) unless you add --changed keep" in out
    user.expect(65, "run", "m.yaml")
    rerun = user.expect(0, "run", "m.yaml", "--dry-run", "--changed", "rerun", "--json").document
    assert (rerun["total"]["to_do"], rerun["on_changed"]) == (1, "rerun")


def gated(*, count: int = 3) -> list[dict[str, Any]]:
    """Stills behind a gate, and a clip that needs each of them."""
    stills = [boat(n, gate=True, tags=["still"]) for n in range(count)]
    clips = [
        {
            "id": f"clip-{n}",
            "input": {"prompt": f"clip {n}"},
            "needs": [f"boat-{n:03}"],
            "tags": ["clip"],
        }
        for n in range(count)
    ]
    return [*stills, *clips]


def test_stills_are_picked_before_their_clips_are_paid(user: Shell, emulator: Emulator) -> None:
    user.manifest(gated())
    out = user.expect(75, "run", "m.yaml").out
    assert (
        "3 jobs wait for approval, 3 more behind\n  → batchgen approve m.yaml JOB… | --all" in out
    )
    assert len(emulator.charges()) == 3
    listed = user.expect(0, "approve", "m.yaml").out
    assert "boat-001\n    out/files/boat-001.png\n" in listed
    out = user.expect(0, "approve", "m.yaml", "boat-001").out
    assert "1 job approved: 1 job can start; 2 still to approve\n  → batchgen run m.yaml\n" in out
    user.expect(75, "run", "m.yaml")
    assert user.states()["clip-1"] == "done"
    assert len(emulator.charges()) == 4
    document = user.status()
    assert (document["to_approve"], document["waiting"]) == (2, 2)
    user.expect(0, "approve", "m.yaml", "--all")
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 6
    user.expect(64, "approve", "m.yaml", "--all")


def test_a_plan_counts_what_waits(user: Shell) -> None:
    user.manifest(gated())
    total = user.expect(0, "plan", "m.yaml", "--json").document["total"]
    assert (total["to_do"], total["waiting"]) == (6, 3)
    user.expect(75, "run", "m.yaml")
    total = user.expect(0, "plan", "m.yaml", "--json").document["total"]
    assert (total["done"], total["to_do"], total["waiting"]) == (3, 3, 3)
    user.expect(0, "approve", "m.yaml", "boat-000")
    total = user.expect(0, "plan", "m.yaml", "--json").document["total"]
    assert (total["to_do"], total["waiting"]) == (3, 2)


def test_a_job_whose_need_failed_is_blocked_until_that_is_retried(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest([boat(0), {**boat(1), "needs": ["boat-000"]}])
    emulator.arm("submit", "vendor_failed")
    out = user.expect(1, "run", "m.yaml").out
    assert "1 blocked: a needed job ended without a result\n" in out
    assert "  → batchgen retry m.yaml\n" in out
    user.expect(0, "retry", "m.yaml")
    assert user.states() == {"boat-000": "done", "boat-001": "done"}


def jobs_shown(user: Shell, *options: str) -> list[str]:
    document = user.expect(0, "status", "m.yaml", "--json", *options).document
    return [job["id"] for job in document["jobs"]]


def test_status_shows_the_selected_jobs_only(user: Shell) -> None:
    user.manifest([boat(0, tags=["hero"]), boat(1), boat(2)])
    user.expect(0, "run", "m.yaml", "--limit", "2")
    assert jobs_shown(user, "--state", "pending") == ["boat-002"]
    assert jobs_shown(user, "--state", "!pen*") == ["boat-000", "boat-001"]
    assert jobs_shown(user, "--tag", "!hero") == ["boat-001", "boat-002"]
    assert jobs_shown(user, "--job", "boat-*", "--job", "!*-001") == ["boat-000", "boat-002"]
    assert jobs_shown(user, "--model", "edit") == []
    out = user.expect(0, "status", "m.yaml", "--model", "t2i", "--state", "done").out
    assert "  2 done · the whole run: " in out
    assert "pending" not in out


def test_only_the_failed_jobs_of_a_selection_are_retried(user: Shell, emulator: Emulator) -> None:
    user.manifest(2)
    emulator.arm("submit", "vendor_failed", times=2)
    user.expect(1, "run", "m.yaml")
    user.expect(1, "retry", "m.yaml", "--job", "!boat-000")
    assert user.states() == {"boat-000": "failed", "boat-001": "done"}
    assert "no job" in user.expect(64, "plan", "m.yaml", "--state", "unknown").err


def test_a_state_chooses_which_jobs_are_retried(user: Shell, emulator: Emulator) -> None:
    user.manifest(3)
    emulator.arm("submit", "vendor_failed")
    user.expect(1, "run", "m.yaml", "--job", "boat-000")
    user.expect(0, "cancel", "m.yaml", "--job", "boat-001")
    assert user.states() == {"boat-000": "failed", "boat-001": "cancelled", "boat-002": "pending"}
    user.expect(1, "retry", "m.yaml", "--state", "failed", "--job", "!boat-002")
    assert user.states() == {"boat-000": "done", "boat-001": "cancelled", "boat-002": "pending"}


def test_what_cancels_nothing_is_a_mistake_only_where_no_job_is_named(user: Shell) -> None:
    user.manifest(2)
    user.expect(0, "run", "m.yaml", "--job", "boat-000")
    assert "--state" in user.expect(64, "cancel", "m.yaml", "--state", "failed").err
    out = user.expect(0, "cancel", "m.yaml", "--state", "pending").out
    assert "1 job cancelled" in out
    assert user.states() == {"boat-000": "done", "boat-001": "cancelled"}
    assert user.expect(0, "cancel", "m.yaml").out == "0 jobs cancelled\n"


def test_the_listed_body_is_what_the_vendor_gets_byte_for_byte(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest([{"input": {"prompt": "grün 漢\t{ }", "scale": 0.10}}])
    said = user.expect(0, "plan", "m.yaml", "--jobs").out
    (body,) = re.findall(r"^  body     (.*)$", said, re.MULTILINE)
    user.expect(0, "run", "m.yaml", "-q")
    assert json.loads(body) == emulator.charges()[0]["input"]
    # The id of a job without one is made of what is sent.
    assert list(user.states()) == [content_id(T2I, body)]


def test_after_a_run_of_the_same_manifest_show_does_not_read_its_rows_again(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: CaptureFixture[str]
) -> None:
    user.manifest(2)
    user.expect(0, "run", "m.yaml", "-q")
    for name, value in user.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(user.folder)
    monkeypatch.setattr("batchgen.runs.planning.checked_manifest", None)
    assert main(["show", "m.yaml", "boat-001"]) == 0
    assert capsys.readouterr().out.startswith(f"boat-001 · {T2I} · done\n")
    assert len(emulator.charges()) == 2


def test_a_listing_whose_reader_leaves_ends_without_a_word(shell: Shell) -> None:
    shell.manifest(3000)
    with shell.start("plan", "m.yaml", "--jobs") as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        assert listing.stdout.readline().startswith("boat-000")
        listing.stdout.close()
        err = listing.stderr.read()
    assert (listing.returncode, err) == (74, "")
