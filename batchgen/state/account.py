"""What the runs of one account on this machine have reserved of its limits, in a small database.

It is the user's own, beside the index of results. Losing it costs nothing: each run reports again
what it holds. Times are of the clock that all processes of a machine share (`time.monotonic`).
"""

from __future__ import annotations

import math
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batchgen.fs import disk_errors
from batchgen.state.database import open_side_file, transaction, translated
from batchgen.state.fair_shares import Demand, part_of, rests_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from batchgen.state.database import Connection

VERSION = 1
PATIENCE = 2.0
"""Seconds that another run may hold the file."""
REPORTED_EVERY = 10.0
QUIET_AFTER = 30.0
"""Seconds without a report: the run is suspended. It keeps what it has, and wants no more."""
VALID_FOR = 60.0
"""Seconds after its last report in which a run may use what it has reserved."""
FORGOTTEN_AFTER = 90.0
"""Seconds without a report: what the run had is free. More than VALID_FOR and REPORTED_EVERY."""

_SCHEMA = """
    DROP TABLE IF EXISTS run;
    DROP TABLE IF EXISTS claim;
    DROP TABLE IF EXISTS resting;
    CREATE TABLE run (id TEXT PRIMARY KEY, seen REAL NOT NULL) STRICT;
    CREATE TABLE claim (
        run TEXT NOT NULL, what TEXT NOT NULL, most INTEGER, seconds REAL NOT NULL,
        reserved INTEGER NOT NULL, window REAL NOT NULL, used INTEGER NOT NULL,
        wanted INTEGER NOT NULL, last_used REAL NOT NULL,
        PRIMARY KEY (run, what)
    ) STRICT;
    CREATE TABLE resting (
        what TEXT NOT NULL, count INTEGER NOT NULL, until REAL NOT NULL, window REAL NOT NULL
    ) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run declares and needs of one limit of the account, which is called `what`.

    It declares at most `most` in `seconds`, or at once if `seconds` is 0; None: it declares no
    limit. `reserved` is what it holds: places, or submits in any `window` seconds. `sent` are the
    times of its submits in the last one, in order. The rest is as in `Demand`.
    """

    what: str
    most: int | None
    seconds: float
    reserved: int
    used: int
    wanted: int
    window: float = 0.0
    last_used: float = 0.0
    sent: tuple[float, ...] = ()

    @property
    def strictness(self) -> tuple[float, float]:
        assert self.most is not None
        return self.most / (self.seconds or 1.0), self.seconds


@dataclass(frozen=True, slots=True)
class Grant:
    """Of one limit of the account: at most `most` in `seconds` (0: at once) for all runs.

    This run has `reserved` of it, and may `keep` so much: it lowers what it uses first, and says so
    in its next claim.
    """

    most: int
    seconds: float
    reserved: int
    keep: int


@dataclass(frozen=True, slots=True)
class Shares:
    """How this run shares its account with `others` runs, by what is limited.

    `more_at`: from when on more may be free; None: once another run gives something back.
    """

    others: int
    grants: Mapping[str, Grant] = field(default_factory=dict)
    more_at: float | None = None


@dataclass(frozen=True, slots=True)
class AccountFile:
    """Each call opens and closes the file. Raises the tree's errors."""

    path: Path

    def exchange(
        self,
        run: str,
        claims: Sequence[Claim],
        now: float,
        is_alive: Callable[[str], bool],
    ) -> Shares:
        """Report what this run holds and needs; returns what it may use.

        `is_alive` says it of another run; what a dead one held is free, and after a while what a
        suspended one held.
        """
        with self._changing() as db:
            return exchange(db, run, claims, now, is_alive)

    def leave(self, run: str, claims: Sequence[Claim], now: float) -> None:
        """Give back all that this run holds."""
        with self._changing() as db:
            leave(db, run, claims, now)

    def remove(self) -> None:
        """Delete the file, with the journal of a change that was not finished."""
        with disk_errors(self.path):
            for ending in ("", "-journal"):
                self.path.with_name(f"{self.path.name}{ending}").unlink(missing_ok=True)

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with translated(self.path), closing(open_side_file(self.path, wait=PATIENCE)) as db:
            # After a power cut nobody holds anything any more.
            db.execute("PRAGMA synchronous = OFF")
            with transaction(db):
                create(db)
                yield db


