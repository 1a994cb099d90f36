"""Where everything of a run lies, below `output.dir`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_error
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

    def create(self) -> None:
        """Make the folders. Raises OutputError or DiskFullError, before anything is sent.

        Writing is tried, not asked about: a mounted read-only disk looks writable to its owner.
        """
        probe = self.files / f".writable-{os.getpid()}"
        try:
            self.files.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
            # The runner's own, so that it can read what another user decides.
            os.close(open_private(self.decisions, os.O_WRONLY))
        except OSError as exc:
            error = disk_error(exc, self.root)
            if isinstance(error, DiskFullError):
                raise error from exc
            raise OutputError(
                f"the output folder cannot be written: {exc.strerror}",
                where=str(self.root),
                next_step="check the folder and its permissions, or set output.dir",
            ) from exc


def open_private(path: Path, flags: int) -> int:
    """Open a file that names prompts and requests: only its owner may read it."""
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
