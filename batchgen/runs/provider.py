"""The vendor, or something on this machine that stands for it: a state belongs to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.errors import ProviderMismatchError
from batchgen.runcomfy.base import is_loopback
from batchgen.state.queries import get_meta, set_meta

if TYPE_CHECKING:
    import sqlite3

    from batchgen.runs.folder import RunFolder

EMULATOR = "the emulator"
LOOPBACK = "a server on this machine"
_KEY = "provider"


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
            next_step=f"{_way_back(known, provider)}, or move the folder away (or set another"
            " output.dir) to start anew",
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
