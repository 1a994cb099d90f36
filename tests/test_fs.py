"""Disk errors, and files that get their name when they are complete."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from batchgen.errors import (
    BatchgenError,
    DiskFullError,
    ExitCode,
    OpenFilesError,
    OutputError,
    StorageError,
)
from batchgen.fs import disk_error, disk_errors, publishing, sync_folder

PLACE = Path("files/boat.part")


def translated(number: int) -> BatchgenError:
    with pytest.raises(BatchgenError) as caught, disk_errors(PLACE):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value.__cause__, OSError)
    return caught.value


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, DiskFullError, ExitCode.IO_ERROR),
        (errno.EDQUOT, DiskFullError, ExitCode.IO_ERROR),
        (errno.EIO, StorageError, ExitCode.IO_ERROR),
        (errno.ESTALE, StorageError, ExitCode.IO_ERROR),
        (errno.EACCES, OutputError, ExitCode.CANNOT_WRITE),
        (errno.EROFS, OutputError, ExitCode.CANNOT_WRITE),
        (errno.ENOENT, OutputError, ExitCode.CANNOT_WRITE),
        (errno.ELOOP, OutputError, ExitCode.CANNOT_WRITE),
    ],
)
def test_a_disk_error_has_its_place_and_a_next_step(
    number: int, kind: type[BatchgenError], code: ExitCode
) -> None:
    """Rows 50, 52 and 53."""
    error = translated(number)
    assert type(error) is kind
    assert error.exit_code == code
    assert str(error).startswith("files/boat.part: ")
    assert "→" in str(error)


def test_a_file_system_without_fsync_of_folders_will_do(tmp_path: Path) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    sync_folder(tmp_path, refuse)


def test_a_failed_fsync_of_a_folder_is_reported(tmp_path: Path) -> None:
    """Row 52."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path, fail)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_no_fault_of_the_disk(number: int) -> None:
    error = disk_error(OSError(number, "Too many open files"), Path("files/boat.part"))
    assert isinstance(error, OpenFilesError)
    assert "nothing is wrong with the disk" in error.what
    assert "ulimit -n 4096" in str(error)
    assert error.exit_code == 75


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    with publishing(path, durable=durable) as file:
        file.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_finished_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(TypeError), publishing(path) as file:
        file.writelines([b"half", "a text"])  # type: ignore[list-item]
    assert not path.exists()


def test_a_link_that_a_stranger_put_there_is_replaced_not_followed(tmp_path: Path) -> None:
    path, other = tmp_path / "page.html", tmp_path / "other"
    other.write_text("other")
    for link in (path, tmp_path / "page.html.part"):
        link.symlink_to(other)
    with publishing(path) as file:
        file.write(b"page")
    assert (path.read_text(), other.read_text()) == ("page", "other")
    assert not path.is_symlink()
