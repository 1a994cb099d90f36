"""Opening the state file, its transactions, and what SQLite's errors mean to a run.

The only module that connects to SQLite; other rooms get a `Connection`, which they pass to this
room's functions.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from enum import Enum, auto
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, TypeAlias

from batchgen.errors import (
    BatchgenError,
    DamagedStateError,
    DiskFullError,
    MissingFileError,
    OutputError,
    SchemaVersionError,
    StorageError,
)
from batchgen.fs import is_out_of_descriptors, name_key, too_many_open
from batchgen.input_files import content_of
from batchgen.jobs import model_alias
from batchgen.state.causes import cause_key
from batchgen.state.file_names import unique_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


Connection: TypeAlias = sqlite3.Connection
"""What the functions of this room take; no other room knows what it is."""

DatabaseError: TypeAlias = sqlite3.Error
"""For callers that open a side file: `fault_of` says what it means."""

APPLICATION_ID = 0x62676E31
"""`bgn1`: shows `file` and us that a database is a state file of batchgen."""

BUSY_TIMEOUT_MS = 10_000
CHECKED_BYTES = 256 * 1024 * 1024


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the one writing connection; creates the file if there is none.

    The caller holds the run's lock. Raises OutputError, SchemaVersionError, DamagedStateError.
    """
    _create_private(path)
    with translated(path), ExitStack() as on_refusal:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        on_refusal.callback(connection.close)
        # Checked first: setting WAL would write to a file that is not ours.
        version = _version(connection, path)
        _check_soundness(connection, path)
        _configure(connection)
        if version == 0:
            _create_schema(connection)
            checkpoint(connection)
        on_refusal.pop_all()
    return connection


@contextmanager
def reading(path: Path, start: str = "batchgen run") -> Iterator[Connection]:
    """A read-only connection, closed at the end. Raises as `open_for_reading` and `translated`."""
    with closing(open_for_reading(path, start)) as connection, translated(path):
        yield connection


def open_for_reading(path: Path, start: str = "batchgen run") -> sqlite3.Connection:
    """A read-only connection: it sees a snapshot and never disturbs a running runner.

    Raises MissingFileError where nothing was run yet, which names the command `start`;
    SchemaVersionError, DamagedStateError.
    """
    if not path.exists():
        raise _nothing_yet(path, start)
    with translated(path), ExitStack() as on_refusal:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        on_refusal.callback(connection.close)
        add_functions(connection)
        version = _version(connection, path)
        if version == 0:
            raise _nothing_yet(path, start)
        on_refusal.pop_all()
    return connection


def _nothing_yet(path: Path, start: str) -> MissingFileError:
    return MissingFileError(
        "no state: nothing has been run in this folder yet, or its state is gone",
        where=str(path),
        next_step=f"{start} starts the run, or says what is missing",
    )


