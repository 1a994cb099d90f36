"""The morning after: look, keep, reject, make the rejected ones again, take the kept ones along."""

from __future__ import annotations

import json

from tests.shell import Emulator, Shell, boat, wait_until


def prompts(emulator: Emulator) -> list[str]:
    return [charge["input"]["prompt"] for charge in emulator.charges()]


def test_only_rejected_results_are_paid_again_and_only_kept_ones_exported(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(4)
    user.expect(0, "run", "m.yaml", "--quiet")
    user.expect(0, "pick", "m.yaml", "boat-001", "boat-002", "--reject")
    user.expect(0, "pick", "m.yaml", "boat-000", "--keep")
    assert "  1 kept · 2 rejected\n" in user.expect(0, "status", "m.yaml").out
    # A plain run or retry pays nothing.
    user.expect(0, "run", "m.yaml", "--quiet")
    user.expect(0, "retry", "m.yaml", "--quiet")
    assert len(emulator.charges()) == 4
    plan = user.expect(0, "run", "m.yaml", "--retry-failed", "--state", "rejected", "--dry-run")
    assert "  to do           2\n" in plan.out
    assert plan.out.endswith("  → batchgen retry m.yaml --state=rejected\n")
    user.expect(0, "retry", "m.yaml", "--state", "rejected", "--quiet")
    paid = prompts(emulator)
    assert sorted(paid[4:]) == ["boat number 1", "boat number 2"]
    # Both results of a rejected job stay on the disk; its new one is not judged yet.
    files = sorted(path.name for path in (user.folder / "out/files").iterdir())
    assert len(files) == 6
    again = user.expect(64, "retry", "m.yaml", "--state", "rejected", "--quiet")
    assert "no job of the manifest is selected" in again.err
    assert len(emulator.charges()) == 6
    user.expect(0, "export", "m.yaml", "kept", "--to", "jsonl", "--kept")
    lines = (user.folder / "kept/train.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["boat-000"]


def test_picks_are_taken_up_while_a_run_goes_on_and_disturb_nothing(
    user: Shell,
) -> None:
    user.manifest(3, run={"rate": "1/min"})
    with user.start("run", "m.yaml", "--quiet") as process:
        wait_until(lambda: "done" in user.states().values(), "the first is home")
        done = next(job for job, state in user.states().items() if state == "done")
        said = user.expect(0, "pick", "m.yaml", done, "--reject")
        process.terminate()
        process.wait(30)
    assert "1 pick handed to the run in progress" in said.out
    listed = user.expect(0, "status", "m.yaml", "--json", "--state", "rejected").document
    assert [job["id"] for job in listed["jobs"]] == [done]


def test_a_failed_job_with_a_mended_prompt_is_paid_as_the_plan_says(
    user: Shell, emulator: Emulator
) -> None:
    emulator.arm("submit", "vendor_failed", times=2)
    user.manifest(3, run={"concurrency": 1})
    user.expect(1, "run", "m.yaml", "--quiet")
    assert list(user.states().values()) == ["failed", "failed", "done"]
    jobs = [boat(number, input={"prompt": f"mended {number}"}) for number in range(2)]
    user.manifest([*jobs, boat(2)])
    words = ["--state", "failed", "--changed", "rerun"]
    plan = user.expect(0, "run", "m.yaml", "--retry-failed", *words, "--dry-run")
    assert "  to do           2\n" in plan.out
    user.expect(0, "retry", "m.yaml", *words, "--quiet")
    assert sorted(prompts(emulator)[3:]) == ["mended 0", "mended 1"]
