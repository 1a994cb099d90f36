"""One runner a state file. The operating system frees the lock of a process that died."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from batchgen.errors import (
    BatchgenError,
    LockedError,
    MissingFileError,
    OutputError,
    SchemaVersionError,
)
from batchgen.state.database import open_for_reading, translated
from batchgen.state.queries import get_meta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.runs.folder import RunFolder

HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})

PATIENCE = 1.0
"""Seconds that a run outwaits a command: a pick or an approval holds the lock for a moment."""


@contextmanager
def locked(folder: RunFolder, patience: float = 0.0) -> Iterator[None]:
    """Hold the run's lock. Raises LockedError (exit 75) where another process has it.

    `patience`, in seconds, outwaits a command that holds it for the moment of a decision.
    """
    lock = FileLock(folder.lock, mode=0o600)
    try:
        lock.acquire(timeout=patience)
    except (Timeout, NotImplementedError) as exc:
        # A file system without locks looks like one that is held: it is asked why.
        if why := _why_no_locks(folder):
            raise _no_locks(folder, why) from exc
        raise LockedError(
            f"another runner is at work on this state ({holder(folder)}); nothing was sent",
            where=str(folder.root),
            next_step="wait for it, watch it with `batchgen status`, or stop it; then run again",
        ) from exc
    except OSError as exc:
        if exc.errno in WITHOUT_LOCKS:
            raise _no_locks(folder, str(exc.strerror)) from exc
        raise OutputError(
            f"the run cannot be locked: {exc.strerror}",
            where=str(folder.lock),
            next_step="check the folder and its permissions, or set output.dir",
        ) from exc
    try:
        yield
    finally:
        lock.release()


def _no_locks(folder: RunFolder, why: str) -> OutputError:
    return OutputError(
        f"the run cannot be locked: this file system has no locks ({why})",
        where=str(folder.lock),
        next_step="two runs at once would pay twice: set output.dir to a folder on a local disk, or"
        " have the network disk mounted with locks",
    )


def _why_no_locks(folder: RunFolder) -> str | None:
    """None where locks work, and somebody has this one."""
    with folder.lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            return None if exc.errno in HELD else exc.strerror
    return None


def is_held(folder: RunFolder) -> bool:
    """Whether a runner is at work at this moment. Raises OutputError."""
    try:
        with locked(folder):
            return False
    except LockedError:
        return True


def holder(folder: RunFolder) -> str:
    """Who runs, as the runner wrote it into the state."""
    try:
        with closing(open_for_reading(folder.state)) as db, translated(folder.state):
            return get_meta(db, "runner") or "unknown process"
    except (MissingFileError, SchemaVersionError):
        return "it has just begun"
    except BatchgenError:
        # That the state cannot be read is the runner's to say; that it is held is true.
        return "unknown process"


def myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
