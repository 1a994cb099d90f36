"""The run's files, read once, and compared with the state while they are."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_errors
from batchgen.downloads.files import open_to_read
from batchgen.errors import MissingFileError, OutputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.state.results import Result

BLOCK = 1024 * 1024
CANNOT_LINK = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
)
"""Another disk, a file of another user, too many links, a file system without links."""

REPAIR = "batchgen verify MANIFEST shows all of them, batchgen repair MANIFEST fetches them again"


def blocks(path: Path, result: Result) -> Iterator[bytes]:
    """Read a file through; whoever comes to the end has read what the state knows.

    Raises MissingFileError, StorageError.
    """
    digest = hashlib.sha256()
    try:
        with open_to_read(path) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                yield block
    except FileNotFoundError as exc:
        raise MissingFileError(
            f"the result of {result.job_id} is missing", where=result.path, next_step=REPAIR
        ) from exc
    except (OSError, OutputError) as exc:
        detail = exc.what if isinstance(exc, OutputError) else exc.strerror
        raise StorageError(
            f"the result of {result.job_id} cannot be read: {detail}",
            where=result.path,
            next_step=REPAIR,
        ) from exc
    if digest.hexdigest() != result.sha256:
        raise StorageError(
            f"the result of {result.job_id} has another content than the one that was downloaded",
            where=result.path,
            next_step=REPAIR,
        )


def place(source: Path, result: Result, part: Path, *, copy: bool) -> None:
    """Put a verified file at `part`: a hard link where that can be, else a copy.

    What is linked is read by its new name, so that nothing can change between check and link.
    """
    with disk_errors(part):
        part.unlink(missing_ok=True)
    if not copy and _linked(source, part):
        for _ in blocks(part, result):
            pass
        return
    with disk_errors(part), part.open("xb") as file:
        file.writelines(blocks(source, result))
        file.flush()
        os.fsync(file.fileno())


def _linked(source: Path, part: Path) -> bool:
    with disk_errors(part):
        try:
            os.link(source, part, follow_symlinks=False)
        except FileNotFoundError:
            return False  # the copy says what is missing
        except OSError as exc:
            if exc.errno in CANNOT_LINK:
                return False
            raise
    return True
