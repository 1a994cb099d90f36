"""Whole runs with own files in a bucket: a real S3 server, or the emulator in its place."""

from __future__ import annotations

import io
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.shell import EDIT, Emulator, Shell, wait_until
from tests.storage.s3_server import KEY_ID, SECRET, SESSION, S3Server

SECRETS = (KEY_ID, SECRET, SESSION, "X-Amz-Signature", "X-Amz-Security-Token", "signature=")


@pytest.fixture
def photos(shell: Shell) -> Shell:
    (shell.folder / "photos").mkdir()
    return shell


def photo(shell: Shell, number: int) -> str:
    """Write a picture; return the path that a manifest has for it."""
    file = io.BytesIO()
    Image.new("RGB", (400, 300), (number, 80, 90)).save(file, "PNG")
    name = f"photos/{number}.png"
    (shell.folder / name).write_bytes(file.getvalue())
    return name


def edits(shell: Shell, send: str, numbers: list[int]) -> None:
    jobs: list[dict[str, Any]] = [
        {"id": f"job-{place}", "input": {"prompt": "x", "image_urls": [photo(shell, number)]}}
        for place, number in enumerate(numbers)
    ]
    shell.manifest(jobs, defaults={"model": EDIT}, inputs={"send": send})


def secrets_in(folder: Path) -> list[tuple[str, str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [
        (path.name, secret)
        for path in files
        for secret in SECRETS
        if secret.encode() in path.read_bytes()
    ]


def test_each_content_is_uploaded_once_and_fetched_by_the_vendor(
    photos: Shell, emulator: Emulator, s3: S3Server, bucket: str
) -> None:
    user = photos.using(emulator).having(**s3.env)
    edits(user, f"s3://{bucket}/night", [1, 2, 1, 1])
    done = user.expect(0, "run", "m.yaml")
    assert len(set(s3.uploads(bucket))) == len(s3.uploads(bucket)) == 2
    fetched = [path for method, path in s3.calls if method == "GET" and ".png" in path]
    assert len(fetched) == 4
    charges = emulator.charges()
    assert [charge["status"] for charge in charges] == ["succeeded"] * 4
    assert all("X-Amz-Signature" in charge["input"]["image_urls"][0] for charge in charges)
    assert secrets_in(user.folder) == []
    assert not any(secret in done.said for secret in SECRETS)


def test_another_run_uploads_nothing_and_a_deleted_object_again(
    photos: Shell, emulator: Emulator, s3: S3Server, bucket: str
) -> None:
    user = photos.using(emulator).having(**s3.env)
    edits(user, f"s3://{bucket}/night", [1, 2])
    user.expect(0, "run", "m.yaml")
    text = (user.folder / "m.yaml").read_text()
    user.write(text.replace('"out"', '"second"'), "second.yaml")
    s3.calls.clear()
    user.expect(0, "run", "second.yaml")
    assert s3.uploads(bucket) == []
    gone = next(key for key in s3.keys(bucket) if key.endswith(".png"))
    s3.client().delete_object(Bucket=bucket, Key=gone)
    user.write(text.replace('"out"', '"third"'), "third.yaml")
    s3.calls.clear()
    user.expect(0, "run", "third.yaml")
    assert s3.uploads(bucket) == [gone]


def test_a_bucket_that_cannot_be_used_ends_the_run_before_any_submit(
    photos: Shell, emulator: Emulator, s3: S3Server, bucket: str
) -> None:
    user = photos.using(emulator).having(**s3.env)
    edits(user, "s3://no-such-bucket", [1])
    done = user.expect(65, "run", "m.yaml")
    assert "s3://no-such-bucket: there is no such bucket" in done.said
    edits(user, f"s3://{bucket}", [1])
    s3.refuse = lambda method, _path: 403 if method == "PUT" else None
    done = user.expect(65, "run", "m.yaml")
    assert "it refuses uploads (HTTP 403)" in done.said
    assert not any(secret in done.said for secret in SECRETS)
    without = photos.using(emulator).having(
        AWS_ENDPOINT_URL=s3.endpoint, AWS_EC2_METADATA_DISABLED="true"
    )
    done = without.expect(65, "run", "m.yaml")
    assert "there are no credentials for it" in done.said
    assert emulator.charges() == []
    s3.refuse = lambda _method, _path: None
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 1


def test_a_failed_upload_is_tried_again(
    photos: Shell, emulator: Emulator, s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.storage.opening.MOST_RETRIES", 0)
    user = photos.using(emulator).having(**s3.env)
    edits(user, f"s3://{bucket}", [1])
    left = [503, 429]

    def refuse(method: str, path: str) -> int | None:
        return left.pop() if left and method == "PUT" and path.endswith(".png") else None

    s3.refuse = refuse
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 1


def test_two_runs_at_once_share_a_bucket(
    photos: Shell, emulator: Emulator, s3: S3Server, bucket: str
) -> None:
    user = photos.using(emulator).having(**s3.env)
    edits(user, f"s3://{bucket}", [1, 2])
    (user.folder / "other.yaml").write_text(
        (user.folder / "m.yaml").read_text().replace('"out"', '"other"')
    )
    with user.start("run", "m.yaml") as one, user.start("run", "other.yaml") as other:
        assert [one.wait(), other.wait()] == [0, 0]
    assert len([key for key in s3.keys(bucket) if key.endswith(".png")]) == 2
    assert len(emulator.charges()) == 4


def test_a_rehearsal_keeps_the_files_on_this_machine(photos: Shell) -> None:
    edits(photos, "gs://a-bucket-that-is-not-asked/deep", [1, 1])
    photos.expect(0, "run", "m.yaml", "--emulator", "--latency", "0")
    assert photos.states() == {"job-0": "done", "job-1": "done"}
    kept = [path for path in (photos.folder / "out/emulator.db.files").rglob("*") if path.is_file()]
    assert (photos.folder / "photos/1.png").read_bytes() in [path.read_bytes() for path in kept]
    ours = ("state.db", "run.log", "metadata.jsonl", "index.html")
    leaks = [name for name, _secret in secrets_in(photos.folder) if name.startswith(ours)]
    assert leaks == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_kill_in_the_middle_of_uploads_pays_nothing_twice(
    photos: Shell, emulator: Emulator, s3: S3Server, bucket: str
) -> None:
    user = photos.using(emulator).having(**s3.env)
    edits(user, f"s3://{bucket}", list(range(6)))
    go_on, count = threading.Event(), iter(range(100))

    def hold(method: str, path: str) -> None:
        if method == "PUT" and path.endswith(".png") and next(count) >= 2:
            go_on.wait(30)

    s3.refuse = hold
    with user.start("run", "m.yaml") as going:
        wait_until(lambda: list(user.states().values()).count("done") == 2, "two jobs are done")
        os.kill(going.pid, signal.SIGKILL)
        going.wait()
    go_on.set()
    user.expect(0, "run", "m.yaml")
    inputs = [charge["input"]["image_urls"][0].partition("?")[0] for charge in emulator.charges()]
    assert len(inputs) == len(set(inputs)) == 6
    assert set(user.states().values()) == {"done"}
    assert secrets_in(user.folder / "out") == []
    wait_until(lambda: len(s3.keys(bucket)) >= 6, "all pictures are there")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_bucket_that_is_lost_overnight_keeps_no_run_from_what_is_paid_for(
    photos: Shell, emulator: Emulator, s3: S3Server, bucket: str
) -> None:
    user = photos.using(emulator).having(**s3.env)
    edits(user, f"s3://{bucket}", [1, 2])
    emulator.arm("result", "not_ready", times=None)
    go_on, count = threading.Event(), iter(range(100))

    def hold(method: str, path: str) -> int | None:
        if method == "PUT" and path.endswith(".png") and next(count):
            go_on.wait(30)
            return 403
        return None

    s3.refuse = hold
    with user.start("run", "m.yaml") as going:
        wait_until(lambda: len(emulator.charges()) == 1, "one job is paid for")
        wait_until(lambda: {"queued", "running"} & set(user.states().values()) != set(), "followed")
        os.kill(going.pid, signal.SIGKILL)
        going.wait()
    go_on.set()
    emulator.disarm()
    s3.refuse = lambda method, _path: 403 if method == "PUT" else None
    done = user.expect(69, "run", "m.yaml")
    assert (
        f"the bucket cannot be reached (s3://{bucket}: it refuses uploads (HTTP 403))" in done.said
    )
    assert "aws sso login" in done.said
    assert sorted(user.states().values()) == ["done", "pending"]
    s3.refuse = lambda _method, _path: None
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 2
    assert secrets_in(user.folder / "out") == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_the_urls_of_an_earlier_rehearsal_stay_out_of_the_state(photos: Shell) -> None:
    edits(photos, "s3://pictures/deep", [1])
    with photos.start("run", "m.yaml", "--emulator", "--latency", "3") as going:
        wait_until(lambda: photos.states().get("job-0") in {"queued", "running"}, "submitted")
        os.kill(going.pid, signal.SIGKILL)
        going.wait()
    # Its emulator listens on another port.
    photos.expect(0, "run", "m.yaml", "--emulator")
    assert b"bucket/pictures" in (photos.folder / "out/state.db").read_bytes()
    leaks = [name for name, _ in secrets_in(photos.folder / "out") if "emulator" not in name]
    assert leaks == []


def test_lost_and_refused_uploads_of_a_rehearsal_are_tried_again(
    photos: Shell, emulator: Emulator
) -> None:
    emulator.arm("upload", "reset_after", times=2, after=1)
    emulator.arm("upload", "status", status=503, after=1)
    user = photos.using(emulator)
    edits(user, "s3://pictures", [1, 2])
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 2


def test_a_url_that_expired_fails_the_job_and_a_retry_signs_a_new_one(
    photos: Shell, emulator: Emulator
) -> None:
    emulator.arm("sign", "expired", after=1)
    user = photos.using(emulator)
    edits(user, "s3://pictures", [1])
    done = user.expect(1, "run", "m.yaml")
    assert "image_urls.0 cannot be used: the URL has expired" in done.said
    user.expect(0, "retry", "m.yaml")
    assert [charge["status"] for charge in emulator.charges()] == ["failed", "succeeded"]
