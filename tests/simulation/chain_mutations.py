"""Safeguards between jobs, each switched off by a function of its own: needs, gates, sweeps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchgen.engine import input_resolver, model_queues
from batchgen.runs import execute, options, startup
from batchgen.state import due, reconcile
from batchgen.state.meta import Meta, set_meta
from batchgen.state.records import RESULT_COLUMNS, Result, result_of
from tests.simulation.mutating import Mutation, begin_whatever_the_state_is, in_schema, put

if TYPE_CHECKING:
    import sqlite3


def a_rewound_queue_takes_what_is_in_hand() -> None:
    """Read again while a job is readied, the queue hands it out once more; the state lets it."""

    def turn_to(self: Any, page: list[Any], _held: Any) -> None:
        self._exhausted = len(page) < model_queues.PAGE
        if page:
            self._after = (page[-1].priority, page[-1].seq)
        self._page.extend(page)

    begin_whatever_the_state_is()
    put(model_queues.ModelQueue, "_turn_to", turn_to)


def needs_are_not_waited_for() -> None:
    """Whatever a needed job has by then is handed on."""
    in_schema("waiting = waiting + 1 WHERE", "waiting = waiting WHERE")
    in_schema(", -1, 1)", ", 0, 0)")

    def at_hand(db: sqlite3.Connection, seq: int) -> tuple[Result, ...]:
        rows = db.execute(
            f"SELECT {RESULT_COLUMNS} FROM need JOIN job ON job.seq = needs"
            " JOIN attempt ON attempt.job = job.seq"
            " JOIN file ON file.job = job.seq AND file.attempt = number WHERE need.job = ?",
            (seq,),
        )
        found = map(result_of, rows)
        return tuple(
            replace(one, media_type="image/png", width=1, height=1, bytes=1) for one in found
        )

    put(due, "needed_files", at_hand)


def gates_stand_open() -> None:
    for table in ("NEW.", "OLD.", ""):
        in_schema(f"{table}approved >= {table}gate", "1")


def an_approval_outlives_its_result() -> None:
    in_schema("SET approved = 0", "SET approved = 1")


def failures_block_nobody() -> None:
    trigger = "WHEN NEW.state IN ('failed', 'cancelled', 'lost', 'blocked')"
    in_schema(trigger, f"{trigger} AND 0")


def nobody_is_blocked_no_more() -> None:
    chosen = "SELECT seq FROM reach WHERE seq != NEW.seq"
    in_schema(chosen, f"{chosen} AND 0")


def references_are_sent_as_they_are() -> None:
    put(input_resolver, "resolved", lambda body, _urls: body)


def an_expired_result_is_made_again() -> None:
    def set_going(db: sqlite3.Connection, job: str) -> None:
        db.execute("UPDATE job SET state = 'pending' WHERE id = ?", (job,))

    async def made_again(self: Any, file: Result, reason: str) -> Any:
        await self._ports.store.run(set_going, file.job_id)
        return input_resolver._Unclear(reason)

    put(input_resolver.InputResolver, "_renewed_url", made_again)


def no_canary() -> None:
    policy = options.engine_policy
    put(execute, "engine_policy", lambda *args: replace(policy(*args), canary=0))


def an_old_fingerprint_outlives_the_merge() -> None:
    """The state still says that its jobs were made from the inputs of before."""

    def without(db: sqlite3.Connection, key: Meta, value: str) -> None:
        if (key, value) != (Meta.INPUTS, ""):
            set_meta(db, key, value)

    put(startup, "set_meta", without)


def what_goes_again_goes_as_it_was() -> None:
    """Though the manifest asks for another input by now, and will pay for that one too."""
    put(reconcile, "_note_todays_inputs", lambda _db: None)


MUTATIONS: tuple[Mutation, ...] = (
    a_rewound_queue_takes_what_is_in_hand,
    needs_are_not_waited_for,
    gates_stand_open,
    an_approval_outlives_its_result,
    failures_block_nobody,
    nobody_is_blocked_no_more,
    references_are_sent_as_they_are,
    an_expired_result_is_made_again,
    no_canary,
    an_old_fingerprint_outlives_the_merge,
    what_goes_again_goes_as_it_was,
)
