"""Where everything of a run lies, below `output.dir`."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_error, link_in_the_way, unwritable_name
from batchgen.downloads.files import NO_LINK
from batchgen.downloads.part import sync_folder
from batchgen.errors import DiskFullError, OutputError

if TYPE_CHECKING:
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

        Writing is tried, not asked about: a mounted read-only disk looks writable to its owner.
        """
        # One name for ever: what a kill leaves of it, the next run removes.
        probe = self.files / ".writable"
        if self.files.is_symlink():
            # A stranger may have put it there. Who wants another disk makes a link of `root`.
            raise link_in_the_way(self.files)
        try:
            self.files.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink(missing_ok=True)
            # The runner's own, so that it can read what another user decides.
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
    """A loss of power must not take the folder away, and what is known of paid jobs with it.

    Also where the folders were there: the run that made them may have died before its fsync. Only
    a folder that we may write to can hold an entry that we made, and only one that we may read can
    be synced.
    """
    folder = root.absolute()
    while os.access(folder, os.R_OK | os.W_OK):
        sync_folder(folder, os.fsync)
        if folder == folder.parent:
            return
        folder = folder.parent


def open_private(path: Path, flags: int) -> int:
    """Open a file that names prompts and requests: only its owner may read it.

    A link is not followed: a stranger may have put it there, and what it leads to is not ours.
    """
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | NO_LINK, 0o600)
