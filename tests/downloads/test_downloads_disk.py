from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from batchgen.downloads.outcomes import Target
from batchgen.downloads.part import make_folders
from batchgen.errors import (
    BatchgenError,
    DiskFullError,
    ExitCode,
    OpenFilesError,
    OutputError,
    StorageError,
)
from batchgen.fs import disk_error, disk_errors, sync_folder

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
def test_an_error_of_the_disk_says_where_and_what_next(
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


def test_a_failed_fsync_of_a_folder_is_told(tmp_path: Path) -> None:
    """Row 52."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path, fail)


def test_only_new_folders_are_made_durable(tmp_path: Path) -> None:
    calls: list[int] = []
    target = Target(tmp_path / "files", "hero/boat")
    make_folders(target, calls.append)
    make_folders(target, calls.append)
    assert len(calls) == 2
    assert (tmp_path / "files" / "hero").is_dir()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_no_fault_of_the_disk(number: int) -> None:
    error = disk_error(OSError(number, "Too many open files"), Path("files/boat.part"))
    assert isinstance(error, OpenFilesError)
    assert "nothing is wrong with the disk" in error.what
    assert "ulimit -n 4096" in str(error)
    assert error.exit_code == 75
