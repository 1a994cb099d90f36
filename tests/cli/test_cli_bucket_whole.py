"""A run whose results go to a bucket, and every command that reads them."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
from contextlib import suppress

import pytest

from tests.shell import VIDEO, Emulator, Shell, boat, ended, wait_until
from tests.storage.s3_server import S3Server
from tests.storage.stored import moved_to_bucket
from tests.uploads.test_uploads_bucket_runs import SECRETS, secrets_in

PICTURE = "https://pictures.example.com/boat.png"


def test_each_command_works_on_a_run_in_a_bucket(
    user: Shell, emulator: Emulator, s3: S3Server, bucket: str
) -> None:
    shell = user.having(**s3.env)
    clip = {"prompt": "slow pan", "image_urls": [PICTURE], "frames": 121}
    shell.manifest(
        [*map(boat, range(3)), {"id": "clip", "model": VIDEO, "input": clip}],
        run={"check_inputs": "off"},
        output={"dir": f"s3://{bucket}/night", "state": "out"},
    )
    said = [shell.expect(0, "run", "m.yaml").said]
    client, key = s3.client(), {"Bucket": bucket, "Key": "night/files/boat-001.png"}
    sound = client.get_object(**key)["Body"].read()
    commands = (
        ("verify", "m.yaml"),
        ("verify", "m.yaml", "--quick"),
        ("check", "m.yaml"),
        ("report", "m.yaml"),
        ("export", "m.yaml", "dataset", "--to", "hf"),
        ("export", "m.yaml", f"s3://{bucket}/sets", "--to", "webdataset", "--json"),
        ("status", "m.yaml", "--json"),
        ("show", "m.yaml", "clip"),
        ("repair", "m.yaml"),
    )
    said += [shell.expect(0, *words).said for words in commands]
    exported = shell.folder / "dataset/images/train/boat-001.png"
    assert exported.read_bytes() == sound
    client.put_object(**key, Body=sound[:-30] + b"?" * 30)
    assert "another content" in shell.expect(1, "verify", "m.yaml").out
    said.append(shell.expect(0, "repair", "m.yaml").said)
    again = client.get_object(**key)["Body"].read()
    assert hashlib.sha256(again).digest() == hashlib.sha256(sound).digest()
    assert "4 files verified: all sound" in shell.expect(0, "verify", "m.yaml").out
    assert len(emulator.charges()) == 4
    assert not any(secret in text for text in said for secret in SECRETS)
    assert secrets_in(shell.folder) == []


READERS = (
    ("verify", "m.yaml"),
    ("verify", "m.yaml", "--quick"),
    ("repair", "m.yaml"),
    ("check", "m.yaml"),
    ("report", "m.yaml"),
    ("export", "m.yaml", "dataset", "--to", "hf"),
    ("export", "m.yaml", "dataset", "--to", "webdataset"),
)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C; and again after a while, as one that comes while workers start may go astray."""
    for _ in range(3):
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_ctrl_c_does_not_wait_for_a_bucket_that_hangs(
    user: Shell, s3: S3Server, bucket: str, words: tuple[str, ...]
) -> None:
    user.manifest(3)
    user.expect(0, "run", "m.yaml", "--quiet")
    night = moved_to_bucket(user, s3, bucket)
    asked, over = threading.Event(), threading.Event()

    def hang(_method: str, path: str) -> None:
        if path.endswith(".png"):
            asked.set()
            over.wait(60)

    s3.refuse = hang
    try:
        with night.shell.start(*words, start_new_session=True) as process:
            wait_until(asked.is_set, "a file is asked for")
            interrupt(process)
            stopped = ended(process)
        assert (stopped.code, stopped.said.strip()) == (130, "")
    finally:
        over.set()


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_without_credentials_the_message_says_how_to_log_in(
    user: Shell, s3: S3Server, bucket: str, words: tuple[str, ...]
) -> None:
    user.manifest(3)
    user.expect(0, "run", "m.yaml", "--quiet")
    moved_to_bucket(user, s3, bucket)
    without = user.having(AWS_ENDPOINT_URL=s3.endpoint, AWS_EC2_METADATA_DISABLED="true")
    done = without.expect(65, *words)
    assert "there are no credentials for it" in done.err
    assert "aws sso login" in done.err
    assert "Traceback" not in done.said
