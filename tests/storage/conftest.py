"""A run whose results go to a bucket."""

from __future__ import annotations

import pytest

from tests.shell import Emulator, Shell
from tests.storage.bucket_world import Bucket
from tests.storage.s3_server import S3Server


@pytest.fixture
def world(shell: Shell, emulator: Emulator, s3: S3Server, bucket: str) -> Bucket:
    user = shell.using(emulator).having(**s3.env)
    return Bucket(user, emulator, s3, bucket)
