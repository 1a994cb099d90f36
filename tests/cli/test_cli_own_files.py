"""A folder of pictures as a person uses it: a job of each, run after run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from batchgen.errors import ChangedJobsError
from tests.shell import Shell

MANIFEST = """\
version: 1
defaults: {model: t2i}
output: {dir: out}
jobs:
  - id: still
    from: "photos/**/*"
    input: {prompt: "{{ caption | default(stem) }} ({{ folder }})"}
  - id: clip
    model: i2v
    from: "photos/**/*"
    where: {folder: red}
    needs: [still]
    input: {prompt: move, image_urls: ["{{ jobs.still.image }}"]}
"""
RUN = ("run", "m.yaml", "--emulator", "--latency", "0.01", "--json")


def draw(user: Shell, *paths: str) -> None:
    for path in paths:
        place = user.folder / "photos" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), "navy").save(place)


@pytest.fixture
def user(shell: Shell) -> Shell:
    shell.write(MANIFEST)
    draw(shell, "boat.jpg", "red/tug.png")
    shell.write("a boat at sea", "photos/boat.txt")
    (shell.folder / "photos/.DS_Store").touch()
    return shell


def sent(user: Shell) -> dict[str, Any]:
    rows = (user.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    return {row["id"]: row["prompt"] for row in map(json.loads, rows)}


def test_each_picture_makes_a_job_and_a_chain_goes_on_from_it(user: Shell) -> None:
    plan = user.expect(0, "plan", "m.yaml", "--emulator", "--jobs").out
    assert f"  from     {Path('photos/red/tug.png')}\n" in plan
    assert user.expect(0, *RUN).document["counts"] == {"done": 3}
    assert sent(user) == {
        "still-boat": "a boat at sea (photos)",
        "still-red-tug": "tug (red)",
        "clip-red-tug": "move",
    }
    assert "photos/red/tug.png" in user.expect(0, "show", "m.yaml", "still-red-tug").out


def test_a_picture_more_is_the_only_one_that_is_paid_for(user: Shell) -> None:
    user.expect(0, *RUN)
    assert user.expect(0, *RUN).document["submitted"] == 0
    draw(user, "anchor.jpg")
    assert user.expect(0, *RUN).document["submitted"] == 1
    assert set(sent(user)) == {"still-anchor", "still-boat", "still-red-tug", "clip-red-tug"}


def test_another_caption_is_a_changed_job_not_a_new_one(user: Shell) -> None:
    user.expect(0, *RUN)
    user.write("a boat in harbour", "photos/boat.txt")
    refused = user.expect(ChangedJobsError.exit_code, *RUN)
    assert "still-boat (done)" in refused.err


def test_a_picture_that_is_gone_leaves_its_result(user: Shell) -> None:
    user.expect(0, *RUN)
    (user.folder / "photos/boat.jpg").unlink()
    assert user.expect(0, *RUN).document["submitted"] == 0
    assert any("still-boat" in name for name in user.files())


def test_problems_are_listed_with_the_files_that_have_them(user: Shell) -> None:
    text = MANIFEST.replace("caption | default(stem)", "caption")
    user.write(text)
    draw(user, "red/a.jpg", "red/b.jpg", "red/c.jpg")
    document = user.expect(65, "validate", "m.yaml", "--json").document
    found = document["manifests"][0]["problems"]
    (problem,) = (one for one in found if "caption" in one["message"])
    assert problem["count"] == 4
    assert problem["places"][0] == {"file": "photos/red/a.jpg", "line": 0}