def open_side_file(
    path: Path | None, *, wait: float = 0.0, autocommit: bool = True, any_thread: bool = False
) -> Connection:
    """Open a database beside the state, whose loss costs work but no money; None: in memory.

    `wait`: seconds to wait for another process to release it. With `any_thread`, the caller sees to
    it that only one thread uses it at a time. Raises DatabaseError.
    """
    return sqlite3.connect(
        path or ":memory:",
        timeout=wait,
        isolation_level=None if autocommit else "DEFERRED",
        check_same_thread=not any_thread,
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Everything SQLite raises inside leaves as an error of our tree.

    What it read is taken on trust: where a bit has flipped, the text of a row, or of SQLite's own
    words, is no text any more, or none of ours.
    """
    try:
        yield
    except sqlite3.Error as exc:
        raise translate(exc, path) from exc
    except ValueError as exc:
        if not _is_of_damaged_data(exc):
            raise
        raise _damaged(str(exc), path) from exc


def _is_of_damaged_data(exc: ValueError) -> bool:
    """Whether it is about text that is not UTF-8 or JSON, an unknown state or a bad number."""
    kinds = (UnicodeDecodeError, json.JSONDecodeError)
    words = (" is not a valid ", "invalid literal for int()", "could not convert string to float")
    return isinstance(exc, kinds) or any(one in str(exc) for one in words)


class Fault(Enum):
    """What SQLite's result codes (sqlite.org/rescode.html) mean for us."""

    FULL = auto()
    DAMAGED = auto()
    NOT_WRITABLE = auto()
    LOCKED = auto()
    NO_LOCKS = auto()
    """The file system cannot lock or share files."""
    IO = auto()
    OTHER = auto()


_FAULTS = {
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
    sqlite3.SQLITE_CANTOPEN: Fault.NOT_WRITABLE,
    sqlite3.SQLITE_READONLY: Fault.NOT_WRITABLE,
    sqlite3.SQLITE_PERM: Fault.NOT_WRITABLE,
    sqlite3.SQLITE_BUSY: Fault.LOCKED,
    sqlite3.SQLITE_LOCKED: Fault.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Fault.LOCKED,
    sqlite3.SQLITE_IOERR: Fault.IO,
    sqlite3.SQLITE_IOERR_LOCK: Fault.NO_LOCKS,
    sqlite3.SQLITE_IOERR_RDLOCK: Fault.NO_LOCKS,
    sqlite3.SQLITE_IOERR_UNLOCK: Fault.NO_LOCKS,
    sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK: Fault.NO_LOCKS,
    sqlite3.SQLITE_IOERR_SHMOPEN: Fault.NO_LOCKS,
    sqlite3.SQLITE_IOERR_SHMSIZE: Fault.NO_LOCKS,
    sqlite3.SQLITE_IOERR_SHMLOCK: Fault.NO_LOCKS,
    sqlite3.SQLITE_IOERR_SHMMAP: Fault.NO_LOCKS,
}


def fault_of(exc: sqlite3.Error) -> Fault:
    if "Could not decode to UTF-8" in str(exc):
        return Fault.DAMAGED
    code = getattr(exc, "sqlite_errorcode", None) or 0
    return _FAULTS.get(code) or _FAULTS.get(code & 0xFF, Fault.OTHER)


def translate(exc: sqlite3.Error, path: Path) -> BatchgenError:
    """Return the error that an error of SQLite means for a run."""
    where = str(path)
    match fault_of(exc):
        case Fault.FULL:
            return DiskFullError(
                "the disk is full: the state could not be recorded",
                where=where,
                next_step="free some space, then run the same command again",
            )
        case Fault.DAMAGED:
            return _damaged(str(exc), path)
        case Fault.NOT_WRITABLE if is_out_of_descriptors():
            return too_many_open(where)
        case Fault.NOT_WRITABLE:
            return OutputError(
                f"the state file cannot be written ({exc})",
                where=where,
                next_step="check the folder and its permissions, or set output.dir",
            )
        case Fault.LOCKED:
            return StorageError(
                f"the state file is locked by another program, or cannot be locked here ({exc})",
                where=where,
                next_step=f"close the program that has it open; on a network disk, {_LOCAL_DISK}",
            )
        case Fault.NO_LOCKS:
            return OutputError(
                f"the state file cannot be locked or shared here ({exc})",
                where=where,
                next_step=_LOCAL_DISK,
            )
        case Fault.IO:
            return StorageError(
                f"I/O error on the state file ({exc})",
                where=where,
                next_step="check the disk before the next run",
            )
        case Fault.OTHER:
            return StorageError(f"the state file refused a change ({exc})", where=where)


_LOCAL_DISK = (
    "set output.dir to a folder on a local disk: SQLite's log does not work over a network"
)


def _damaged(detail: str, path: Path) -> DamagedStateError:
    return DamagedStateError(
        f"the state file is damaged ({detail})",
        where=str(path),
        next_step="restore it from a backup, or move it away to start over; either way, later"
        " paid requests are not known: look at run.log and at your account first",
    )


def _create_private(path: Path) -> None:
    """The state holds prompts and requests: only its owner may read it. SQLite keeps the mode.

    Only SQLite ever opens an existing file: closing it would drop every lock that this process
    holds on it (sqlite.org/howtocorrupt.html, 2.2), and another process would then delete the log
    that a connection of ours is using.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as exc:
        raise OutputError(
            f"the state file cannot be written: {exc.strerror}",
            where=str(path),
            next_step="check the folder and its permissions, or set output.dir",
        ) from exc


def _configure(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        # Without it, a reader would block the run, and the run its readers.
        error = sqlite3.OperationalError(f"no write-ahead log on this file system: {mode}")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMOPEN
        raise error
    # FULL: a commit returns only when it would survive a power loss.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # The schema's triggers walk a chain of jobs by themselves, and rely on this.
    connection.execute("PRAGMA recursive_triggers = OFF")
    add_functions(connection)


def add_functions(connection: sqlite3.Connection) -> None:
    """Add the Python functions that our SQL calls."""
    # Called for each job, with a handful of models.
    connection.create_function("model_alias", 1, lru_cache(64)(model_alias), deterministic=True)
    connection.create_function("unique_name", 2, unique_name, deterministic=True)
    connection.create_function("cause_key", 4, cause_key, deterministic=True)
    connection.create_function("name_key", 1, name_key, deterministic=True)
    connection.create_function("content_of", 1, content_of, deterministic=True)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a state file; 0 if nothing is in it yet."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return _checked_version(connection, path) if tables else 0


def _check_soundness(connection: sqlite3.Connection, path: Path) -> None:
    """Before anything is sent, check the file, if it is small enough to be read quickly."""
    if path.stat().st_size > CHECKED_BYTES:
        return
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _damaged(str(found), path)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All changes inside become durable together, or none if something is raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything read inside is from one moment, so figures agree with each other."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move what is in the log into the file itself: a copy of a young state would be empty.

    If a reader is in the way, it stays in the log for now.
    """
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _create_schema(connection: sqlite3.Connection) -> None:
    # One transaction: a crash in the middle leaves an empty file, not half a schema.
    connection.executescript(
        f"BEGIN IMMEDIATE; {schema_text()} PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
    )


def schema_version() -> int:
    (version,) = re.findall(r"^PRAGMA user_version = (\d+);$", schema_text(), re.MULTILINE)
    return int(version)


def schema_text() -> str:
    return resources.files(__package__).joinpath("schema.sql").read_text("utf-8")


def _checked_version(connection: sqlite3.Connection, path: Path) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise SchemaVersionError(
            "this file is not a state file of batchgen",
            where=str(path),
            next_step="move it away, or set another output.dir",
        )
    if version != (ours := schema_version()):
        raise SchemaVersionError(
            f"the state file has version {version}; this batchgen reads only version {ours}",
            where=str(path),
            next_step="continue this run with the batchgen that wrote it, or set another"
            " output.dir to start a new one",
        )
    return int(version)


def storable(text: str) -> str:
    if text.isascii():
        return text
    # Python represents each byte that is not UTF-8 as a lone surrogate.
    return text.encode(errors="backslashreplace").decode()
