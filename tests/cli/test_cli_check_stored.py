"""`check` of results in a folder and in a bucket, and a bucket that refuses or is gone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from tests.shell import VIDEO, Shell, boat, ended, wait_until
from tests.storage.s3_server import S3Server
from tests.storage.stored import Stored, moved_to_bucket
from tests.uploads.test_uploads_bucket_runs import SECRETS, secrets_in

PICTURE = "https://pictures.example.com/boat.png"


@pytest.fixture
def done(user: Shell) -> Shell:
    """Four boats and a clip."""
    clip = {"prompt": "slow pan", "image_urls": [PICTURE], "frames": 121}
    jobs = [*map(boat, range(4)), {"id": "clip", "model": VIDEO, "input": clip}]
    user.manifest(jobs, run={"check_inputs": "off"})
    user.expect(0, "run", "m.yaml", "--quiet")
    return user


@pytest.fixture
def night(done: Shell, stored: Callable[[Shell], Stored]) -> Stored:
    return stored(done)


@pytest.fixture
def in_bucket(done: Shell, s3: S3Server, bucket: str) -> Stored:
    return moved_to_bucket(done, s3, bucket)


def test_flaws_are_found_and_a_second_check_reads_only_what_changed(night: Stored) -> None:
    shell = night.shell
    assert "5 files checked, 5 examined now" in shell.expect(0, "check", "m.yaml").out
    assert "5 files checked, 0 examined now" in shell.expect(0, "check", "m.yaml").out
    night.remove("files/boat-000.png")
    night.spoil("files/boat-001.png")
    night.replace("files/boat-002.png", b"short")
    found = shell.expect(1, "check", "m.yaml", "--json").document
    assert found["looked_at"] == 3
    texts = {file["id"]: file["flaws"]["unreadable"].split(";")[0] for file in found["files"]}
    assert texts["boat-000"] == "the file is missing"
    assert texts["boat-001"] == "not the content that was downloaded"
    assert texts["boat-002"].startswith("5 bytes instead of ")
    assert secrets_in(shell.folder) == []


def test_an_object_is_read_by_one_request(in_bucket: Stored, s3: S3Server) -> None:
    in_bucket.shell.expect(0, "check", "m.yaml")
    reads = [path for method, path in s3.calls if "/files/" in path]
    assert len(reads) == len(set(reads)) == 5


def test_the_stamp_of_an_object_is_the_same_in_a_listing(
    in_bucket: Stored, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_bucket.shell.expect(0, "check", "m.yaml")
    monkeypatch.setattr("batchgen.storage.buckets.PAGE", 2)
    s3.calls.clear()
    assert "0 examined now" in in_bucket.shell.expect(0, "check", "m.yaml").out
    assert not [path for _, path in s3.calls if "/files/" in path]


@pytest.mark.parametrize(
    ("status", "code", "why"), [(403, 65, "(HTTP 403)"), (503, 69, "cannot be reached (HTTP 503)")]
)
@pytest.mark.parametrize("where", ["", "boat-002"])
def test_a_bucket_that_does_not_answer_finds_no_flaws(
    in_bucket: Stored, s3: S3Server, status: int, code: int, why: str, where: str
) -> None:
    s3.refuse = lambda _method, path: status if where in path else None
    done = in_bucket.shell.expect(code, "check", "m.yaml")
    assert why in done.err
    assert "Traceback" not in done.said
    assert not any(secret in done.said for secret in SECRETS)
    s3.refuse = lambda _method, _path: None
    assert "nothing found" in in_bucket.shell.expect(0, "check", "m.yaml").out
    assert secrets_in(in_bucket.shell.folder) == []


def test_ctrl_c_does_not_wait_for_a_bucket_that_hangs(in_bucket: Stored, s3: S3Server) -> None:
    asked, over = threading.Event(), threading.Event()

    def hang(_method: str, path: str) -> None:
        if path.endswith(".png"):
            asked.set()
            over.wait(60)

    s3.refuse = hang
    try:
        with in_bucket.shell.start("check", "m.yaml", start_new_session=True) as process:
            wait_until(asked.is_set, "a file is asked for")
            os.killpg(process.pid, signal.SIGINT)
            stopped = ended(process)
        assert (stopped.code, stopped.err.strip()) == (130, "")
    finally:
        over.set()
