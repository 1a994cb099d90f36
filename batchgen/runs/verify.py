"""The state's verified files against the folder or bucket. Reads only; needs no lock.

Files below `files/` that the state does not know are listed, never touched.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from batchgen.concurrency import map_in_threads
from batchgen.errors import UsageError
from batchgen.fs import name_key
from batchgen.state.files import claimed_path, result_numbered, results_after
from batchgen.state.queries import select_any
from batchgen.storage.locations import BucketLocation
from batchgen.storage.results import open_results
from batchgen.storage.stamps import FILES, PARTS, SEEN, Obstacle, ObstacleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.processes import MapFiles
    from batchgen.state.database import Connection
    from batchgen.state.queries import Selection
    from batchgen.state.records import Result
    from batchgen.storage.locations import Location
    from batchgen.storage.results import Results
    from batchgen.storage.stamps import Stamp


PAGE = 256
LISTED_AT_ONCE = 100_000
"""Results whose sizes are looked for in one listing of a bucket."""


class Damage(StrEnum):
    """What can be wrong with a file, as shown to people."""

    MISSING = "missing"
    SIZE = "another size"
    CONTENT = "another content"
    LINK = Obstacle.LINK
    FOLDER_LINK = Obstacle.FOLDER_LINK
    NOT_A_FILE = Obstacle.NOT_A_FILE
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was checked; `damage` is None if it is sound."""

    file: Result
    damage: Damage | None = None


def check_files(
    db: Connection,
    results: Results,
    selection: Selection,
    *,
    quick: bool = False,
    workers: MapFiles | None = None,
) -> Iterator[Checked]:
    """Check every verified file, in the order of arrival; `quick` compares sizes only.

    Raises UsageError for a selection that names no job at all; MissingFileError, BucketError and
    BucketUnavailableError if all of them would be missing, because what they are in is.
    """
    if not select_any(db, selection):
        raise UsageError(
            f"no job is called {', '.join(selection.jobs)}", next_step="batchgen status lists them"
        )
    results.require()
    look = partial(_look, results.location.absolute(), quick=quick)
    if quick and isinstance(results.location, BucketLocation):
        found = _listed(db, results, selection)
    elif workers is None:
        found = map_in_threads(look, _pages(db, selection), results.at_once, "verify")
    else:
        found = workers(look, _pages(db, selection), look)
    for checked in found:
        if checked.damage is None:
            yield checked
        else:
            (second,) = map_in_threads(look, [checked.file], 1, "verify again")
            yield confirmed(db, checked, second)


def _listed(db: Connection, results: Results, selection: Selection) -> Iterator[Checked]:
    """Compare with what the bucket lists, a thousand objects a request."""
    files = _pages(db, selection)
    while block := list(islice(files, LISTED_AT_ONCE)):
        stamps = results.stamps([file.path for file in block])
        for file, stamp in zip(block, stamps, strict=True):
            yield Checked(file, _size_damage(stamp, file))


def _pages(db: Connection, selection: Selection) -> Iterator[Result]:
    """Page by page: no snapshot is held while the files are read."""
    after = 0
    while page := results_after(db, selection, after, PAGE):
        after = page[-1].id
        yield from page


def confirmed(db: Connection, first: Checked, second: Checked) -> Checked:
    """Check again, and compare with the state: a repair may just have replaced this file."""
    is_same = result_numbered(db, first.file.id) == first.file
    return second if is_same else Checked(first.file)


def _look(location: Location, file: Result, *, quick: bool) -> Checked:
    """Runs in a worker, too."""
    return Checked(file, damage_of(open_results(location), file, quick=quick))


def damage_of(results: Results, file: Result, *, quick: bool = False) -> Damage | None:
    """What is wrong with a file; None if it is sound. Blocks. Follows no link.

    Raises BucketError and BucketUnavailableError, which say nothing about the file.
    """
    try:
        if quick:
            return _size_damage(results.stamp(file.path), file)
        return _content_damage(results, file)
    except (FileNotFoundError, NotADirectoryError):
        return Damage.MISSING
    except ObstacleError as exc:
        return Damage(exc.obstacle)
    except OSError:
        return Damage.UNREADABLE


def _size_damage(stamp: Stamp | None, file: Result) -> Damage | None:
    if stamp is None:
        return Damage.MISSING
    return None if stamp.bytes == file.bytes else Damage.SIZE


def _content_damage(results: Results, file: Result) -> Damage | None:
    with results.stream(file.path) as reading:
        if reading.stamp.bytes != file.bytes:
            return Damage.SIZE
        digest = hashlib.sha256()
        for block in reading.blocks:
            digest.update(block)
    return None if digest.hexdigest() == file.sha256 else Damage.CONTENT


_PARTS = (".part.json", ".part.new", ".part")


def orphaned_files(db: Connection, results: Results) -> Iterator[str]:
    """Paths, as in the state, of foreign files and of unneeded `.part` files."""
    for path in results.names():
        name = path.removeprefix(f"{FILES}/")
        is_work = name == ".writable" or path.startswith((f"{PARTS}/", f"{FILES}/{SEEN}"))
        if not (is_work or _is_ours(db, name)):
            yield path


def _is_ours(db: Connection, name: str) -> bool:
    """Known or expected: a file may have been renamed but not yet recorded."""
    for ending in _PARTS:
        if name.endswith(ending):
            return claimed_path(db, name_key(name.removesuffix(ending))) == (None,)
    claimed = claimed_path(db, name_key(str(PurePosixPath(name).with_suffix(""))))
    if claimed is None:
        return False
    (path,) = claimed
    # By key: a disk may return a name in another Unicode form than it was given.
    return path is None or name_key(path) == name_key(f"{FILES}/{name}")
