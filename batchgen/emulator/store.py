"""The emulator's state: every accepted request, in SQLite. RAM holds unfinished ones only."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.emulator.settings import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID = 0x42474D55  # "BGMU": this file is an emulator's, not a run's
SCHEMA = Path(__file__).with_name("schema.sql")
VERSION = 2
"""Of the tables. Raise it with every change of schema.sql."""
PAGE = 500
FULL = {errno.ENOSPC, errno.EDQUOT}
DISK_ERRORS = FULL | {errno.EIO, errno.EROFS}
MOST_PAGES = 16_384
"""Of the write-ahead log, 64 MiB, before it starts over."""

COLUMNS = (
    "seq, request_id, model_id, input, outputs, status, usd, created_at, finished_at,"
    " sticky_fault, error"
)


@dataclass(frozen=True, slots=True)
class NewRequest:
    """An accepted submit. `input` and `sticky_fault` (the fault that shapes its end) are JSON."""

    request_id: str
    model_id: str
    input: str
    outputs: int
    usd: float
    created_at: float
    sticky_fault: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRequest(NewRequest):
    """`finished_at` is None while the request is queued or in progress.

    `error` says which input could not be used, of a request that failed for that.
    """

    seq: int = 0
    status: str = "in_queue"
    finished_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the bucket; its bytes are in the contents, under `sha256`."""

    sha256: str
    media_type: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Charge:
    """A line of the ledger."""

    request_id: str
    model_id: str
    input: str
    status: str
    usd: float


class Store:
    """One connection. Each call commits by itself, so a request is stored before it is answered.

    The calls are made on the event loop: in WAL mode with synchronous=NORMAL a commit is a write
    without fsync, about 30 µs. Only a checkpoint waits for the disk: see `checkpoint`.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self._connection = connection
        self._path = path

    def add(self, new: NewRequest) -> None:
        self._connection.execute(
            "INSERT INTO requests"
            " (request_id, model_id, input, outputs, status, usd, created_at, sticky_fault)"
            " VALUES (?, ?, ?, ?, 'in_queue', ?, ?, ?)",
            (
                new.request_id,
                new.model_id,
                new.input,
                new.outputs,
                new.usd,
                new.created_at,
                new.sticky_fault,
            ),
        )

    def finish(
        self,
        request_id: str,
        status: str,
        at: float,
        *,
        free: bool = False,
        error: str | None = None,
    ) -> None:
        """Record an end. A failed request costs, as it may at the vendor, unless it is `free`."""
        self._connection.execute(
            "UPDATE requests SET status = ?, finished_at = ?, error = ?,"
            " usd = CASE WHEN ? THEN 0 ELSE usd END WHERE request_id = ?",
            (status, at, error, free, request_id),
        )

    def find(self, request_id: str) -> StoredRequest | None:
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM requests WHERE request_id = ?",  # noqa: S608 - a constant
            (request_id,),
        ).fetchone()
        return None if row is None else _stored(row)

    def latest_id(self) -> str | None:
        row = self._connection.execute(
            "SELECT request_id FROM requests ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return None if row is None else str(row[0])

    def other_than(self, request_id: str) -> str | None:
        """Return the id of another request, preferably the last one that succeeded."""
        row = self._connection.execute(
            "SELECT request_id FROM requests WHERE request_id != ?"
            " ORDER BY status = 'succeeded' DESC, seq DESC LIMIT 1",
            (request_id,),
        ).fetchone()
        return None if row is None else str(row[0])

    def count_result_call(self, request_id: str) -> int:
        """Count a call for a result; return 1 for the first."""
        row = self._connection.execute(
            "INSERT INTO result_calls (request_id, count) VALUES (?, 1)"
            " ON CONFLICT (request_id) DO UPDATE SET count = count + 1 RETURNING count",
            (request_id,),
        ).fetchone()
        return int(row[0])

    def unfinished(self) -> Iterator[tuple[str, str]]:
        """Yield request id and model id, in the order of acceptance."""
        yield from self._connection.execute(
            "SELECT request_id, model_id FROM requests WHERE finished_at IS NULL ORDER BY seq"
        )

    def charges_after(self, seq: int, limit: int = PAGE) -> list[tuple[int, Charge]]:
        """Read a page of the ledger: the requests accepted after number `seq`."""
        rows = self._connection.execute(
            "SELECT seq, request_id, model_id, input, status, usd FROM requests"
            " WHERE seq > ? ORDER BY seq LIMIT ?",
            (seq, limit),
        )
        return [(row[0], Charge(*row[1:])) for row in rows]

    def charged(self) -> float:
        """Return the USD of all charges."""
        return float(self._connection.execute("SELECT total(usd) FROM requests").fetchone()[0])

    def put_object(self, key: str, stored: StoredObject) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO objects (key, sha256, media_type, bytes) VALUES (?, ?, ?, ?)",
            (key, stored.sha256, stored.media_type, stored.bytes),
        )

    def find_object(self, key: str) -> StoredObject | None:
        row = self._connection.execute(
            "SELECT sha256, media_type, bytes FROM objects WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else StoredObject(*row)

    def add_token_leak(self, path: str, at: float) -> None:
        self._connection.execute("INSERT INTO token_leaks (path, at) VALUES (?, ?)", (path, at))

    def token_leaks(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM token_leaks").fetchone()[0])

    def signing_key(self, fresh: bytes) -> bytes:
        """Return the stored key; `fresh` is stored if there is none yet."""
        self._connection.execute(
            "INSERT OR IGNORE INTO signing_key (only_row, key) VALUES (1, ?)", (fresh,)
        )
        return bytes(self._connection.execute("SELECT key FROM signing_key").fetchone()[0])

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file. Waits for the disk: call it in a thread."""
        if self._path is None:
            return
        connection = sqlite3.connect(self._path)
        try:
            pages = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
            if pages > MOST_PAGES:
                # Under steady load the log is never empty, so it would never start over by itself.
                # This holds up writes, but most of the work has just been done.
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
        finally:
            connection.close()


