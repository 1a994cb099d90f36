"""What the jobs of a state were made from: files, schemas, environment, batchgen itself.

A run that finds the same fingerprint takes its jobs from the state, so a million jobs need not be
read and checked again to continue with the last hundred.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from batchgen.errors import InputError, MissingFileError, StorageError
from batchgen.input_files import HOST
from batchgen.jobs import canonical_json
from batchgen.manifest import rows
from batchgen.manifest.parsing.source import stamp_at
from batchgen.manifest.scope import matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from batchgen.jobs import Job, JsonValue
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.parsing.source import Stamp
    from batchgen.models.catalog import Catalog


@dataclass(slots=True)
class Fingerprint:
    """`taken` is true only while the files still have these `stamps`.

    Empty, it matches nothing. Nor does it if an input uses one of the user's own files, which may
    change while the manifest stays as it is.

    A manifest is read several times: for its header, its fingerprint and its jobs. If it is
    replaced in between, jobs of the old one must not be stored under the fingerprint of the new
    one: no later run would ever check them again.
    """

    taken: str
    stamps: Mapping[Path, Stamp | None]
    _has_own_files: bool = False

    def of(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Pass on the jobs as they are read, and note whether they use own files."""
        for job in jobs:
            if HOST in job.body:
                self._has_own_files = True
            yield job

    def text(self) -> str:
        """Give the text for the state, as JSON; it is empty if a file has changed.

        Call it after the jobs were read.
        """
        fresh = all(stamp_at(path) == stamp for path, stamp in self.stamps.items())
        return self.taken if fresh and not self._has_own_files else ""

    def is_of(self, known: str | None) -> bool:
        """Whether the state with the fingerprint `known` was made from these inputs."""
        return bool(known) and known == self.text()


def fingerprint_of(manifest: Manifest) -> Fingerprint:
    """Call it before the jobs are read. Raises InputError if a manifest is no regular file."""
    # Data files are stamped before they are hashed; manifests, when their headers were read.
    wildcards = () if manifest.prompts is None else manifest.prompts.files
    stamps = {path: stamp_at(path) for path in (*manifest.data_files, *wildcards)}
    stamps |= {part.path: part.stamp for part in manifest.parts}
    taken: dict[str, JsonValue] = {
        "batchgen": version("batchgen"),
        "schemas": schemas_sha256(manifest.catalog),
        "rehearsal": manifest.rehearsal,
        "manifests": {_text(part.path): rows.fingerprint(part.path) for part in manifest.parts},
        "data": {_text(path): _fingerprint(path) for path in manifest.data_files},
        "wildcards": {_text(path): _fingerprint(path) for path in wildcards},
        "included": [
            [_text(folder), pattern, [_text(path) for path in matching(pattern, folder)]]
            for folder, pattern in manifest.patterns
        ],
        "env": {name: _sha256(os.fsencode(value)) for name, value in manifest.env.items()},
    }
    # Rows of files come and go while the manifest stays as it is.
    return Fingerprint("" if manifest.has_rows_of_files else canonical_json(taken), stamps)


def _text(path: Path) -> str:
    """SQLite stores only UTF-8, and names may be something else."""
    return os.fsencode(path.absolute()).decode(errors="backslashreplace")


def _fingerprint(path: Path) -> str | None:
    """None if it cannot be read: reading the rows reports that, with its place."""
    try:
        return rows.fingerprint(path)
    except (InputError, MissingFileError, StorageError):
        return None


def schemas_sha256(catalog: Catalog) -> str:
    """Of every schema and entry, as they were read: jobs are checked against these very values."""
    models: list[JsonValue] = [
        [one.id, dict(one.schema), dict(one.about)] for one in catalog.models.values()
    ]
    return _sha256(canonical_json(models).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
