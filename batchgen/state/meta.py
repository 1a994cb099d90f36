"""What a state remembers of its run besides the jobs: one text for each of these keys."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from batchgen.state.database import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.state.database import Connection


class Meta(StrEnum):
    """A key of the table `meta`. Each is written by one module of the room that it is about."""

    RUN_ID = "run_id"
    """Tells this state from every other one, for ever."""
    NAME = "name"
    MANIFEST = "manifest"
    """The path of the manifest whose jobs these are; empty for one from a pipe."""
    INPUTS = "inputs"
    """Fingerprint of all that the jobs were made from; empty while they are being taken up."""
    PROVIDER = "provider"
    """Who got the requests: the vendor's address, or the emulator."""
    RESULTS = "results"
    """The bucket that has the results; absent where they are in the run's own folder."""
    RUNNER = "runner"
    """The process that runs, or ran last."""
    INODE = "inode"
    HOST = "host"
    """Where the file was made its own: another inode means that this is a copy."""
    START_AT = "start_at"
    """What `start_at` was asked for, and the moment that this meant."""
    DECISIONS_READ = "decisions_read"
    """How many bytes of decisions.jsonl have been applied."""
    LOG_FROM = "log_from"
    """Where in run.log the requests begin that the state must know."""
    LIMITS = "limits"
    """What limits the run in progress, as JSON."""
    FOUND = "found"
    """How many requests at once were found to keep each model's workers fed, as JSON."""
    CLUSTER = "cluster"
    """The Ray cluster that works for the run, in a few words; empty if there is none."""
    SHARED = "shared"
    """What the run may use of the limits that it shares with other runs, as JSON."""
    METADATA_IS_STALE = "metadata_is_stale"
    """Set while metadata.jsonl has to be written again."""


def get_meta(db: Connection, key: Meta) -> str | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def limits_in_force(db: Connection) -> Mapping[str, Any] | None:
    """What limits the run in progress; None where none is, or where it has only begun.

    The keys of `run:`, `tuned_at` (epoch seconds, None for never) and why that was `refused`. Where
    the concurrency is `auto`, `found` has what that is for each model by now. Where other runs of
    the account share them, `shared` has what this run may use.
    """
    text = get_meta(db, Meta.LIMITS)
    limits: dict[str, Any] | None = json.loads(text) if text else None
    if limits and limits["concurrency"] == "auto":
        limits["found"] = found_concurrency(db)
    if limits and limits["account"] == "shared":
        limits["shared"] = json.loads(get_meta(db, Meta.SHARED) or "null")
    return limits


def found_concurrency(db: Connection) -> dict[str, Any]:
    """By model, what the last run with `concurrency: auto` found: `at_once`, and `why`."""
    text = get_meta(db, Meta.FOUND)
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def keep_found_concurrency(db: Connection, model: str, at_once: int, why: str) -> None:
    found = {**found_concurrency(db), model: {"at_once": at_once, "why": why}}
    set_meta(db, Meta.FOUND, json.dumps(found))


def keep_shared_limits(db: Connection, shared: Mapping[str, Any]) -> None:
    set_meta(db, Meta.SHARED, json.dumps(shared))


def set_meta(db: Connection, key: Meta, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, storable(value)))


def drop_meta(db: Connection, key: Meta) -> None:
    db.execute("DELETE FROM meta WHERE key = ?", (key,))