def _stored(row: tuple[Any, ...]) -> StoredRequest:
    return StoredRequest(**dict(zip(COLUMNS.split(", "), row, strict=True)))


@contextmanager
def open_store(path: Path | None) -> Iterator[Store]:
    """Open the state file. Raises EmulatorError if it cannot be used or is not an emulator's."""
    try:
        connection = sqlite3.connect(path or ":memory:", isolation_level=None)
    except sqlite3.Error as exc:
        raise unusable(path, exc) from exc
    try:
        _prepare(connection, path)
        yield Store(connection, path)
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection, path: Path | None) -> None:
    try:
        _check_owner(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # Checkpoints run in a thread instead; see Store.checkpoint.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.executescript(SCHEMA.read_text(encoding="utf-8"))
    except sqlite3.Error as exc:
        raise unusable(path, exc) from exc


def _check_owner(connection: sqlite3.Connection, path: Path | None) -> None:
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise EmulatorError(
            f"{path} is a database, but not an emulator's state.",
            next_step="Name another file with --state.",
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if tables and version != VERSION:
        raise EmulatorError(
            f"{path} is the state of another version of the emulator.",
            next_step="Delete it, or name another file with --state.",
        )


def is_of_the_disk(exc: Exception) -> bool:
    """Whether it is about the files of the emulator, and not about a connection that broke."""
    return isinstance(exc, sqlite3.Error) or getattr(exc, "errno", None) in DISK_ERRORS


def unusable(path: Path | None, exc: Exception) -> EmulatorError:
    if isinstance(exc, sqlite3.Error):
        code = getattr(exc, "sqlite_errorcode", None) or 0
        disk_is_full = code & 0xFF == sqlite3.SQLITE_FULL
    else:
        disk_is_full = getattr(exc, "errno", None) in FULL
    return EmulatorError(
        f"The emulator's state file {path} cannot be used: {exc}.",
        next_step="Name a file in a folder that exists and can be written, with --state.",
        disk_is_full=disk_is_full,
    )
