"""The manifests that people try first."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.shell import Emulator, Shell

MANIFESTS = Path(__file__).parents[2] / "manifests"
SIZES = {"lighthouse": (2304, 1728)}


@pytest.fixture
def published(shell: Shell) -> Shell:
    shutil.copytree(MANIFESTS, shell.folder / "manifests")
    return shell


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def assert_decodes(path: Path, job_id: str) -> None:
    if path.suffix == ".mp4":
        assert frames_of(path) == 121
        return
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == SIZES.get(job_id, (1024, 1024))


def assert_done(job: dict[str, Any]) -> None:
    assert job["state"] == "done", job
    assert job["error"] is None
    assert job["attempts"] == 1
    for file in job["files"]:
        path = Path(file["path"])
        assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert file["bytes"] == path.stat().st_size
        assert_decodes(path, job["id"])


def test_the_quickstart_makes_every_file_and_a_second_run_finds_nothing_to_do(
    published: Shell,
) -> None:
    manifest = "manifests/quickstart.yaml"
    published.expect(0, "run", manifest, "--emulator", "--latency", "0.05")
    status = published.status(manifest)
    assert status["name"] == "quickstart"
    assert status["counts"] == {"done": 8}
    assert len(status["jobs"]) == 8
    for job in status["jobs"]:
        assert_done(job)

    again = published.expect(0, "run", manifest, "--emulator", "--json").document
    assert again["submitted"] == 0
    assert published.status(manifest) == status


def test_the_metadata_has_a_line_for_each_file_that_is_right(published: Shell) -> None:
    manifest = "manifests/quickstart.yaml"
    published.expect(0, "run", manifest, "--emulator", "--latency", "0.05")
    folder = published.folder / "output/quickstart"
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    rows = {row["id"]: row for row in map(json.loads, lines)}
    jobs = {job["id"]: job for job in published.status(manifest)["jobs"]}
    assert rows.keys() == jobs.keys()
    assert len(lines) == len(rows)
    for job_id, row in rows.items():
        path = folder / row["file_name"]
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["request_id"] == jobs[job_id]["request_id"]
        assert row["model"] == jobs[job_id]["model"]
        assert row["prompt"] == row["input"]["prompt"]
    clip = rows["vintage-street"]
    assert (clip["seed"], clip["cost"]) == (7, 0.4)
    lighthouse = rows["lighthouse"]
    assert (lighthouse["width"], lighthouse["height"]) == (2304, 1728)


def test_a_second_run_against_a_server_charges_nothing(
    published: Shell, user: Shell, emulator: Emulator
) -> None:
    user.expect(0, "run", "manifests/quickstart.yaml")
    ledger = emulator.ledger()
    assert len(ledger["charges"]) == 8
    again = user.expect(0, "run", "manifests/quickstart.yaml", "--json").document
    assert again["submitted"] == 0
    assert emulator.ledger() == ledger


def test_all_published_manifests_are_sound(published: Shell) -> None:
    found = [*MANIFESTS.glob("*.yaml"), *MANIFESTS.glob("*/*.yaml")]
    paths = [f"manifests/{path.relative_to(MANIFESTS)}" for path in sorted(found)]
    said = published.expect(0, "validate", *paths).out
    assert len(paths) == 11
    for path in paths:
        assert f"{path}: valid" in said


@pytest.mark.parametrize(
    ("name", "jobs"), [("overnight", 24), ("dataset", 12), ("own-pictures/own-pictures", 6)]
)
def test_the_larger_manifests_run_to_their_end(published: Shell, name: str, jobs: int) -> None:
    manifest = f"manifests/{name}.yaml"
    file = published.folder / manifest
    # The rates of the file are for a vendor; here they would only be waited for.
    file.write_text(file.read_text("utf-8").replace("/min", "/s"), "utf-8")
    words = ("run", manifest, "--emulator", "--latency", "0.05", "--json")
    ended = published.expect(0, *words).document
    assert ended["counts"] == {"done": jobs}
    assert ended["submitted"] == jobs
    for job in published.status(manifest)["jobs"]:
        for made in job["files"]:
            assert Path(made["path"]).stat().st_size == made["bytes"]
