"""Alternatives and wildcards as a person uses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from batchgen.errors import ChangedJobsError, ExitCode
from tests.shell import Shell

MANIFESTS = Path(__file__).parents[2] / "manifests"
MANIFEST = "wildcards.yaml"
RUN = ("run", MANIFEST, "--emulator", "--latency", "0.01", "--json")


@pytest.fixture
def user(shell: Shell) -> Shell:
    shutil.copy(MANIFESTS / MANIFEST, shell.folder)
    shutil.copytree(MANIFESTS / "wildcards", shell.folder / "wildcards")
    return shell


def sent(user: Shell) -> dict[str, Any]:
    rows = (user.folder / "output/wildcards/metadata.jsonl").read_text("utf-8").splitlines()
    return {row["id"]: row["prompt"] for row in map(json.loads, rows)}


def test_the_plan_shows_the_prompts_that_are_sent(user: Shell) -> None:
    planned = user.expect(0, "plan", MANIFEST, "--emulator", "--jobs").out
    assert user.expect(0, *RUN).document["counts"] == {"done": 4}
    prompts = sent(user)
    assert prompts.keys() == {"pond", "pond-2", "pond-3", "pond-4"}
    for prompt in prompts.values():
        assert f"  prompt   {prompt}\n" in planned
        assert "__" not in prompt
    assert prompts["pond"] in user.expect(0, "show", MANIFEST, "pond").out


def test_more_jobs_change_no_other_and_another_line_or_seed_asks_before_it_pays(
    user: Shell,
) -> None:
    user.expect(0, *RUN)
    before, file = sent(user), user.folder / MANIFEST
    text = file.read_text("utf-8")
    file.write_text(text.replace("repeat: 4", "repeat: 6"), "utf-8")
    assert user.expect(0, *RUN).document["submitted"] == 2
    assert before.items() <= sent(user).items()
    birds = user.folder / "wildcards/animals/birds.txt"
    birds.write_text("swan\n", "utf-8")
    assert "different input" in user.expect(ChangedJobsError.exit_code, *RUN).err
    birds.write_bytes((MANIFESTS / "wildcards/animals/birds.txt").read_bytes())
    assert user.expect(0, *RUN).document["submitted"] == 0
    file.write_text(text.replace("seed: 7", "seed: 8"), "utf-8")
    user.expect(ChangedJobsError.exit_code, *RUN)


def test_a_broken_wildcard_file_is_named_with_its_line(user: Shell) -> None:
    (user.folder / "wildcards/light.txt").write_text("dawn\n__fog__\n", "utf-8")
    done = user.expect(ExitCode.BAD_INPUT, "validate", MANIFEST)
    assert "wildcards/light.txt:2:1: there is no wildcard file wildcards/fog.txt" in done.err
