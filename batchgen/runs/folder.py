"""The paths of a run below `output.dir`, and its lock: one runner per state file.

The operating system frees the lock of a process that died.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from batchgen.errors import (
    BatchgenError,
    DiskFullError,
    LockedError,
    MissingFileError,
    OutputError,
    SchemaVersionError,
)
from batchgen.fs import NO_FOLLOW, disk_error, symlink_error, sync_folder, unwritable_name
from batchgen.state.database import reading
from batchgen.state.meta import Meta, get_meta
from batchgen.storage.stamps import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunFolder:
    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state.db"

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def parts(self) -> Path:
        """Where each command with `--ray` has a folder for its `.part` files."""
        return self.root / PARTS

    @property
    def metadata(self) -> Path:
        return self.root / "metadata.jsonl"

    @property
    def log(self) -> Path:
        return self.root / "run.log"

    @property
    def decisions(self) -> Path:
        return self.root / "decisions.jsonl"

    @property
    def receipts(self) -> Path:
        return self.root / "receipts.jsonl"

    @property
    def lock(self) -> Path:
        return self.root / "run.lock"

    @property
    def emulator(self) -> Path:
        return self.root / "emulator.db"

    @property
    def measures(self) -> Path:
        return self.root / "measures.db"

    def create(self) -> None:
        """Make the folders. Raises OutputError or DiskFullError, before anything is sent.

        It tries to write, since a disk that is mounted read-only looks writable to its owner.
        """
        # Always the same name, so that the next run removes what a kill leaves.
        probe = self.files / ".writable"
        if self.files.is_symlink():
            # Someone else may have put it there. To use another disk, make `root` a link.
            raise symlink_error(self.files)
        try:
            self.files.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink(missing_ok=True)
            # Owned by the runner, so that it can read another user's decisions.
            os.close(open_private(self.decisions, os.O_WRONLY))
            make_durable(self.root)
        except UnicodeEncodeError as exc:
            raise unwritable_name(str(self.root)) from exc
        except OSError as exc:
            error = disk_error(exc, self.decisions if exc.errno == errno.ELOOP else self.root)
            if isinstance(error, DiskFullError) or exc.errno == errno.ELOOP:
                raise error from exc
            raise OutputError(
                f"the output folder cannot be written: {exc.strerror}",
                where=str(self.root),
                next_step="check the folder and its permissions, or set output.dir",
            ) from exc


def make_durable(root: Path) -> None:
    """Sync the folders above: a power cut must not remove the folder and its record of paid jobs.

    Also if the folders exist: the run that made them may have died before its fsync. Only a folder
    that we can write to can have an entry of ours, and only one that we can read can be synced.
    """
    folder = root.absolute()
    while os.access(folder, os.R_OK | os.W_OK):
        sync_folder(folder, os.fsync)
        if folder == folder.parent:
            return
        folder = folder.parent


def open_private(path: Path, flags: int) -> int:
    """Open a file that names prompts and requests: only its owner may read it.

    A link is not followed: someone else may have put it there, and its target is not ours.
    """
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | NO_FOLLOW, 0o600)


HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})

PATIENCE = 1.0
"""How long a run waits for a command to release the lock, in seconds: a pick holds it briefly."""


@contextmanager
def locked(folder: RunFolder, patience: float = 0.0) -> Iterator[None]:
    """Hold the run's lock. Raises LockedError (exit 75) if another process holds it.

    `patience`: seconds to wait for a command that holds it while it stores a decision.
    """
    lock = FileLock(folder.lock, mode=0o600)
    try:
        lock.acquire(timeout=patience)
    except (Timeout, NotImplementedError) as exc:
        # Without support for locks, it also looks held: find out which it is.
        if why := _why_no_locks(folder):
            raise _no_locks(folder, why) from exc
        raise LockedError(
            f"another run of this state is in progress ({lock_holder(folder)}); nothing was sent",
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
    """None if locks work, and another process holds this one."""
    with folder.lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            return None if exc.errno in HELD else exc.strerror
    return None


def is_locked(folder: RunFolder) -> bool:
    """Whether a runner is active at this moment. Raises OutputError."""
    try:
        with locked(folder):
            return False
    except LockedError:
        return True


def lock_holder(folder: RunFolder) -> str:
    """The runner, as it described itself in the state."""
    try:
        with reading(folder.state) as db:
            return get_meta(db, Meta.RUNNER) or "unknown process"
    except (MissingFileError, SchemaVersionError):
        return "it has just begun"
    except BatchgenError:
        # The lock is held all the same; the runner itself reports an unreadable state.
        return "unknown process"


def this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
