"""An export in a bucket: units are made on the local disk, and stored whole under their names.

Its journal stays in the run's folder, because a bucket has no locks. When an export is complete,
the list of its units is stored beside them, so that one whose journal is lost sends only what
changed.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import time
from contextlib import suppress
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from batchgen.concurrency import map_in_threads
from batchgen.errors import BucketError, UsageError
from batchgen.export.folder import WORK
from batchgen.fs import disk_errors, open_to_read
from batchgen.storage.results import open_bucket
from batchgen.storage.stamps import FILES, ObjectFacts

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.export.folder import Journal
    from batchgen.storage.locations import BucketLocation, Location

MARKER = f"{WORK}/export.json"
UNITS = f"{WORK}/units.jsonl"
UPLOADS_AT_ONCE = 8
"""Each has up to 32 MiB in memory."""


class BucketDestination:
    """Raises BucketError, BucketUnavailableError, and the disk's errors."""

    def __init__(self, location: BucketLocation, run_folder: Path) -> None:
        self.location = location
        self._bucket = open_bucket(location)
        self.at_once = self._bucket.at_once
        name = hashlib.sha256(location.url.encode()).hexdigest()[:16]
        self._work = run_folder / "exports" / name
        self._sent: set[Path] = set()
        self._uploads = BoundedSemaphore(UPLOADS_AT_ONCE)
        self._journal: Journal | None = None
        self._began = 0.0

    @property
    def journal(self) -> Path:
        return self._work / "journal.db"

    def claim(self, results: Location, origin: str) -> None:
        """Mark the place as an export of this run. Raises UsageError for any other."""
        if f"{self.location}/".startswith(f"{results}/{FILES}/"):
            raise self._refused("that is where the run keeps its files")
        marker = json.dumps({"origin": origin})
        known = self._content(MARKER)
        if known is None:
            if next(self._bucket.sizes(), None) is not None:
                raise self._refused("there are objects that batchgen did not export")
            if not self._bucket.put_text(MARKER, marker, only_new=True):
                known = self._content(MARKER)
        if known not in {None, marker.encode()}:
            raise self._refused("it holds an export of another run")
        with disk_errors(self._work):
            self._work.mkdir(parents=True, exist_ok=True)

    def begin(self, journal: Journal) -> None:
        with disk_errors(self._work):
            for left in self._work.glob("*.part"):
                left.unlink()
        self._began = time.time()
        self._journal = journal
        journal.note_present(self._bucket.sizes())
        if not journal.has_units():
            lines = (self._content(UNITS) or b"").splitlines()
            journal.adopt((path, key, size) for path, key, size in map(json.loads, lines))

    def part(self, name: str) -> Path:
        return self._work / f"{name}.part"

    def holds(self, path: str, size: int) -> bool:
        return self._journal is not None and self._journal.is_present(path, size)

    def send(self, part: Path, path: str) -> None:
        with disk_errors(part), open_to_read(part) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = part.stat().st_size
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        with self._uploads:
            self._bucket.replace(part, path, ObjectFacts(size, digest, kind, ""))
        self._sent.add(part)

    def publish(self, part: Path, path: str) -> int:
        if part not in self._sent:
            # In a thread, for which Ctrl-C does not wait.
            list(map_in_threads(lambda one: self.send(one, path), [part], 1, "export"))
        self._sent.discard(part)
        with disk_errors(part):
            size = part.stat().st_size
            part.unlink()
        return size

    def digest(self, path: str) -> str | None:
        content = self._content(path)
        return None if content is None else hashlib.sha256(content).hexdigest()

    def remove(self, path: str) -> None:
        self._bucket.remove(path)

    def sync(self) -> None:
        """Nothing: an object is durable once the bucket has acknowledged it."""

    def finish(self, journal: Journal) -> None:
        part = self.part("units")
        digest = hashlib.sha256()
        with disk_errors(part), part.open("wb") as file:
            for unit in journal.units():
                line = f"{json.dumps(unit)}\n".encode()
                digest.update(line)
                file.write(line)
        if journal.get_meta(UNITS) == digest.hexdigest():
            with disk_errors(part):
                part.unlink()
            return
        with suppress(BucketError):
            # Not everyone may list them, and nothing depends on it.
            self._bucket.remove_half_uploads(self._began, "")
        self.publish(part, UNITS)
        journal.set_meta(UNITS, digest.hexdigest())
        journal.commit()

    def _content(self, path: str) -> bytes | None:
        try:
            with self._bucket.open(path) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _refused(self, why: str) -> UsageError:
        return UsageError(
            why, where=str(self.location), next_step="name a prefix that has no objects yet"
        )
