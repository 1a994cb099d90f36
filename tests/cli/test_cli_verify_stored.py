"""`verify` of results in a folder and in a bucket, and a bucket that refuses or is gone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from tests.shell import Emulator, Shell, wait_until
from tests.storage.s3_server import S3Server
from tests.storage.stored import Stored, moved_to_bucket
from tests.uploads.test_uploads_bucket_runs import SECRETS, secrets_in

BOAT = "files/boat-000.png"


@pytest.fixture
def done(user: Shell) -> Shell:
    """Three boats are paid."""
    user.manifest(3)
    user.expect(0, "run", "m.yaml", "--quiet")
    return user


@pytest.fixture
def night(done: Shell, stored: Callable[[Shell], Stored]) -> Stored:
    return stored(done)


@pytest.fixture
def in_bucket(done: Shell, s3: S3Server, bucket: str) -> Stored:
    return moved_to_bucket(done, s3, bucket)


def test_what_is_sound_is_called_so(night: Stored) -> None:
    assert "3 files verified: all sound" in night.shell.expect(0, "verify", "m.yaml").out
    assert "3 files verified: all sound" in night.shell.expect(0, "verify", "m.yaml", "--quick").out


def test_each_damage_and_each_foreign_file_is_named(night: Stored) -> None:
    night.remove(BOAT)
    night.spoil("files/boat-001.png")
    night.replace("files/boat-002.png", b"short")
    night.replace("files/holiday.png", b"foreign")
    document = night.shell.expect(1, "verify", "m.yaml", "--json").document
    document["problems"].sort(key=lambda one: one["id"])
    assert document == {
        "name": "m",
        "problems": [
            {"id": "boat-000", "path": BOAT, "problem": "missing"},
            {"id": "boat-001", "path": "files/boat-001.png", "problem": "another content"},
            {"id": "boat-002", "path": "files/boat-002.png", "problem": "another size"},
        ],
        "unknown_files": ["files/holiday.png"],
        "checked": 3,
        "sound": False,
    }
    quick = night.shell.expect(1, "verify", "m.yaml", "--quick", "--json").document
    assert sorted(one["id"] for one in quick["problems"]) == ["boat-000", "boat-002"]


def test_an_object_is_read_by_one_request_and_a_quick_check_reads_none(
    in_bucket: Stored, s3: S3Server
) -> None:
    in_bucket.shell.expect(0, "verify", "m.yaml")
    reads = [path for method, path in s3.calls if path.endswith(".png")]
    assert len(reads) == len(set(reads)) == 3
    s3.calls.clear()
    in_bucket.shell.expect(0, "verify", "m.yaml", "--quick")
    assert {method for method, path in s3.calls if path.endswith(".png")} == {"HEAD"}


@pytest.mark.parametrize("verb", ["verify", "repair"])
@pytest.mark.parametrize(
    ("status", "code", "why"),
    [(403, 65, "(HTTP 403)"), (503, 69, "cannot be reached (HTTP 503)")],
)
def test_a_bucket_that_does_not_answer_is_no_bucket_of_missing_files(
    in_bucket: Stored, s3: S3Server, verb: str, status: int, code: int, why: str
) -> None:
    s3.refuse = lambda _method, _path: status
    done = in_bucket.shell.expect(code, verb, "m.yaml")
    assert why in done.err
    assert "missing" not in done.said
    assert set(in_bucket.shell.states().values()) == {"done"}
    assert not any(secret in done.said for secret in SECRETS)
    assert secrets_in(in_bucket.shell.folder) == []


@pytest.mark.parametrize("verb", ["verify", "repair"])
def test_a_bucket_that_refuses_some_files_ends_the_command(
    in_bucket: Stored, s3: S3Server, verb: str
) -> None:
    s3.refuse = lambda _method, path: 403 if path.endswith("boat-001.png") else None
    done = in_bucket.shell.expect(65, verb, "m.yaml")
    assert "it refuses downloads (HTTP 403)" in done.err
    assert "missing" not in done.said
    assert set(in_bucket.shell.states().values()) == {"done"}


@pytest.mark.parametrize("verb", ["verify", "repair"])
def test_a_bucket_that_is_gone_has_lost_no_files(
    in_bucket: Stored, s3: S3Server, bucket: str, verb: str
) -> None:
    for key in s3.keys(bucket):
        s3.client().delete_object(Bucket=bucket, Key=key)
    s3.client().delete_bucket(Bucket=bucket)
    done = in_bucket.shell.expect(65, verb, "m.yaml")
    assert "there is no such bucket" in done.err
    assert "missing" not in done.said
    assert set(in_bucket.shell.states().values()) == {"done"}


def test_a_repair_moves_aside_in_the_bucket_what_is_damaged(
    in_bucket: Stored, emulator: Emulator
) -> None:
    in_bucket.spoil(BOAT)
    damaged = in_bucket.content(BOAT)
    said = in_bucket.shell.run("repair", "m.yaml").said
    assert f"{BOAT}: another content" in said
    assert f"kept as {BOAT}.damaged-1" in said
    assert in_bucket.content(f"{BOAT}.damaged-1") == damaged
    assert len(emulator.charges()) == 3


def test_ctrl_c_does_not_wait_for_a_bucket_that_hangs(in_bucket: Stored, s3: S3Server) -> None:
    asked, ended = threading.Event(), threading.Event()

    def hang(_method: str, path: str) -> None:
        if path.endswith(".png"):
            asked.set()
            ended.wait(60)

    s3.refuse = hang
    try:
        with in_bucket.shell.start("verify", "m.yaml") as process:
            wait_until(asked.is_set, "a file is asked for")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        assert process.returncode == 130
    finally:
        ended.set()
