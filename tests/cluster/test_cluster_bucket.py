"""A cluster's workers put results into a bucket themselves, from disks of their own."""

from __future__ import annotations

import pytest

from tests.shell import Emulator, Shell
from tests.storage.bucket_world import Bucket
from tests.storage.s3_server import S3Server


@pytest.fixture
def world(shell: Shell, emulator: Emulator, s3: S3Server, bucket: str) -> Bucket:
    return Bucket(shell.using(emulator).having(**s3.env), emulator, s3, bucket)


def test_results_are_in_the_bucket_and_read_from_there(world: Bucket) -> None:
    world.manifest()
    world.emulator.arm("submit", "data_uri", times=1)
    world.user.expect(0, "run", "m.yaml", "--ray")
    world.check(4)
    assert "4 files verified: all sound" in world.user.expect(0, "verify", "m.yaml", "--ray").out
