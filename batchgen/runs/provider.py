"""Whose a state is: it belongs to one manifest, and to the vendor or what stands for it here."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen.errors import OtherManifestError, ProviderMismatchError
from batchgen.runcomfy.base import is_loopback
from batchgen.state.database import open_for_reading, translated
from batchgen.state.queries import get_meta, set_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.manifest import Manifest
    from batchgen.runs.folder import RunFolder

EMULATOR = "the emulator"
LOOPBACK = "a server on this machine"
_KEY = "provider"
_MANIFEST = "manifest"
_NAME = "name"


def provider_name(base: str, *, emulator: bool) -> str:
    """Whose requests these are. A server on this machine may come back at another port."""
    if emulator:
        return EMULATOR
    return LOOPBACK if is_loopback(base) else base


def claim_state(db: sqlite3.Connection, provider: str, folder: RunFolder) -> None:
    """Bind a state without attempts to its provider. Raises ProviderMismatchError for another one.

    A rehearsal that went on with the real API would take its pictures for paid ones; the reverse
    would lose requests that are paid.
    """
    known = get_meta(db, _KEY)
    (attempts,) = db.execute("SELECT count(*) FROM (SELECT 1 FROM attempt LIMIT 1)").fetchone()
    if known is None or not attempts:
        set_meta(db, _KEY, provider)
    elif known != provider:
        raise ProviderMismatchError(
            f"this run was begun with {known}, and would now go to {provider}",
            where=str(folder.root),
            next_step=f"{_way_back(known, provider)}; to start anew instead, move the folder away"
            f" or set another output.dir{_anew(known, provider)}",
        )


def provider_of(db: sqlite3.Connection) -> str:
    return get_meta(db, _KEY) or ""


def is_rehearsal(db: sqlite3.Connection) -> bool:
    """Whether the next command needs --emulator."""
    return get_meta(db, _KEY) == EMULATOR


def _way_back(known: str, provider: str) -> str:
    if known == EMULATOR:
        return "give --emulator to continue the rehearsal"
    if provider == EMULATOR:
        return "leave --emulator out to continue"
    return "set RUNCOMFY_MODEL_API_BASE back"


def _anew(known: str, provider: str) -> str:
    """Without a rehearsal, a folder that was moved away is one that is missing."""
    return "" if EMULATOR in {known, provider} else ", and say --start-over"


def claim_for_manifest(db: sqlite3.Connection, manifest: Manifest, *, take_over: bool) -> None:
    """Make the state this manifest's. Raises OtherManifestError unless it is, or is taken over."""
    if not take_over:
        refuse_other_manifest(db, manifest)
    # What comes from a pipe has no place of its own.
    set_meta(db, _MANIFEST, _place_of(manifest.path) if manifest.path.is_file() else "")


def refuse_other_manifest(db: sqlite3.Connection, manifest: Manifest) -> None:
    """Raise OtherManifestError where the state was last brought up to another manifest's jobs.

    One that is no longer there was renamed or moved: then this is it.
    """
    known, here = get_meta(db, _MANIFEST), manifest.path
    if not known or known == _place_of(here) or not os.path.exists(known):  # noqa: PTH110 - bytes of any kind
        return
    raise OtherManifestError(
        f"{manifest.output.dir} was last run from {known} (name {get_meta(db, _NAME)}): its jobs"
        f" stand there, not those of {here}; nothing was sent",
        where=str(here),
        next_step="give each manifest an output.dir of its own; or go on with this one there, and"
        f" leave the other's jobs as they are: batchgen run {here} --take-over",
    )


def _place_of(path: Path) -> str:
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


@contextmanager
def state_of(manifest: Manifest, state: Path) -> Iterator[sqlite3.Connection]:
    """The state of just this manifest, to read.

    Raises as `open_for_reading` does, and OtherManifestError.
    """
    db = open_for_reading(state)
    try:
        with translated(state):
            refuse_other_manifest(db, manifest)
            yield db
    finally:
        db.close()
