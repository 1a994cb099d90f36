"""An export in a bucket: units are made on the local disk, and stored whole under their names.

Its journal stays in the run's folder, because a bucket has no locks. When an export is complete,
the list of its units is stored beside them, so that one whose journal is lost sends only what
changed.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from batchgen.errors import BucketError, UsageError
from batchgen.export.folder import WORK, remove_parts
from batchgen.export.making import PART, Maker
from batchgen.fs import disk_errors
from batchgen.storage.results import open_bucket
from batchgen.storage.stamps import FILES

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.export.folder import Journal
    from batchgen.export.making import Made
    from batchgen.storage.locations import BucketLocation, Location

MARKER = f"{WORK}/export.json"
UNITS = f"{WORK}/units.jsonl"


class BucketDestination:
    """Raises BucketError, BucketUnavailableError, and the disk's errors."""

    def __init__(self, location: BucketLocation, run_folder: Path) -> None:
        self.location = self.bucket = location
        self._bucket = open_bucket(location)
        name = hashlib.sha256(location.url.encode()).hexdigest()[:16]
        self.parts = self._work = run_folder.absolute() / "exports" / name
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
        remove_parts(self.parts)
        self._began = time.time()
        self._journal = journal
        journal.note_present(self._bucket.sizes())
        if not journal.has_units():
            lines = (self._content(UNITS) or b"").splitlines()
            journal.adopt((path, key, size) for path, key, size in map(json.loads, lines))

    def holds(self, path: str, size: int) -> bool:
        return self._journal is not None and self._journal.is_present(path, size)

    def publish(self, made: Made, path: str) -> None:
        """Nothing: what is made is in the bucket already, under its name."""

    def digest(self, path: str) -> str | None:
        content = self._content(path)
        return None if content is None else hashlib.sha256(content).hexdigest()

    def remove(self, path: str) -> None:
        self._bucket.remove(path)

    def sync(self) -> None:
        """Nothing: an object is durable once the bucket has acknowledged it."""

    def finish(self, journal: Journal) -> None:
        part = self.parts / f"units{PART}"
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
        Maker(self.location, "", self.parts, self.location).make(UNITS, part.replace)
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
