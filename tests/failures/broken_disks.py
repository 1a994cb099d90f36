"""Disks that fill up, refuse or fail, and what stands on them at each moment of a run."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

import batchgen
from batchgen.downloads.fetch import open_downloader
from batchgen.engine.events import Event
from batchgen.runs import ports
from batchgen.runs.summary import Summary
from tests.shell import PATIENCE, Emulator, Shell, wait_until

MIB = 1024 * 1024


@dataclass(frozen=True)
class Disk:
    """A whole file system of its own, in memory."""

    root: Path

    @property
    def ballast(self) -> Path:
        return self.root / "ballast"

    def fill(self, leaving: int = 0) -> None:
        """Leave `leaving` bytes, or none at all: then the last page is taken."""
        space = os.statvfs(self.root)
        with self.ballast.open("ab", buffering=0) as file:
            file.write(bytes(max(0, space.f_bavail * space.f_frsize - leaving)))
            if not leaving:
                fill_to_the_brim(file.fileno())

    def make_room(self) -> None:
        self.ballast.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.root)], check=True)


def fill_to_the_brim(descriptor: int) -> None:
    try:
        while True:
            os.write(descriptor, bytes(512))
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise


@contextmanager
def mounted(folder: Path, size: int = 4 * MIB) -> Iterator[Disk]:
    """A tmpfs of `size` bytes at `folder`. Skips the test where nobody may mount one."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount a small disk: unshare -rm gives such a root")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here: unshare -rm gives a root that may")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@dataclass(frozen=True)
class Fsyncs:
    """The door `fsync` of downloads. `look` is called with the path before each one."""

    look: Callable[[Path], None] = lambda _path: None
    failing: str | None = None
    asked: list[Path] = field(default_factory=list)

    def __call__(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.asked.append(path)
        self.look(path)
        if self.failing is not None and path.name.endswith(self.failing):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(descriptor)


@contextmanager
def through(fsyncs: Fsyncs) -> Iterator[None]:
    """Let the downloads of runs in this process go through that door."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("only /proc tells which file an fsync is for")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "open_downloader", partial(open_downloader, fsync=fsyncs))
        yield


def run_hearing(user: Shell, on_event: Callable[[Event], None]) -> Summary:
    with user.at_home():
        return batchgen.run("m.yaml", on_event=on_event)


def charged(emulator: Emulator, process: subprocess.Popen[str], count: int = 1) -> None:
    """Wait until so many submits of that process were accepted; not for one that is dead."""

    def enough() -> bool:
        assert process.poll() is None, process.communicate()
        return len(emulator.charges()) >= count

    wait_until(enough, f"{count} charges")


def served(emulator: Emulator, request_id: str) -> bytes:
    """The bytes that the vendor has for a picture."""
    url = f"{emulator.origin}/files/{request_id}/1.png"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        content: bytes = answer.read()
    return content


def plain_files(user: Shell) -> list[str]:
    """The files below the folder of results, without the folders there."""
    return [name for name in user.files() if (user.folder / "out/files" / name).is_file()]


def adopt_unknown(user: Shell, emulator: Emulator) -> None:
    """A person looks into the account, and finds the request or sends the job again."""
    requests = {charge["input"]["prompt"]: charge["request_id"] for charge in emulator.charges()}
    for job, state in user.states().items():
        if state == "unknown":
            found = requests.get(f"boat number {int(job.removeprefix('boat-'))}")
            end = ("--adopt", found) if found else ("--resubmit",)
            user.expect(0, "resolve", "m.yaml", job, *end)


def assert_whole(user: Shell, emulator: Emulator, jobs: int = 1) -> None:
    """Every job is done and paid once, and its file has the very bytes that the vendor has."""
    status = user.status()
    assert status["counts"] == {"done": jobs}
    for job in status["jobs"]:
        (file,) = job["files"]
        content = (user.folder / file["path"]).read_bytes()
        assert content == served(emulator, job["request_id"])
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(plain_files(user)) == jobs, "a .part was left"
    assert len(emulator.charges()) == jobs
