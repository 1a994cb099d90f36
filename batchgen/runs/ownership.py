"""Whose state file this is, checked before anything is done with it.

A state belongs to one manifest and to one provider: the vendor, or what replaces it on this
machine. A copy does not know what came after it was made, so a state stores the number of its own
file on the disk (inode): a rename keeps it, also of the whole folder; a copy and a restored backup
have another one.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from batchgen.errors import (
    CopiedStateError,
    OtherManifestError,
    OutputError,
    ProviderMismatchError,
)
from batchgen.fs import disk_errors
from batchgen.runcomfy.base import is_loopback
from batchgen.runs.options import PLAIN
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.state.recovery import has_attempts
from batchgen.storage.locations import BucketLocation, FolderLocation

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from batchgen.manifest.header import Manifest
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection
    from batchgen.storage.locations import Location


EMULATOR = "the emulator"


LOOPBACK = "a server on this machine"


def provider_name(base: str, *, emulator: bool) -> str:
    """Name the provider. A server on this machine may use another port next time."""
    if emulator:
        return EMULATOR
    return LOOPBACK if is_loopback(base) else base


def claim_for_provider(db: Connection, provider: str, folder: RunFolder) -> None:
    """Bind a state without attempts to its provider. Raises ProviderMismatchError for another one.

    A rehearsal continued with the real API would count its pictures as paid results; the reverse
    would lose paid requests.
    """
    known = get_meta(db, Meta.PROVIDER)
    if known is None or not has_attempts(db):
        set_meta(db, Meta.PROVIDER, provider)
    elif known != provider:
        raise ProviderMismatchError(
            f"this run was started with {known}, and would now go to {provider}",
            where=str(folder.root),
            next_step=f"{_way_back(known, provider)}; to start over instead, move the folder away"
            f" or set another output.dir{_anew(known, provider)}",
        )


def recorded_provider(db: Connection) -> str:
    return get_meta(db, Meta.PROVIDER) or ""


def is_rehearsal(db: Connection) -> bool:
    """Whether the next command needs --emulator."""
    return get_meta(db, Meta.PROVIDER) == EMULATOR


def _way_back(known: str, provider: str) -> str:
    if known == EMULATOR:
        return "add --emulator to continue the rehearsal"
    if provider == EMULATOR:
        return "leave out --emulator to continue"
    return "set RUNCOMFY_MODEL_API_BASE back"


def _anew(known: str, provider: str) -> str:
    """After a paid run, a folder that was moved away counts as missing."""
    return "" if EMULATOR in {known, provider} else ", and add --start-over"


def claim_for_manifest(db: Connection, manifest: Manifest, options: RunOptions) -> None:
    """Bind the state to this manifest. Raises OtherManifestError if it is another's."""
    if not options.take_over:
        refuse_other_manifest(db, manifest, options)
    # A manifest from a pipe has no path.
    set_meta(db, Meta.MANIFEST, _place_of(manifest.path) if manifest.path.is_file() else "")


def refuse_other_manifest(db: Connection, manifest: Manifest, options: RunOptions = PLAIN) -> None:
    """Raise OtherManifestError if the state was last run from another manifest.

    If that file no longer exists, it was renamed or moved, and this one is taken for it. `options`
    are what was asked of a run, for the command to suggest.
    """
    known, here = get_meta(db, Meta.MANIFEST), manifest.path
    is_gone = not known or not os.path.exists(known)  # noqa: PTH110 - bytes of any kind
    if is_gone or known == _place_of(here):
        return
    take_over = options.command(here, "--take-over", emulator=is_rehearsal(db))
    raise OtherManifestError(
        f"{manifest.output.dir} was last run from {known} (name {get_meta(db, Meta.NAME)}):"
        f" it holds the jobs of that one, not of {here}; nothing was sent",
        where=str(here),
        next_step="give each manifest an output.dir of its own; or run this one there, and leave"
        f" the other's jobs as they are: {take_over}",
    )


def _place_of(path: Path) -> str:
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


def claim_results(db: Connection, results: Location, folder: RunFolder) -> None:
    """Bind a state without attempts to where its results go. Raises OutputError for another place.

    Files do not move by themselves: a state whose results are in two places could verify neither.
    """
    refuse_other_results(db, results, folder)
    if not has_attempts(db) or get_meta(db, Meta.RESULTS) is None:
        set_meta(db, Meta.RESULTS, _bucket_of(results))


def _bucket_of(results: Location) -> str:
    return "" if isinstance(results, FolderLocation) else results.url


def refuse_other_results(db: Connection, results: Location, folder: RunFolder) -> None:
    """Raise OutputError if results of this state are in another place. Changes nothing."""
    known, bucket = get_meta(db, Meta.RESULTS), _bucket_of(results)
    if known not in {None, bucket} and has_attempts(db):
        raise OutputError(
            f"the results of this run are in {known or 'its folder'}, and output.dir is now"
            f" {bucket or 'a folder'}",
            where=str(folder.root),
            next_step="set output.dir back; or give the jobs to come another manifest, or another"
            " output.state",
        )


def results_of(db: Connection, folder: RunFolder) -> Location:
    """Where the files of the results are."""
    bucket = get_meta(db, Meta.RESULTS)
    return BucketLocation(bucket) if bucket else FolderLocation(folder.root)


def known_run_id(db: Connection) -> str | None:
    return get_meta(db, Meta.RUN_ID)


def run_id(db: Connection, dice: Random) -> str:
    """The permanent id that distinguishes this state from every other one."""
    known = get_meta(db, Meta.RUN_ID)
    if known is None:
        known = f"{dice.getrandbits(64):016x}"
        set_meta(db, Meta.RUN_ID, known)
    return known


def refuse_copy(
    db: Connection,
    folder: RunFolder,
    manifest: Path,
    options: RunOptions = PLAIN,
    verb: str = "",
) -> None:
    """Raise CopiedStateError if requests may have been made that this file does not know of.

    A state without attempts has nothing to lose; without a recorded inode, nothing is compared.
    `options` and `verb` are for the command to suggest.
    """
    known = get_meta(db, Meta.INODE)
    if known is None or known == _inode(folder) or not has_attempts(db):
        return
    accept = options.command(manifest, "--accept-copy", emulator=is_rehearsal(db), verb=verb)
    raise CopiedStateError(
        f"this state file is a copy or a restored backup of one on {get_meta(db, Meta.HOST)}:"
        " it does not know of requests made since with the original, so jobs could be paid for"
        " twice; nothing was sent",
        where=str(folder.state),
        next_step="continue with the original; or, if it is gone or was moved to another disk and"
        f" nothing has run since, say so once: {accept}",
    )


def claim_file(
    db: Connection, folder: RunFolder, manifest: Path, options: RunOptions, verb: str = ""
) -> None:
    """Bind the state to this file. Raises CopiedStateError for a copy that was not accepted."""
    if not options.accept_copy:
        refuse_copy(db, folder, manifest, options, verb)
    set_meta(db, Meta.INODE, _inode(folder))
    set_meta(db, Meta.HOST, socket.gethostname())


def _inode(folder: RunFolder) -> str:
    with disk_errors(folder.state):
        return str(folder.state.stat().st_ino)
