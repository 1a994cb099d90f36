"""batchgen against a server that was written from the vendor's documents, not from its emulator."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.contract.contract_schemas import EDIT, T2I, VIDEO
from tests.contract.vendor_server import TOKEN, Vendor, serving

PATIENCE = 300
LOOK_EVERY = 0.05
PICTURE = "https://pictures.example.com/boat.png"
A_MODEL = 12
INPUTS: dict[str, dict[str, Any]] = {
    T2I: {"size": "1024x1024", "scale": 0.5},
    EDIT: {"image_urls": [PICTURE], "force_single": True},
    VIDEO: {"image_urls": [PICTURE], "frames": 121, "seed": 7},
}
NAMES = {T2I: "picture", EDIT: "edit", VIDEO: "clip"}


def environment(folder: Path, vendor: Vendor) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "RUNCOMFY_TOKEN": TOKEN,
        "RUNCOMFY_MODEL_API_BASE": f"{vendor.origin}/v1",
        "RUNCOMFY_SERVERLESS_API_BASE": f"{vendor.origin}/prod/v2",
    }


def batchgen(folder: Path, vendor: Vendor, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "batchgen", *words],
        cwd=folder,
        env=environment(folder, vendor),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
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
    words = [sys.executable, "-m", "batchgen", "run", "m.yaml"]
    env = environment(folder, vendor)
    with subprocess.Popen(
        words, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        # A result is asked for once its request is recorded.
        while sum(asked.looks > 0 for asked in vendor.requests.values()) < count:
            with suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"the run ended by itself: {process.wait(LOOK_EVERY)}")
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def status(folder: Path, vendor: Vendor) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = json.loads(
        batchgen(folder, vendor, "status", "m.yaml", "--json").stdout
    )["jobs"]
    return jobs


@pytest.mark.parametrize("model", [T2I, EDIT, VIDEO])
def test_every_job_ends_done_and_paid_once_with_its_own_files(tmp_path: Path, model: str) -> None:
    write_manifest(tmp_path, [model], A_MODEL)
    with serving(Vendor()) as vendor:
        ended = batchgen(tmp_path, vendor, "run", "m.yaml")
        jobs = status(tmp_path, vendor)
    assert ended.returncode == 0, ended.stderr
    assert [job["state"] for job in jobs] == ["done"] * A_MODEL
    assert_each_was_paid_once(vendor, jobs)
    assert_files_are_those_of_the_own_request(tmp_path, vendor, jobs)
    assert vendor.turned_away > 0
    assert vendor.token_leaks == 0


def test_the_three_models_in_one_run(tmp_path: Path) -> None:
    write_manifest(tmp_path, [T2I, EDIT, VIDEO], 6)
    with serving(Vendor()) as vendor:
        ended = batchgen(tmp_path, vendor, "run", "m.yaml")
        again = batchgen(tmp_path, vendor, "run", "m.yaml")
        jobs = status(tmp_path, vendor)
    assert (ended.returncode, again.returncode) == (0, 0), ended.stderr + again.stderr
    assert Counter(job["state"] for job in jobs) == {"done": 18}
    assert_each_was_paid_once(vendor, jobs)
    assert_files_are_those_of_the_own_request(tmp_path, vendor, jobs)


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
        cancelled = batchgen(tmp_path, vendor, "cancel", "m.yaml")
        ended = batchgen(tmp_path, vendor, "run", "m.yaml")
        jobs = status(tmp_path, vendor)
    assert {*before} <= {"queued", "running"}
    assert cancelled.returncode == 0, cancelled.stderr
    assert [job["state"] for job in jobs] == ["cancelled"] * 2, ended.stderr
    assert len(vendor.requests) == 2
