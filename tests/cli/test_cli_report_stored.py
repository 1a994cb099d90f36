"""`report` of results in a folder and in a bucket, and a bucket that refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.report.night_world import head
from tests.shell import Shell
from tests.storage.s3_server import S3Server
from tests.storage.stored import Stored, moved_to_bucket
from tests.uploads.test_uploads_bucket_runs import SECRETS, secrets_in


@pytest.fixture
def done(user: Shell) -> Shell:
    user.manifest(3)
    user.expect(0, "run", "m.yaml", "--quiet")
    return user


def test_previews_are_made_once(done: Shell, stored: Callable[[Shell], Stored]) -> None:
    night = stored(done)
    night.replace("files/boat-000.png", b"no picture")
    said = night.shell.expect(0, "report", "m.yaml").out
    assert "3 files, 2 new thumbnails" in said
    assert "1 file could not be read" in said
    assert "3 files, 0 new thumbnails" in night.shell.expect(0, "report", "m.yaml").out
    found = head(night.shell.folder / "out/report")
    if night.s3 is None:
        assert (found["files"], found["bucket"]) == ("../", "")
    else:
        assert (found["files"], found["bucket"]) == ("", f"{night.location}/")
    assert secrets_in(night.shell.folder) == []


@pytest.mark.parametrize(
    ("status", "code", "why"), [(403, 65, "(HTTP 403)"), (503, 69, "cannot be reached (HTTP 503)")]
)
def test_a_bucket_that_does_not_answer_ends_the_report(
    done: Shell, s3: S3Server, bucket: str, status: int, code: int, why: str
) -> None:
    night = moved_to_bucket(done, s3, bucket)
    s3.refuse = lambda _method, _path: status
    said = night.shell.expect(code, "report", "m.yaml")
    assert why in said.err
    assert not any(secret in said.said for secret in SECRETS)
