"""What the jobs of a state were made from: files, schemas, environment, batchgen itself.

A run that meets the same fingerprint takes its jobs from the state as they are: so a million jobs
need not be read and checked again to go on with the last hundred.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from batchgen.errors import MissingFileError, StorageError
from batchgen.jobs import canonical_json
from batchgen.manifest import rows
from batchgen.manifest.includes import matching
from batchgen.models.catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.manifest import Manifest


def fingerprint_of(manifest: Manifest) -> str:
    """Give the JSON text that the state keeps.

    Ask before the jobs are read: a file that changes meanwhile must not look unchanged to the next
    run.
    """
    return canonical_json(
        {
            "batchgen": version("batchgen"),
            "schemas": schemas_sha256(),
            "rehearsal": manifest.rehearsal,
            "manifests": _files(part.path for part in manifest.parts),
            "data": _files(manifest.data_files),
            "included": [
                [str(folder.absolute()), pattern, [str(path) for path in matching(pattern, folder)]]
                for folder, pattern in manifest.patterns
            ],
            "env": {name: _sha256(value.encode()) for name, value in manifest.env.items()},
        }
    )


def _files(paths: Iterable[Path]) -> dict[str, JsonValue]:
    return {str(path.absolute()): _fingerprint(path) for path in paths}


def _fingerprint(path: Path) -> str | None:
    """None where it cannot be read: who reads the rows tells that, with its place."""
    try:
        return rows.fingerprint(path)
    except (MissingFileError, StorageError):
        return None


@cache
def schemas_sha256() -> str:
    return _sha256(canonical_json([dict(model.schema) for model in catalog().values()]).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
