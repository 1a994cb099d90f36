"""A file of another run is taken whole, or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from batchgen.downloads.adopt import SourceGone, adopt
from batchgen.downloads.outcomes import Fetched, Target, VerifiedFile
from batchgen.errors import DiskFullError, OutputError, StorageError
from batchgen.storage.locations import FolderLocation

BYTES = b"a picture, as far as its hash goes"


def expected(path: str = "files/boat.png") -> VerifiedFile:
    digest = hashlib.sha256(BYTES).hexdigest()
    return VerifiedFile(path, len(BYTES), digest, "image/png", 8, 8, None, 1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "earlier"
    (folder / "files").mkdir(parents=True)
    (folder / "files/boat.png").write_bytes(BYTES)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "now").mkdir()
    return Target(tmp_path / "now/files", "sea/ship")


def refuse_to_link(*_: object, **__: object) -> None:
    raise OSError(18, "another disk")


def test_it_is_a_hard_link_under_the_name_of_this_run(source: Path, target: Target) -> None:
    outcome = adopt(FolderLocation(source), expected(), target, os.fsync)
    assert isinstance(outcome, Fetched)
    assert outcome.file.path == "files/sea/ship.png"
    final = target.folder / "sea/ship.png"
    assert final.samefile(source / "files/boat.png")
    assert [one.name for one in (final.parent).iterdir()] == ["ship.png"]


def test_on_another_disk_it_is_a_copy(
    source: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse_to_link)
    assert isinstance(adopt(FolderLocation(source), expected(), target, os.fsync), Fetched)
    final = target.folder / "sea/ship.png"
    assert final.read_bytes() == BYTES
    assert not final.samefile(source / "files/boat.png")


@pytest.mark.parametrize("copied", [False, True])
def test_after_a_kill_it_is_taken_again(
    source: Path, target: Target, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    if copied:
        monkeypatch.setattr(os, "link", refuse_to_link)
    adopt(FolderLocation(source), expected(), target, os.fsync)
    (target.folder / "sea/ship.reused").write_bytes(b"half")
    assert isinstance(adopt(FolderLocation(source), expected(), target, os.fsync), Fetched)
    assert [one.name for one in (target.folder / "sea").iterdir()] == ["ship.png"]
    assert (source / "files/boat.png").read_bytes() == BYTES


@pytest.mark.parametrize("copied", [False, True])
def test_other_bytes_are_not_taken(
    source: Path, target: Target, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    if copied:
        monkeypatch.setattr(os, "link", refuse_to_link)
    (source / "files/boat.png").write_bytes(BYTES[:-1] + b"!")
    outcome = adopt(FolderLocation(source), expected(), target, os.fsync)
    assert isinstance(outcome, SourceGone)
    assert "other bytes" in outcome.reason
    assert [one.name for one in (target.folder / "sea").iterdir()] == []


def test_a_missing_file_a_link_and_a_folder_are_not_taken(source: Path, target: Target) -> None:
    file = source / "files/boat.png"
    file.rename(source / "elsewhere")
    assert isinstance(adopt(FolderLocation(source), expected(), target, os.fsync), SourceGone)
    file.symlink_to(source / "elsewhere")
    assert isinstance(adopt(FolderLocation(source), expected(), target, os.fsync), SourceGone)
    file.unlink()
    file.mkdir()
    assert isinstance(adopt(FolderLocation(source), expected(), target, os.fsync), SourceGone)


def test_of_a_source_that_is_gone_nothing_comes_back_after_a_loss_of_power(
    source: Path, target: Target
) -> None:
    (source / "files/boat.png").unlink()
    (target.folder / "sea").mkdir(parents=True)
    left = target.folder / "sea/ship.reused"
    left.write_bytes(b"half")
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, left.exists()))

    assert isinstance(adopt(FolderLocation(source), expected(), target, fsync), SourceGone)
    assert (left.parent.stat().st_ino, False) in synced


@pytest.mark.parametrize("path", ["../secret.png", "/etc/secret.png", "files/boat.exe"])
def test_a_path_that_no_run_has_is_not_taken(source: Path, target: Target, path: str) -> None:
    assert isinstance(adopt(FolderLocation(source), expected(path), target, os.fsync), SourceGone)


def test_nothing_has_its_name_before_its_bytes_are_durable(source: Path, target: Target) -> None:
    def fail(_: int) -> None:
        assert not (target.folder / "sea/ship.png").exists()
        raise OSError(5, "the disk fails")

    target.folder.mkdir()
    (target.folder / "sea").mkdir()
    with pytest.raises(StorageError):
        adopt(FolderLocation(source), expected(), target, fail)
    assert not (target.folder / "sea/ship.png").exists()


def test_trouble_of_the_own_disk_is_not_the_sources(
    source: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(os, "link", refuse_to_link)
    monkeypatch.setattr("shutil.copyfileobj", fill)
    with pytest.raises(DiskFullError):
        adopt(FolderLocation(source), expected(), target, os.fsync)


def test_a_link_in_the_way_is_not_followed(source: Path, target: Target) -> None:
    (target.folder / "sea").mkdir(parents=True)
    (target.folder / "sea/ship.png").symlink_to(source / "files/boat.png")
    with pytest.raises(OutputError):
        adopt(FolderLocation(source), expected(), target, os.fsync)
