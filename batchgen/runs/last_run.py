"""The folder that a manifest was last run in, kept in the user's state folder.

An output folder may vanish as a whole, if a disk is not mounted or the folder was moved. This
record outlives it. Rehearsals are not recorded, and it is no error if the user's folder cannot be
read or written.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from batchgen.errors import BatchgenError, LostStateError
from batchgen.fs import open_to_read, publishing
from batchgen.runs.append_log import json_line
from batchgen.runs.folder import make_durable
from batchgen.runs.ownership import known_run_id
from batchgen.state.costs import attempts_made

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.runs.folder import RunFolder
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection


MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class LastRun:
    """`attempts` is how many submits the state knew when this was written; `paid` of them may cost.

    `is_over` is false from the start of a run until its end: until then there may be more submits.
    """

    manifest: str
    folder: str
    run_id: str
    at: float
    attempts: int
    paid: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class LastRunFile:
    """One small file per manifest below `home`, the user's state folder, if there is one."""

    home: Path | None
    manifest: Path

    @property
    def _file(self) -> Path | None:
        # A manifest from a pipe has no path.
        if self.home is None or not self.manifest.is_file():
            return None
        name = hashlib.sha256(os.fsencode(self.manifest.resolve())).hexdigest()[:32]
        return self.home / "runs" / f"{name}.json"

    def last(self) -> LastRun | None:
        if (path := self._file) is None:
            return None
        with suppress(OSError, BatchgenError), open_to_read(path) as file:
            row = json_line(file.read(MOST_BYTES)) or {}
            kinds = LastRun.__annotations__
            if set(row) == set(kinds) and all(
                type(row[name]).__name__ == kinds[name] for name in kinds
            ):
                return LastRun(**row)  # type: ignore[arg-type]
        return None

    def write(self, db: Connection, folder: RunFolder, at: float, *, is_over: bool) -> None:
        if (path := self._file) is None:
            return
        # Paths of any encoding, as text for JSON.
        manifest, root = (_text(one) for one in (self.manifest.resolve(), folder.root.absolute()))
        last = LastRun(
            manifest, root, known_run_id(db) or "", float(at), *attempts_made(db), is_over
        )
        with suppress(OSError):
            _publish(path, json.dumps(asdict(last)).encode() + b"\n")


def _text(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")


def _publish(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with publishing(path, durable=True) as file:
        file.write(data)
    make_durable(path.parent)


def is_lost(last: LastRun | None, db: Connection | None) -> bool:
    """Whether requests may have been paid for that today's state, `db`, does not know."""
    if last is None or (last.is_over and not last.paid):
        return False
    if db is None:
        return True
    attempts, _ = attempts_made(db)
    if is_of(last, db):
        # Attempts are never deleted, so a state with fewer is an older one.
        return attempts < last.attempts
    # Another state with attempts belongs to a run that is continued, not to a new one.
    return attempts == 0


def is_of(last: LastRun, db: Connection) -> bool:
    """Whether the state belongs to that run; it may be an older copy."""
    return known_run_id(db) == last.run_id


def refuse_lost(
    last: LastRun, folder: RunFolder, manifest: Path, options: RunOptions, *, older: bool
) -> NoReturn:
    """`older`: the folder has a state of that run, from before its last submits."""
    count = "1 request was paid for" if last.paid == 1 else f"{last.paid} requests were paid for"
    if not last.is_over:
        known = f"{count}, and perhaps more" if last.paid else "requests may have been paid for"
        count = f"it did not end cleanly, and {known}"
    when = datetime.fromtimestamp(last.at).astimezone().isoformat(" ", "minutes")
    here = _text(folder.root.absolute()) == last.folder
    gone = "its state is gone from there" if here else f"output.dir is now {folder.root}"
    gone = f"{gone}, so every job would be paid for again"
    ways = (
        "mount the disk, put the folder back, or name it as output.dir; or, to pay for all jobs"
        f" again: {options.command(manifest, '--start-over')}"
    )
    if older:
        gone = "the state here is an older one, so what it does not know of would be paid for again"
        ways = (
            "put the latest state back; or, to continue with this one and pay again for what it"
            f" does not know of: {options.command(manifest, '--accept-copy')}"
        )
    raise LostStateError(
        f"this manifest was last run at {when} in {last.folder}, where {count}; {gone};"
        " nothing was sent",
        where=str(folder.root),
        next_step=ways,
    )
