"""Safeguards against the vendor's other forms of answers, each switched off by its own function."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp

from batchgen.engine import decisions, following, health, paced_api
from batchgen.engine.decisions import End, KeepPolling, Observation
from batchgen.engine.following import Following
from batchgen.engine.handover import Handover
from batchgen.jobs import JobState
from batchgen.runcomfy import client, response, result
from batchgen.runcomfy.outcomes import Gateway, NotReady, UnrecognizedState
from batchgen.runcomfy.response import Answer
from batchgen.state import manual_actions
from batchgen.state.transitions import Ending
from tests.simulation.mutating import Mutation, put

if TYPE_CHECKING:
    import sqlite3


def a_refused_result_ends_its_request() -> None:
    """What is short of an end counts as one, as every 4xx once did."""
    after = decisions.after_result

    def at_once(outcome: Any, facts: Any) -> Any:
        if isinstance(outcome, NotReady | Gateway):
            return End(Ending(JobState.LOST, "refused", outcome.reason, None, ""))
        return after(outcome, facts)

    put(following, "after_result", at_once)
    put(paced_api, "is_inconclusive", lambda _outcome: False)


def a_place_is_free_before_the_end_is_certain() -> None:
    act = Following._act

    async def let_go(self: Any, followed: Any, decision: Any) -> Any:
        if isinstance(decision, KeepPolling) and decision.observation is Observation.NOT_READY:
            return Handover.LET_GO
        return await act(self, followed, decision)

    put(Following, "_act", let_go)


def results_of_other_requests_count() -> None:
    put(result, "is_of_another", lambda _fields, _request_id: False)


def submits_go_over_used_connections() -> None:
    init = client.RunComfy.__init__

    def used(self: Any, session: Any, _fresh: Any, *rest: Any, **more: Any) -> None:
        init(self, session, session, *rest, **more)

    put(client.RunComfy, "__init__", used)


def bytes_after_an_answer_are_kept() -> None:
    put(client, "SingleResponseConnector", aiohttp.TCPConnector)


def a_gateways_page_fails_the_job() -> None:
    put(Answer, "is_gateways", property(lambda _self: False))


def the_wallets_other_code_is_not_known() -> None:
    known = {code: one for code, one in response._BY_CODE.items() if code != "10001"}
    put(response, "_BY_CODE", known)


def no_balance_at_the_end_is_a_failure() -> None:
    failed = decisions._failed

    def blamed(outcome: Any, facts: Any) -> Any:
        return failed(replace(outcome, no_balance=False), facts)

    put(decisions, "_failed", blamed)


def equal_refusals_go_on_for_ever() -> None:
    put(health.RefusalBreaker, "trips", lambda *_: False)


def success_without_files_fails_at_once() -> None:
    def at_once(outcome: Any, _facts: Any) -> Any:
        return End(Ending(JobState.FAILED, "no_files", "none", outcome.cost, outcome.raw))

    put(decisions, "_no_files", at_once)


def later_runs_do_not_ask_for_files_again() -> None:
    put(manual_actions, "reopen", lambda _db: None)


def a_retry_pays_without_asking_first() -> None:
    """What was set aside goes out again at once, although its files may be there by now."""
    retry = manual_actions.retry_selected

    def at_once(db: sqlite3.Connection, *rest: Any) -> int:
        db.execute(
            "UPDATE attempt SET outcome = 'written_off', ended_at = 0 WHERE outcome IS NULL"
            " AND request_id IS NOT NULL AND job IN (SELECT seq FROM job WHERE state = 'failed')"
        )
        return retry(db, *rest)

    put(manual_actions, "retry_selected", at_once)


def an_unknown_last_word_is_no_end() -> None:
    def goes_on(answer: Any, fields: Any) -> UnrecognizedState:
        return UnrecognizedState(answer.safe_text(result.state_of(fields), 40))

    put(result, "_undocumented", goes_on)


MUTATIONS: tuple[Mutation, ...] = (
    a_refused_result_ends_its_request,
    a_place_is_free_before_the_end_is_certain,
    results_of_other_requests_count,
    submits_go_over_used_connections,
    bytes_after_an_answer_are_kept,
    a_gateways_page_fails_the_job,
    the_wallets_other_code_is_not_known,
    no_balance_at_the_end_is_a_failure,
    equal_refusals_go_on_for_ever,
    success_without_files_fails_at_once,
    later_runs_do_not_ask_for_files_again,
    a_retry_pays_without_asking_first,
    an_unknown_last_word_is_no_end,
)
