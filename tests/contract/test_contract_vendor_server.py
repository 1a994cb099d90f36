"""batchgen against a server that was written from the vendor's documents, not from its emulator."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.contract.contract_schemas import EDIT, T2I, VIDEO
from tests.contract.vendor_server import TOKEN, Vendor, serving
from tests.shell import Shell, ended

LOOK_EVERY = 0.05
PICTURE = "https://pictures.example.com/boat.png"
INPUTS: dict[str, dict[str, Any]] = {
    T2I: {"size": "1024x1024", "scale": 0.5},
    EDIT: {"image_urls": [PICTURE], "force_single": True},
    VIDEO: {"image_urls": [PICTURE], "frames": 121, "seed": 7},
}
NAMES = {T2I: "picture", EDIT: "edit", VIDEO: "clip"}


def shell_of(folder: Path, vendor: Vendor) -> Shell:
    return Shell(folder).having(
        RUNCOMFY_TOKEN=TOKEN,
        RUNCOMFY_MODEL_API_BASE=f"{vendor.origin}/v1",
        RUNCOMFY_SERVERLESS_API_BASE=f"{vendor.origin}/prod/v2",
    )


def write_manifest(folder: Path, models: list[str], a_model: int) -> None:
    jobs = [
        {
            "id": f"{NAMES[model]}-{number}",
            "model": model,
            "input": {"prompt": f"{NAMES[model]} number {number}", **INPUTS[model]},
        }
        for number in range(a_model)
        for model in models
    ]
    run = {"concurrency": 6, "check_inputs": "off"}
    document = {"version": 1, "output": {"dir": "out"}, "run": run, "jobs": jobs}
    # JSON is YAML.
    (folder / "m.yaml").write_text(json.dumps(document))


def run_until_submitted(folder: Path, vendor: Vendor, count: int) -> None:
    """Start a run and stop it, as Ctrl-C does, once so many requests are recorded."""
    with shell_of(folder, vendor).start("run", "m.yaml", "--quiet") as process:
        # A result is asked for once its request is recorded.
        while sum(asked.looks > 0 for asked in vendor.requests.values()) < count:
            with suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"the run ended by itself: {process.wait(LOOK_EVERY)}")
        process.send_signal(signal.SIGINT)
        ended(process)


def status(folder: Path, vendor: Vendor) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = shell_of(folder, vendor).status()["jobs"]
    return jobs


def test_every_job_ends_done_and_paid_once_with_its_own_files(
    tmp_path: Path,
) -> None:
    write_manifest(tmp_path, [T2I, EDIT, VIDEO], 6)
    with serving(Vendor()) as vendor:
        done = shell_of(tmp_path, vendor).run("run", "m.yaml")
        again = shell_of(tmp_path, vendor).run("run", "m.yaml")
        jobs = status(tmp_path, vendor)
    assert (done.code, again.code) == (0, 0), done.err + again.err
    assert Counter(job["state"] for job in jobs) == {"done": 18}
    assert_each_was_paid_once(vendor, jobs)
    assert_files_are_those_of_the_own_request(tmp_path, vendor, jobs)
    assert vendor.turned_away > 0
    assert vendor.token_leaks == 0


def assert_each_was_paid_once(vendor: Vendor, jobs: list[dict[str, Any]]) -> None:
    prompts = Counter(asked.body["prompt"] for asked in vendor.requests.values())
    assert prompts == {job["id"].replace("-", " number "): 1 for job in jobs}
    asked_by = {asked.request_id: asked for asked in vendor.requests.values()}
    for job in jobs:
        assert asked_by[job["request_id"]].body["prompt"] == job["id"].replace("-", " number ")


def assert_files_are_those_of_the_own_request(
    folder: Path, vendor: Vendor, jobs: list[dict[str, Any]]
) -> None:
    for job in jobs:
        paths = [folder / "out" / file["path"] for file in job["files"]]
        found = {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        assert len(found) == len(paths) > 0
        assert found == vendor.served[job["request_id"]], job["id"]


def test_a_cancelled_request_may_be_spelt_with_one_l(tmp_path: Path) -> None:
    write_manifest(tmp_path, [T2I], 2)
    with serving(Vendor(holds=True)) as vendor:
        run_until_submitted(tmp_path, vendor, 2)
        before = [job["state"] for job in status(tmp_path, vendor)]
        cancelled = shell_of(tmp_path, vendor).run("cancel", "m.yaml")
        done = shell_of(tmp_path, vendor).run("run", "m.yaml")
        jobs = status(tmp_path, vendor)
    assert {*before} <= {"queued", "running"}
    assert cancelled.code == 0, cancelled.err
    assert [job["state"] for job in jobs] == ["cancelled"] * 2, done.err
    assert len(vendor.requests) == 2