def create(db: Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")


def exchange(
    db: Connection,
    run: str,
    claims: Sequence[Claim],
    now: float,
    is_alive: Callable[[str], bool],
) -> Shares:
    """As `AccountFile.exchange`, inside a transaction."""
    others = _living(db, run, now, is_alive)
    _report(db, run, claims, now)
    db.execute("DELETE FROM resting WHERE until <= ? OR until > ? + window + 1", (now, now))
    grants = {}
    for claim in claims:
        if (grant := _granted(db, run, claim.what, now)) is not None:
            grants[claim.what] = grant
    (more_at,) = db.execute("SELECT min(until) FROM resting").fetchone()
    return Shares(others, grants, more_at)


def leave(db: Connection, run: str, claims: Sequence[Claim], now: float) -> None:
    for claim in claims:
        _rest(db, run, replace(claim, reserved=0), now)
    _delete(db, run)


def _living(db: Connection, me: str, now: float, is_alive: Callable[[str], bool]) -> int:
    """How many other runs are alive; what the dead and suspended held is given back for them."""
    others = db.execute("SELECT id, seen FROM run WHERE id != ?", (me,)).fetchall()
    gone = [run for run, seen in others if now - seen > FORGOTTEN_AFTER or not is_alive(run)]
    for run in gone:
        # Nobody knows when it submitted last.
        db.execute(
            "INSERT INTO resting SELECT what, reserved, ? + window, window FROM claim"
            " WHERE run = ? AND window > 0 AND reserved > 0",
            (now, run),
        )
        _delete(db, run)
    return len(others) - len(gone)


def _delete(db: Connection, run: str) -> None:
    db.execute("DELETE FROM run WHERE id = ?", (run,))
    db.execute("DELETE FROM claim WHERE run = ?", (run,))


def _report(db: Connection, run: str, claims: Sequence[Claim], now: float) -> None:
    seen = db.execute("SELECT seen FROM run WHERE id = ?", (run,)).fetchone()
    # Nothing is written as long as nothing changes, or every run would keep the disk awake.
    if seen is None or not 0 <= now - seen[0] < REPORTED_EVERY:
        db.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (run, now))
    for claim in claims:
        _rest(db, run, claim, now)
        row = (
            *(run, claim.what, claim.most, claim.seconds, claim.reserved, claim.window),
            *(claim.used, claim.wanted, claim.last_used),
        )
        known = db.execute(
            "SELECT * FROM claim WHERE run = ? AND what = ?", (run, claim.what)
        ).fetchone()
        if known != row:
            db.execute("INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def _rest(db: Connection, run: str, claim: Claim, now: float) -> None:
    """What a run holds no more can be used by others once that exceeds no window."""
    known = db.execute(
        "SELECT reserved, window FROM claim WHERE run = ? AND what = ?", (run, claim.what)
    ).fetchone()
    if known is None or not known[1] or known[0] <= claim.reserved:
        return
    given, window = known[0] - claim.reserved, known[1]
    for until in rests_until(claim.sent, window, claim.reserved)[:given]:
        if until > now:
            db.execute("INSERT INTO resting VALUES (?, 1, ?, ?)", (claim.what, until, window))


def _granted(db: Connection, run: str, what: str, now: float) -> Grant | None:
    """None where no run declares such a limit."""
    claims = {}
    for row in db.execute(
        "SELECT run, most, seconds, reserved, used, wanted, window, last_used, seen FROM claim"
        " JOIN run ON run.id = claim.run WHERE what = ?",
        (what,),
    ).fetchall():
        name, *values, seen = row
        claims[name] = (Claim(what, *values), now - seen > QUIET_AFTER)
    declared = [claim for claim, _ in claims.values() if claim.most is not None]
    if not declared:
        return None
    strictest = min(declared, key=lambda claim: claim.strictness)
    most, seconds = strictest.most, strictest.seconds
    assert most is not None
    demands = {
        name: _demand(claim, seconds, is_quiet=is_quiet)
        for name, (claim, is_quiet) in claims.items()
    }
    (resting,) = db.execute("SELECT total(count) FROM resting WHERE what = ?", (what,)).fetchone()
    part = part_of(run, most, demands, int(resting))
    db.execute(
        "UPDATE claim SET reserved = ?3, window = ?4 WHERE run = ?1 AND what = ?2"
        " AND (reserved, window) != (?3, ?4)",
        (run, what, part.reserved, seconds),
    )
    return Grant(most, seconds, part.reserved, part.keep)


def _demand(claim: Claim, seconds: float, *, is_quiet: bool) -> Demand:
    """With what is reserved counted in windows of so many seconds."""
    reserved = claim.reserved
    if claim.window and claim.window != seconds:
        # Up: so many may have been submitted within such a window.
        reserved = math.ceil(reserved * seconds / claim.window)
    wanted = reserved if is_quiet else claim.wanted
    return Demand(reserved, claim.used, wanted, claim.last_used)
