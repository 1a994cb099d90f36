"""Scenarios for a process with the shim: test_simulation_disk.py starts it, and asks for each."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.simulation.disk import Disk
from tests.simulation.image import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.simulation.image import Image

DICE = 8
SEEDS = 200
COMMITS = 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = (tmp_path / "run").resolve()
    (folder / "files").mkdir(parents=True)
    return folder


@pytest.fixture
def disk(root: Path) -> Iterator[Disk]:
    with Disk().watch(root) as disk:
        yield disk


def after_losses(disk: Disk, seeds: int = SEEDS) -> list[Image]:
    return [disk.after_power_loss(random.Random(seed)) for seed in range(seeds)]


def write(path: Path, content: bytes, flags: int = os.O_CREAT, sync: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | flags, 0o600)
    os.write(descriptor, content)
    if sync:
        os.fsync(descriptor)
    os.close(descriptor)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def database(path: Path, synchronous: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    # A checkpoint each few commits: its writes and truncations must be cut as well.
    db.execute("PRAGMA wal_autocheckpoint = 8")
    db.execute("CREATE TABLE note (number INTEGER PRIMARY KEY, text TEXT)")
    return db


class Losses:
    """Takes images at every point of a life that commits, each with what was acknowledged."""

    def __init__(self, disk: Disk) -> None:
        self.acknowledged = 0
        self.after_power_loss: list[tuple[int, Image]] = []
        self.after_death: list[tuple[int, Image]] = []
        self._disk = disk
        self._dice = random.Random(1)

    def cut(self, label: str) -> None:
        self.after_death.append((self.acknowledged, self._disk.after_death()))
        for _ in range(DICE):
            image = self._disk.after_power_loss(self._dice)
            self.after_power_loss.append((self.acknowledged, image))

    def commit(self, db: sqlite3.Connection) -> None:
        self._disk.on_point = self.cut
        for number in range(1, COMMITS + 1):
            db.execute("INSERT INTO note VALUES (?, ?)", (number, "text" * 300))
            self.acknowledged = number


def lives(disk: Disk, root: Path, synchronous: str) -> Losses:
    losses = Losses(disk)
    with closing(database(root / "state.db", synchronous)) as db:
        losses.commit(db)
    return losses


def recovered(image: Image, elsewhere: Path) -> tuple[str, list[int]]:
    """What SQLite says of an image, and the notes it finds in it."""
    elsewhere.mkdir(exist_ok=True)
    image.restore(elsewhere)
    with closing(sqlite3.connect(elsewhere / "state.db", isolation_level=None)) as db:
        try:
            (verdict,) = db.execute("PRAGMA quick_check").fetchone()
            return verdict, [number for (number,) in db.execute("SELECT number FROM note")]
        except sqlite3.DatabaseError as exc:
            return str(exc), []


def test_every_acknowledged_commit_survives_every_power_loss(
    disk: Disk, root: Path, tmp_path: Path
) -> None:
    losses = lives(disk, root, "FULL")
    assert len(losses.after_power_loss) > COMMITS * 4 * DICE
    for acknowledged, image in losses.after_power_loss:
        verdict, notes = recovered(image, tmp_path / "found")
        assert verdict == "ok"
        assert notes in (
            list(range(1, acknowledged + 1)),
            list(range(1, acknowledged + 2)),
        ), f"{acknowledged} were acknowledged"


def test_without_fsync_a_power_loss_takes_acknowledged_commits(
    disk: Disk, root: Path, tmp_path: Path
) -> None:
    lost = damaged = False
    for acknowledged, image in lives(disk, root, "OFF").after_power_loss:
        verdict, notes = recovered(image, tmp_path / "found")
        lost = lost or len(notes) < acknowledged
        damaged = damaged or verdict != "ok"
        if lost and damaged:
            return
    raise AssertionError(f"{lost=}, {damaged=}")


def test_the_death_of_a_process_takes_nothing_even_without_fsync(
    disk: Disk, root: Path, tmp_path: Path
) -> None:
    for acknowledged, image in lives(disk, root, "OFF").after_death:
        verdict, notes = recovered(image, tmp_path / "found")
        assert verdict == "ok"
        assert len(notes) in {acknowledged, acknowledged + 1}


def test_a_rename_may_vanish_until_its_folder_is_synced(disk: Disk, root: Path) -> None:
    part, final = root / "files" / "a.part", root / "files" / "a.png"
    write(part, b"picture", sync=True)
    sync_folder(root / "files")
    part.rename(final)
    names = {tuple(image.files) for image in after_losses(disk)}
    assert names == {("files/a.part",), ("files/a.png",)}
    sync_folder(root / "files")
    assert all(image.files == {"files/a.png": b"picture"} for image in after_losses(disk))


def test_a_synced_file_may_be_gone_while_its_folder_is_not_synced(disk: Disk, root: Path) -> None:
    write(root / "new", b"content", sync=True)
    found = [image.files.get("new") for image in after_losses(disk)]
    assert set(found) == {None, b"content"}


def test_a_new_folder_takes_its_files_with_it(disk: Disk, root: Path) -> None:
    (root / "files" / "deep").mkdir()
    write(root / "files" / "deep" / "a.png", b"picture", sync=True)
    sync_folder(root / "files" / "deep")
    images = after_losses(disk)
    assert {"files/deep" in image.folders for image in images} == {True, False}
    for image in images:
        assert ("files/deep/a.png" in image.files) == ("files/deep" in image.folders)


def test_entries_of_a_folder_become_durable_in_their_order(disk: Disk, root: Path) -> None:
    for name in "abc":
        write(root / name, b"")
    found = {"".join(sorted(image.files)) for image in after_losses(disk)}
    assert found == {"", "a", "ab", "abc"}


def test_unsynced_writes_are_lost_kept_torn_at_sectors_or_read_as_zeros(
    disk: Disk, root: Path
) -> None:
    write(root / "log", b"", sync=True)
    sync_folder(root)
    write(root / "log", b"x" * 2048)
    found = {image.files["log"] for image in after_losses(disk)}
    assert {b"", b"x" * 2048, bytes(2048)} < found
    assert b"x" * 512 in found
    assert bytes(512) + b"x" * 512 in found
    for content in found:
        sectors = {content[start : start + 512] for start in range(0, len(content), 512)}
        assert sectors <= {b"x" * 512, bytes(512)}


def test_a_later_write_may_survive_an_earlier_one(disk: Disk, root: Path) -> None:
    write(root / "log", b"--------", sync=True)
    sync_folder(root)
    descriptor = os.open(root / "log", os.O_WRONLY)
    os.pwrite(descriptor, b"a", 0)
    os.pwrite(descriptor, b"b", 4)
    os.close(descriptor)
    found = {image.files["log"] for image in after_losses(disk)}
    assert found == {b"--------", b"a-------", b"----b---", b"a---b---"}


def test_a_full_disk_reaches_python_and_sqlite(disk: Disk, root: Path) -> None:
    with closing(database(root / "state.db", "FULL")) as db:
        disk.fail = lambda op, role: errno.ENOSPC if op == "write" else 0
        with pytest.raises(OSError, match="No space left") as refused:
            write(root / "a", b"content")
        assert refused.value.errno == errno.ENOSPC
        with pytest.raises(sqlite3.OperationalError) as full:
            db.execute("INSERT INTO note VALUES (1, 'text')")
        assert full.value.sqlite_errorcode == sqlite3.SQLITE_FULL
        disk.fail = lambda op, role: 0
        db.execute("INSERT INTO note VALUES (1, 'text')")
    assert (root / "a").read_bytes() == b""


def test_a_failed_fsync_reaches_python_and_sqlite(disk: Disk, root: Path) -> None:
    with closing(database(root / "state.db", "FULL")) as db:
        disk.fail = lambda op, role: errno.EIO if op == "fsync" else 0
        with pytest.raises(OSError, match="Input/output error") as refused:
            write(root / "a", b"content", sync=True)
        assert refused.value.errno == errno.EIO
        with pytest.raises(sqlite3.OperationalError) as failed:
            db.execute("INSERT INTO note VALUES (1, 'text')")
        assert failed.value.sqlite_errorcode == sqlite3.SQLITE_IOERR_FSYNC
        disk.fail = lambda op, role: 0


def test_no_later_fsync_vouches_for_what_a_failed_one_left(disk: Disk, root: Path) -> None:
    write(root / "log", b"", sync=True)
    sync_folder(root)
    disk.fail = lambda op, role: errno.EIO if op == "fsync" else 0
    with pytest.raises(OSError, match="Input/output error"):
        write(root / "log", b"a" * 512, sync=True)
    disk.fail = lambda op, role: 0
    write(root / "log", b"b" * 512, os.O_APPEND, sync=True)
    found = {image.files["log"] for image in after_losses(disk)}
    assert found == {b"a" * 512 + b"b" * 512, bytes(512) + b"b" * 512}


@pytest.mark.parametrize(
    ("op", "code"), [("create", errno.ENOSPC), ("mkdir", errno.EROFS), ("rename", errno.EIO)]
)
def test_a_fault_on_a_path_leaves_everything_as_it_was(
    disk: Disk, root: Path, op: str, code: int
) -> None:
    write(root / "old", b"content", sync=True)
    sync_folder(root)
    disk.fail = lambda asked, role: code if asked == op else 0
    attempts: dict[str, Callable[[], object]] = {
        "create": lambda: write(root / "new", b""),
        "mkdir": (root / "new").mkdir,
        "rename": lambda: (root / "old").rename(root / "new"),
    }
    with pytest.raises(OSError, match=os.strerror(code)):
        attempts[op]()
    assert disk.after_death() == disk.after_power_loss(random.Random(1))
    assert disk.after_death().files == {"old": b"content"}


def test_labels_name_what_was_done_to_which_role(disk: Disk, root: Path) -> None:
    labels: list[str] = []
    disk.on_point = labels.append
    part = root / "files" / "job-1.part"
    write(part, b"picture", os.O_CREAT | os.O_TRUNC, sync=True)
    part.rename(root / "files" / "job-1.png")
    sync_folder(root / "files")
    (root / "files" / "more").mkdir()
    write(root / "files" / "job-1.png", b"", os.O_TRUNC)
    (root / "files" / "job-1.png").unlink()
    write(root / "files" / ".writable", b"")
    done = [
        "create *.part",
        "write *.part",
        "fsync *.part",
        "rename picture",
        "fsync folder",
        "mkdir folder",
        "truncate picture",
        "write picture",
        "unlink picture",
        "create probe",
        "write probe",
    ]
    assert labels == [f"{when} {what}" for what in done for when in ("before", "after")]
    assert disk.points == len(labels)


def test_reads_locks_and_other_folders_are_no_points(
    disk: Disk, root: Path, tmp_path: Path
) -> None:
    write(root / "run.lock", b"")
    write(root / "state.db-shm", b"index")
    write(tmp_path / "elsewhere", b"content")
    (tmp_path / "run-2").mkdir()
    with pytest.raises(FileNotFoundError):
        (root / "missing").unlink()
    with pytest.raises(FileExistsError):
        (root / "files").mkdir()
    assert (root / "state.db-shm").read_bytes() == b"index"
    assert disk.points == 0
    assert disk.after_death().files == {}


def test_relative_paths_and_folder_descriptors_are_heard(
    disk: Disk, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "files")
    labels: list[str] = []
    disk.on_point = labels.append
    write("../files/./a", b"")  # type: ignore[arg-type]
    folder = os.open(root, os.O_RDONLY)
    os.rename("files/a", "files/b", src_dir_fd=folder, dst_dir_fd=folder)
    os.unlink("files/b", dir_fd=folder)
    os.close(folder)
    assert [label for label in labels if label.startswith("after")] == [
        "after create picture",
        "after write picture",
        "after rename picture",
        "after unlink picture",
    ]


def test_what_has_no_model_is_refused(disk: Disk, root: Path, tmp_path: Path) -> None:
    write(root / "a", b"content")
    with pytest.raises(OSError, match="Invalid cross-device link"):
        (root / "a").rename(root / "files" / "a")
    with pytest.raises(OSError, match="Invalid cross-device link"):
        (root / "a").rename(tmp_path / "a")
    descriptor = os.open(root / "a", os.O_WRONLY)
    with pytest.raises(OSError, match="Function not implemented"):
        os.posix_fallocate(descriptor, 0, 4096)
    os.close(descriptor)
    assert disk.after_death().files == {"a": b"content"}


def random_change(root: Path, dice: random.Random) -> None:
    """One change by one of the calls that Python makes; some fail, as they would anywhere."""
    a, b = (root / "files" / dice.choice("abcd") for _ in "ab")
    data = dice.randbytes(dice.randrange(1, 1500))
    at = dice.randrange(2000)
    changes: list[Callable[[], object]] = [
        lambda: write(a, data),
        lambda: write(a, data, os.O_CREAT | os.O_APPEND),
        lambda: write(a, data, os.O_CREAT | os.O_TRUNC),
        lambda: write(a, data, os.O_CREAT | os.O_EXCL),
        lambda: os.truncate(a, at),
        lambda: a.rename(b),
        lambda: b.hardlink_to(a),
        a.unlink,
        a.mkdir,
        a.rmdir,
        lambda: scattered(a, data, at),
    ]
    try:
        dice.choice(changes)()
    except OSError as exc:
        known = {errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EPERM}
        assert exc.errno in known, exc  # noqa: PT017


def scattered(path: Path, data: bytes, at: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    os.pwrite(descriptor, data, at)
    os.lseek(descriptor, at // 2, os.SEEK_SET)
    os.writev(descriptor, [data[:7], data[7:]])
    os.ftruncate(descriptor, at + 3)
    os.close(descriptor)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_synced_is_what_is_there_whatever_was_done(
    disk: Disk, root: Path, seed: int
) -> None:
    dice = random.Random(seed)
    for _ in range(200):
        random_change(root, dice)
    for path in sorted((root / "files").iterdir()):
        sync_folder(path)
    sync_folder(root / "files")
    assert disk.after_power_loss(dice) == disk.after_death()


def test_the_same_dice_leave_the_same_image(disk: Disk, root: Path) -> None:
    dice = random.Random(5)
    for _ in range(100):
        random_change(root, dice)
    assert after_losses(disk, 20) == after_losses(disk, 20)


def test_restoring_keeps_inodes_and_makes_all_durable(disk: Disk, root: Path) -> None:
    write(root / "state.db", b"old")
    (root / "files" / "kept").mkdir()
    inode = (root / "state.db").stat().st_ino
    image = disk.after_death()
    write(root / "state.db", b"newer and longer")
    write(root / "extra", b"")
    (root / "files" / "kept").rmdir()
    (root / "files" / "gone").mkdir()
    write(root / "files" / "gone" / "a", b"")
    points = disk.points
    image.restore(root)
    assert disk.points == points
    assert (root / "state.db").stat().st_ino == inode
    assert take(root) == image
    assert all(found == image for found in after_losses(disk))


def test_a_restore_elsewhere_changes_nothing_here(disk: Disk, root: Path, tmp_path: Path) -> None:
    write(root / "a", b"content")
    (tmp_path / "other").mkdir()
    disk.after_death().restore(tmp_path / "other")
    assert take(tmp_path / "other") == disk.after_death()
    assert {"a" in image.files for image in after_losses(disk)} == {True, False}


def test_what_a_killed_process_still_does_is_no_point_and_never_fails(
    disk: Disk, root: Path
) -> None:
    labels: list[str] = []

    def die(label: str) -> None:
        labels.append(label)
        if label == "before write a":
            disk.kill()

    disk.on_point = die
    disk.fail = lambda op, role: errno.EIO if op in {"write", "unlink"} else 0
    write(root / "a", b"content", sync=True)
    (root / "a").unlink()
    assert labels == ["before create a", "after create a", "before write a"]


def test_a_hook_that_raises_is_reported_and_changes_nothing(
    disk: Disk, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: raised.append(report.exc_type))

    def stumble(label: str) -> None:
        raise KeyError(label)

    disk.on_point = stumble
    write(root / "a", b"content")
    assert raised == [KeyError] * 4
    assert (root / "a").read_bytes() == b"content"


def test_nothing_of_a_dead_process_reaches_the_next_life(disk: Disk, root: Path) -> None:
    write(root / "a", b"content")
    before = os.open(root / "a", os.O_WRONLY)
    image = disk.after_death()
    disk.kill()
    dying = os.open(root / "a", os.O_WRONLY)
    image.restore(root)
    points = disk.points
    for descriptor in (before, dying):
        assert os.write(descriptor, b"XXXX") == 4
        os.ftruncate(descriptor, 0)
        os.fsync(descriptor)
        os.close(descriptor)
    assert disk.points == points
    assert disk.after_death() == image
    write(root / "a", b"C")
    assert (root / "a").read_bytes() == b"Content"
    assert disk.points == points + 2


def test_a_child_process_is_not_heard(disk: Disk, root: Path) -> None:
    descriptor = os.open(root / "a", os.O_WRONLY | os.O_CREAT)
    points = disk.points
    code = f"open({str(root / 'b')!r}, 'w').write('x')"
    subprocess.run([sys.executable, "-c", code], check=True, close_fds=True)
    assert disk.points == points
    os.write(descriptor, b"still heard")
    os.close(descriptor)
    assert disk.points == points + 2


def test_a_fork_has_no_part_in_the_disk(disk: Disk, root: Path) -> None:
    descriptor = os.open(root / "a", os.O_WRONLY | os.O_CREAT)
    points = disk.points
    child = os.fork()
    if not child:
        os.write(descriptor, b"unheard")
        os._exit(disk.points - points)
    assert os.waitpid(child, 0) == (child, 0)
    os.close(descriptor)


def test_a_descriptor_used_again_is_another_file(disk: Disk, root: Path) -> None:
    lower, upper = (os.open(root / name, os.O_WRONLY | os.O_CREAT) for name in "ab")
    os.close(lower)
    os.close(upper)
    reading, writing = os.pipe()
    assert {reading, writing} == {lower, upper}
    os.write(writing, b"x")
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.close(writing)
    assert disk.points == 4


def test_two_names_of_a_file_have_one_content(disk: Disk, root: Path) -> None:
    write(root / "a", b"")
    (root / "b").hardlink_to(root / "a")
    sync_folder(root)
    write(root / "a", b"x" * 2048)
    found = {(image.files["a"], image.files["b"]) for image in after_losses(disk)}
    assert len(found) > 2
    assert all(a == b for a, b in found)


def test_a_refused_exclusive_open_truncates_nothing(disk: Disk, root: Path) -> None:
    write(root / "a", b"content", sync=True)
    points = disk.points
    with pytest.raises(FileExistsError):
        write(root / "a", b"", os.O_CREAT | os.O_EXCL | os.O_TRUNC)
    assert disk.points == points


def test_another_thread_is_heard_as_well(disk: Disk, root: Path) -> None:
    thread = threading.Thread(target=write, args=(root / "a", b"content"), name="writer")
    thread.start()
    thread.join()
    assert disk.points == 4
    assert disk.after_death().files == {"a": b"content"}


def test_a_stopped_disk_hears_nothing(disk: Disk, root: Path) -> None:
    disk.stop()
    write(root / "a", b"content")
    assert disk.points == 0
    assert (root / "a").read_bytes() == b"content"
