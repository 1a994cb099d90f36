"""metadata.jsonl: one line a file, in the layout that dataset loaders read (imagefolder).

It grows as results come. It can always be made anew from the state, so it needs no fsync.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_errors
from batchgen.downloads.files import open_new, open_to_read
from batchgen.engine.events import FileSaved
from batchgen.runs.lines import LineFile
from batchgen.state.files import METADATA_IS_STALE
from batchgen.state.queries import get_meta, saved_files

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from batchgen.engine.events import Event
    from batchgen.state.records import SavedFile

CHUNK = 1024 * 1024


def metadata_line(file: SavedFile) -> str:
    """The line of one file. `file_name` is relative to metadata.jsonl, as loaders expect."""
    sent = json.loads(file.body)
    fields = {
        "file_name": file.path,
        "id": file.job_id,
        "model": file.model,
        "prompt": sent.get("prompt"),
        "input": sent,
        "seed": sent.get("seed"),
        "sha256": file.sha256,
        "width": file.width,
        "height": file.height,
        "request_id": file.request_id,
        "cost": file.cost,
    }
    return json.dumps(fields, ensure_ascii=False)


class MetadataFile(LineFile):
    """Appends a line for each file it hears of; `catch_up` makes it agree with the state first."""

    def __init__(self, path: Path) -> None:
        # It has every prompt in it: for its owner alone, until that one says otherwise.
        super().__init__(path, mode=0o600)

    def hear(self, event: Event) -> None:
        if isinstance(event, FileSaved):
            self.append(metadata_line(event.file))


def catch_up(path: Path, db: sqlite3.Connection) -> None:
    """Write the file anew where a crash left it with fewer or broken lines, or jobs were renamed.

    Flat in memory.

    Raises OutputError, StorageError.
    """
    (expected,) = db.execute("SELECT count(*) FROM file WHERE verified_at IS NOT NULL").fetchone()
    with disk_errors(path):
        if _whole_lines(path) == expected and get_meta(db, METADATA_IS_STALE) is None:
            return
        temporary = path.with_suffix(".jsonl.part")
        with open_new(temporary) as file:
            file.writelines(f"{metadata_line(saved)}\n".encode() for saved in saved_files(db))
        os.replace(temporary, path)  # noqa: PTH105 - the same call as for every other publication
    db.execute("DELETE FROM meta WHERE key = ?", (METADATA_IS_STALE,))


def renew_if_stale(db: sqlite3.Connection, path: Path) -> None:
    """At the end of a run: costs may have come after the files that they are written beside."""
    if get_meta(db, METADATA_IS_STALE) is not None:
        catch_up(path, db)


def _whole_lines(path: Path) -> int | None:
    """How many lines the file has; None where it is missing or its last line is broken."""
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        return None
    lines, last = 0, b"\n"
    with file:
        while chunk := file.read(CHUNK):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines if last == b"\n" else None
