"""Repair: what is gone from the disk, or damaged there, is fetched again; nothing is paid."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_errors
from batchgen.errors import ExitCode, MissingFileError
from batchgen.jobs import JobState
from batchgen.runcomfy.base import api_base
from batchgen.runcomfy.token import find_token
from batchgen.runs.at_work import Ended
from batchgen.runs.bringing_home import bring_home
from batchgen.runs.deciding import runner_lock
from batchgen.runs.folder import RunFolder
from batchgen.runs.lock import myself
from batchgen.runs.metadata import catch_up
from batchgen.runs.original import claim_file
from batchgen.runs.prepare import read_header
from batchgen.runs.provider import claim_state, provider_name, refuse_other_manifest
from batchgen.runs.verifying import Damage, check_files
from batchgen.runs.workplace import Workplace
from batchgen.state.database import open_for_reading, open_for_writing, translated
from batchgen.state.files import fetch_again, known_file
from batchgen.state.queries import not_home, select_jobs, set_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batchgen.engine.events import Listener
    from batchgen.runs.options import RunOptions
    from batchgen.runs.verifying import Checked
    from batchgen.runs.workplace import World
    from batchgen.state.records import KnownFile


@dataclass(frozen=True, slots=True)
class Mended:
    """A file that is back. `differs`: the vendor now serves another content than it did."""

    before: KnownFile
    after: KnownFile

    @property
    def differs(self) -> bool:
        return self.before.sha256 != self.after.sha256


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of everything that was wrong.

    `not_home`: `(job id, why)` of results that could not be fetched; their jobs stay fetching.
    `out_of_reach`: damaged files of earlier attempts, which no request of today stands for.
    `aside`: names, below the run's folder, that damaged files have now.
    """

    mended: tuple[Mended, ...] = ()
    not_home: tuple[tuple[str, str], ...] = ()
    out_of_reach: tuple[Checked, ...] = ()
    aside: tuple[str, ...] = ()
    fetched_jobs: int = 0
    ended: Ended = field(default_factory=Ended)

    @property
    def exit_code(self) -> int:
        if self.ended.stopped_by is not None:
            return 128 + self.ended.stopped_by
        if self.ended.pause is not None:
            return ExitCode.IO_ERROR
        return ExitCode.SOME_FAILED if self.not_home or self.out_of_reach else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of each file looked at, and of what happens then."""

    checked: Callable[[Checked], None]
    event: Listener


def repair(path: Path, options: RunOptions, world: World, listeners: Listeners) -> Repair:
    """Verify the selected jobs' files and fetch again what is wrong. Raises the tree's errors."""
    manifest = read_header(path)
    base = "" if options.emulator else api_base(world.env)
    folder = RunFolder(manifest.output.dir)
    place = Workplace(manifest, folder, options, world, base)
    # Says what to do where nothing was ever run; opening for writing would make an empty state.
    open_for_reading(folder.state).close()
    with ExitStack() as held:
        held.enter_context(runner_lock(folder))
        db = held.enter_context(closing(open_for_writing(folder.state)))
        held.enter_context(translated(folder.state))
        set_meta(db, "runner", myself())
        claim_file(db, folder, accept_copy=options.accept_copy)
        claim_state(db, provider_name(base, emulator=options.emulator), folder)
        refuse_other_manifest(db, manifest)
        _refuse_without_files(folder)
        return _repair(place, db, listeners)


def _refuse_without_files(folder: RunFolder) -> None:
    """A folder that is away as a whole is a disk that is not mounted, or moved: not lost files.

    To fetch them again would forget those that come back with it.
    """
    if not folder.files.is_dir():
        raise MissingFileError(
            "the folder of the results is not there",
            where=str(folder.files),
            next_step="mount it or put it back; if it is really gone, make an empty one"
            " (mkdir) and repair again",
        )


def _repair(place: Workplace, db: sqlite3.Connection, listeners: Listeners) -> Repair:
    selection = place.options.selection
    wrong = _wrong_files(place, db, listeners)
    again = [one for one in wrong if one.file.is_latest]
    if again and not place.options.emulator:
        # Before anything is moved: without a token nothing could be fetched in its place.
        find_token(place.world.env, place.world.home)
    aside = _set_again(place.folder, db, again)
    catch_up(place.folder.metadata, db)
    jobs = [seq for seq, _, _ in select_jobs(db, selection, (JobState.FETCHING,))]
    ended = asyncio.run(bring_home(place, db, jobs, listeners.event)) if jobs else Ended()
    return Repair(
        mended=_mended(db, again),
        not_home=tuple(not_home(db, selection)),
        out_of_reach=tuple(one for one in wrong if not one.file.is_latest),
        aside=aside,
        fetched_jobs=len(jobs),
        ended=ended,
    )


def _wrong_files(place: Workplace, db: sqlite3.Connection, listeners: Listeners) -> list[Checked]:
    wrong = []
    for checked in check_files(db, place.folder, place.options.selection):
        listeners.checked(checked)
        if checked.damage:
            wrong.append(checked)
    return wrong


def _set_again(
    folder: RunFolder, db: sqlite3.Connection, again: Sequence[Checked]
) -> tuple[str, ...]:
    """Move what stands in the way aside, then tell the state: in one transaction.

    In this order: after a crash in between, the file is missing, and the next repair sees that.
    """
    aside = [
        name
        for one in again
        if one.damage not in {Damage.MISSING, Damage.FOLDER_LINK}
        and (name := move_aside(folder.root, one.file.path))
    ]
    db.execute("BEGIN IMMEDIATE")
    for one in again:
        fetch_again(db, one.file)
    db.execute("COMMIT")
    return tuple(aside)


def move_aside(root: Path, name: str) -> str | None:
    """Rename to the first free NAME.damaged-N; None where nothing stands there any more.

    Raises OutputError or StorageError. Nothing is overwritten: the lock is held.
    """
    number = 1
    with disk_errors(root / name):
        while os.path.lexists(root / f"{name}.damaged-{number}"):
            number += 1
        try:
            (root / name).rename(root / f"{name}.damaged-{number}")
        except FileNotFoundError:
            return None
    return f"{name}.damaged-{number}"


def _mended(db: sqlite3.Connection, again: Sequence[Checked]) -> tuple[Mended, ...]:
    return tuple(Mended(one.file, after) for one in again if (after := known_file(db, one.file.id)))
