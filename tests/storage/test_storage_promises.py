"""One suite of promises for results in a folder and in a bucket."""

from __future__ import annotations

import hashlib
import os
import signal
from dataclasses import dataclass

import pytest

from tests.shell import wait_until
from tests.storage.bucket_world import HAS_KILL, PREFIX, Bucket


@dataclass
class Run:
    """A run whose results are in a folder or in a bucket: the same promises hold for both."""

    world: Bucket
    in_bucket: bool

    def write(self, count: int) -> None:
        output = {"dir": self.world.url, "state": "out"} if self.in_bucket else {"dir": "out"}
        self.world.user.manifest(count, output=output)

    def command(self, code: int, verb: str) -> None:
        self.world.user.expect(code, verb, "m.yaml")

    def contents(self) -> dict[str, bytes]:
        if self.in_bucket:
            return {name: self.world.read(name) for name in self.world.results()}
        files = self.world.user.folder / "out/files"
        return {f"files/{path.name}": path.read_bytes() for path in files.iterdir()}

    def damage(self, name: str, content: bytes | None) -> None:
        if not self.in_bucket:
            path = self.world.user.folder / "out" / name
            path.unlink() if content is None else path.write_bytes(content)
            return
        s3, key = self.world.s3.client(), f"{PREFIX}/{name}"
        if content is None:
            s3.delete_object(Bucket=self.world.name, Key=key)
        else:
            s3.put_object(Bucket=self.world.name, Key=key, Body=content)

    def check(self, count: int) -> None:
        """Done is whole, as recorded, and paid once."""
        assert [one["status"] for one in self.world.emulator.charges()] == ["succeeded"] * count
        jobs = self.world.user.status()["jobs"]
        assert {job["state"] for job in jobs} == {"done"}
        recorded = {
            f"files/{file['path'].rpartition('/')[2]}": file["sha256"]
            for job in jobs
            for file in job["files"]
        }
        found = {name: hashlib.sha256(data).hexdigest() for name, data in self.contents().items()}
        assert found == recorded
        assert len(found) == count


@pytest.fixture
def a_run(world: Bucket, request: pytest.FixtureRequest) -> Run:
    return Run(world, in_bucket=request.param == "bucket")


IN_BOTH = pytest.mark.parametrize("a_run", ["folder", "bucket"], indirect=True)


@IN_BOTH
def test_done_is_whole_and_paid_once(a_run: Run) -> None:
    a_run.write(5)
    a_run.command(0, "run")
    a_run.check(5)
    a_run.command(0, "verify")
    a_run.command(0, "run")
    a_run.check(5)


@IN_BOTH
def test_downloads_that_break_off_are_whole_in_the_end(a_run: Run) -> None:
    a_run.world.emulator.arm("file", "reset_mid_body", times=3)
    a_run.world.emulator.arm("file", "short_body", times=1, after=3)
    a_run.write(3)
    a_run.command(0, "run")
    a_run.check(3)


@HAS_KILL
@IN_BOTH
def test_after_a_kill_the_same_command_continues(a_run: Run) -> None:
    """All are accepted by then: a kill that hits a submit leaves it unknown, in another test."""
    a_run.write(12)
    user, emulator = a_run.world.user, a_run.world.emulator
    emulator.arm("file", "slow", seconds=10, times=None, after=3)
    with user.start("run", "m.yaml") as going:
        wait_until(lambda: "done" in user.states().values(), "one is done")
        wait_until(lambda: not {"pending", "submitting"} & {*user.states().values()}, "accepted")
        os.kill(going.pid, signal.SIGKILL)
        going.wait()
    assert set(user.states().values()) != {"done"}
    emulator.disarm()
    a_run.command(0, "run")
    a_run.check(12)


@IN_BOTH
def test_repair_brings_the_same_bytes_back(a_run: Run) -> None:
    a_run.write(4)
    a_run.command(0, "run")
    before = a_run.contents()
    a_run.damage("files/boat-001.png", b"damaged")
    a_run.damage("files/boat-002.png", None)
    a_run.command(1, "verify")
    a_run.command(0, "repair")
    a_run.damage("files/boat-001.png.damaged-1", None)
    assert a_run.contents() == before
    a_run.check(4)
