"""The manifest is edited between runs, and parts of it are chosen."""

from __future__ import annotations

import pytest

from tests.shell import T2I, Emulator, Shell, boat


def submitted(user: Shell, *options: str, code: int = 0) -> int:
    count: int = user.expect(code, "run", "m.yaml", "--json", *options).document["submitted"]
    return count


def nameless(words: str) -> dict[str, object]:
    return {"input": {"prompt": words}}


def test_a_job_inserted_above_is_the_only_one_submitted(user: Shell, emulator: Emulator) -> None:
    user.manifest([nameless("one"), nameless("two")])
    assert submitted(user) == 2
    before = {job["id"]: job for job in user.status()["jobs"]}
    user.manifest([nameless("zero"), nameless("one"), nameless("two")])
    assert submitted(user) == 1
    after = {job["id"]: job for job in user.status()["jobs"]}
    assert before.items() <= after.items()
    assert len(after) == len(emulator.charges()) == 3


def change_a_paid_job(user: Shell) -> None:
    user.manifest(2)
    user.expect(0, "run", "m.yaml")
    user.manifest([boat(0), {**boat(1), "input": {"prompt": "another one"}}])


def test_a_changed_job_can_be_kept(user: Shell, emulator: Emulator) -> None:
    change_a_paid_job(user)
    assert submitted(user, "--changed", "keep") == 0
    assert len(emulator.charges()) == 2


def test_a_changed_job_can_be_paid_for_again(user: Shell, emulator: Emulator) -> None:
    change_a_paid_job(user)
    before = user.status()["jobs"]
    assert submitted(user, "--changed", "rerun") == 1
    charges = emulator.charges()
    assert charges[-1]["input"]["prompt"] == "another one"
    assert len(charges) == 3
    after = user.status()["jobs"]
    assert after[0] == before[0]
    assert after[1]["state"] == "done"
    assert after[1]["attempts"] == 2
    assert submitted(user) == 0


def test_a_removed_job_is_left_alone_and_comes_back(user: Shell, emulator: Emulator) -> None:
    user.manifest(3)
    user.expect(0, "run", "m.yaml")
    user.manifest(2)
    assert submitted(user) == 0
    assert user.status()["counts"] == {"done": 2}
    assert "1 known to the state, no longer" in user.expect(0, "run", "m.yaml", "--dry-run").out
    user.manifest(3)
    assert submitted(user) == 0
    assert len(emulator.charges()) == 3


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(3, name="boats")
    done = user.expect(0, "run", "m.yaml", "--dry-run")
    assert "boats · 3 jobs · out" in done.out
    assert "  to do           3\n" in done.out
    assert "nothing was sent, nothing was written" in done.out
    document = user.expect(0, "run", "m.yaml", "--dry-run", "--json").document
    assert (document["name"], document["folder"]) == ("boats", "out")
    assert (document["total"]["jobs"], document["total"]["to_do"]) == (3, 3)
    assert (document["changed"], document["orphaned"]) == ([], [])
    assert not (user.folder / "out").exists()
    assert emulator.charges() == []


def test_a_dry_run_lists_what_changed(user: Shell) -> None:
    change_a_paid_job(user)
    document = user.expect(0, "run", "m.yaml", "--dry-run", "--json").document
    change = {"key": "prompt", "before": "boat number 1", "now": "another one"}
    assert document["changed"] == [{"id": "boat-001", "state": "done", "input": [change]}]
    assert (document["models"][T2I]["done"], document["models"][T2I]["to_do"]) == (2, 0)
    out = user.expect(0, "run", "m.yaml", "--dry-run").out
    assert '  boat-001 (done)\n    prompt: "boat number 1" → "another one"\n' in out


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (("--limit", "2"), ["a-1", "a-2"]),
        (("--job", "a-*"), ["a-1", "a-2"]),
        (("--model", "*image-to-video"), ["clip"]),
        (("--tag", "hero"), ["a-2", "b"]),
        (("--job", "a-*", "--tag", "hero"), ["a-2"]),
    ],
)
def test_a_selection_runs_those_jobs_only(
    user: Shell, emulator: Emulator, options: tuple[str, ...], chosen: list[str]
) -> None:
    clip = {"prompt": "p", "image_urls": ["https://pictures.example.com/boat.png"]}
    user.manifest(
        [
            {"id": "a-1", "input": {"prompt": "p1"}},
            {"id": "a-2", "input": {"prompt": "p2"}, "tags": ["hero"]},
            {"id": "b", "input": {"prompt": "p3"}, "tags": ["hero", "late"]},
            {"id": "clip", "model": "bytedance/dreamina-3-0/pro/image-to-video", "input": clip},
        ]
    )
    assert submitted(user, *options) == len(chosen)
    assert [job for job, state in user.states().items() if state == "done"] == chosen
    assert len(emulator.charges()) == len(chosen)
