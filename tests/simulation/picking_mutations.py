"""Safeguards around what a person says of results, each switched off by a function of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.runs import decision_log, decisions, workload
from batchgen.state import manual_actions, queries, reviews, selection
from tests.simulation.mutating import Mutation, in_schema, put

if TYPE_CHECKING:
    import sqlite3


def a_retry_of_failed_jobs_takes_rejected_ones() -> None:
    again = manual_actions.may_go_again
    put(manual_actions, "may_go_again", lambda **_: again(rejected=True))


def a_plain_run_makes_rejected_results_again() -> None:
    settle = decisions.settle

    def eager(db: sqlite3.Connection, folder: Any, at: float) -> None:
        settle(db, folder, at)
        manual_actions.retry_selected(
            db, queries.Selection(), manual_actions.may_go_again(rejected=True)
        )

    put(workload, "settle", eager)


def a_pick_reaches_a_later_attempt() -> None:
    apply = decision_log._apply
    put(decision_log, "_apply", lambda db, one, at: apply(db, replace(one, attempt=None), at))


def a_kept_result_does_not_stop_its_retry() -> None:
    put(reviews, "stay_done", lambda *_: False)


def one_rejected_file_of_several_is_enough() -> None:
    in_schema("WHEN max(file.pick = 'keep') THEN 'kept'", "WHEN 0 THEN 'kept'")
    in_schema("WHEN count(*) = (SELECT count(*)", "WHEN 1 OR count(*) = (SELECT count(*)")


def a_limit_does_not_count_retries() -> None:
    """All rejected results are set going, and a later run pays for those beyond the limit."""
    limited = selection.note_first

    def after_the_retry(
        db: sqlite3.Connection, chosen: Any, count: int, again: str | None = None
    ) -> Any:
        if again is not None:
            manual_actions.retry_selected(db, chosen, again)
        return limited(db, chosen, count)

    put(workload, "note_first", after_the_retry)


def a_retry_deletes_what_was_rejected() -> None:
    retry = manual_actions.retry_selected

    def tidy(db: sqlite3.Connection, chosen: Any, again: str) -> int:
        (place,) = (row[2] for row in db.execute("PRAGMA database_list") if row[1] == "main")
        for (path,) in db.execute("SELECT path FROM file WHERE pick = 'reject'").fetchall():
            (Path(place).parent / path).unlink(missing_ok=True)
        return retry(db, chosen, again)

    put(manual_actions, "retry_selected", tidy)


MUTATIONS: tuple[Mutation, ...] = (
    a_plain_run_makes_rejected_results_again,
    a_retry_of_failed_jobs_takes_rejected_ones,
    a_pick_reaches_a_later_attempt,
    a_kept_result_does_not_stop_its_retry,
    one_rejected_file_of_several_is_enough,
    a_limit_does_not_count_retries,
    a_retry_deletes_what_was_rejected,
)
