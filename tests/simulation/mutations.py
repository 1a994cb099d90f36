"""Safeguards of one job's way, each switched off by a function of its own.

A job is due, submitted, followed and brought home; the state remembers it.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from batchgen import connections
from batchgen.downloads import adopt, allowed_hosts, fetch, part, session
from batchgen.downloads.media import Media, MediaKind
from batchgen.downloads.outcomes import Fetched
from batchgen.engine import (
    budget,
    decisions,
    downloads_pool,
    fetch_decisions,
    followed_request,
    lifecycle,
    limits,
    scheduler,
    shielded_tasks,
)
from batchgen.jobs import JobState
from batchgen.runcomfy import client, submit
from batchgen.runcomfy.outcomes import NotSent
from batchgen.runs import decision_log, folder, lost_state, recovery_log, reuse, startup
from batchgen.runs.lost_state import Traces
from batchgen.state import (
    database,
    files,
    manual_actions,
    store,
    transitions,
)
from batchgen.storage.locations import Location
from tests.simulation.mutating import Mutation, begin_whatever_the_state_is, beside, put
from tests.simulation.vendor import API_HOST, TOKEN

if TYPE_CHECKING:
    import sqlite3

    from batchgen.downloads.outcomes import VerifiedFile


def no_intent_before_the_submit() -> None:
    """The POST goes out while its intent is still on its way to the disk."""
    begin = store.Store.begin_attempt

    async def at_once(self: Any, job: Any, *rest: Any, **more: Any) -> int:
        number = await self.run(_next_number, job.seq)
        beside(partial(begin, self, job, *rest, **more))
        return int(number)

    put(store.Store, "begin_attempt", at_once)


def _next_number(db: sqlite3.Connection, seq: int) -> int:
    return int(db.execute("SELECT attempts + 1 FROM job WHERE seq = ?", (seq,)).fetchone()[0])


def id_used_before_it_is_durable() -> None:
    accepted = store.Store.accepted

    async def at_once(self: Any, *args: Any) -> transitions.Acceptance:
        beside(partial(accepted, self, *args))
        return transitions.Acceptance(queued=True)

    put(store.Store, "accepted", at_once)


def urls_not_durable_before_the_download() -> None:
    delivered = store.Store.delivered

    async def at_once(self: Any, *args: Any) -> bool:
        beside(partial(delivered, self, *args))
        return True

    put(store.Store, "delivered", at_once)


def no_verifying_before_the_rename() -> None:
    media = Media(MediaKind.IMAGE, "image/png", ".png", 2, 2, None, 1)
    put(part, "decode_light", lambda _file: media)


def no_fsync_of_the_file() -> None:
    put(part.Part, "_sync", lambda _self, _file: None)


def no_fsync_of_the_folder() -> None:
    put(part.FolderSync, "_sync", lambda *_: None)


def output_folder_not_made_durable() -> None:
    put(folder, "make_durable", lambda _root: None)


def state_without_fsync() -> None:
    configure = database._configure

    def without(connection: sqlite3.Connection) -> None:
        configure(connection)
        connection.execute("PRAGMA synchronous = OFF")

    put(database, "_configure", without)


def acknowledged_before_the_commit() -> None:
    """`PRAGMA synchronous = NORMAL`: in WAL mode a commit returns before its fsync."""
    configure = database._configure

    def without(connection: sqlite3.Connection) -> None:
        configure(connection)
        connection.execute("PRAGMA synchronous = NORMAL")

    put(database, "_configure", without)


def no_lock() -> None:
    put(startup, "runner_lock", lambda _folder, _patience: nullcontext())


def no_shield_of_the_post() -> None:
    async def cut_off(self: Any) -> list[Exception]:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return []

    put(shielded_tasks.ShieldedTasks, "_last_answers", cut_off)


def late_answers_are_dropped() -> None:
    async def not_at_all(_post: Any, _drain: Any, _seconds: float) -> None:
        return None

    put(lifecycle, "wait_for_late_answer", not_at_all)


def no_budget_reservation() -> None:
    put(budget.Budget, "reserve", lambda _self, _seq, _price: True)


def dead_submits_are_pending() -> None:
    def forgive(db: sqlite3.Connection, _at: float) -> int:
        db.execute(
            "UPDATE attempt SET outcome = 'not_sent', ended_at = 0 WHERE outcome IS NULL"
            " AND EXISTS (SELECT 1 FROM job WHERE seq = job AND state = 'submitting')"
        )
        return db.execute("UPDATE job SET state = 'pending' WHERE state = 'submitting'").rowcount

    put(manual_actions, "settle_dead_run", forgive)


def lost_answers_mean_not_sent() -> None:
    put(client, "classify_error", lambda exc: NotSent(type(exc).__name__))


def server_errors_mean_not_sent() -> None:
    read = submit.read_submit

    def lenient(answer: Any) -> Any:
        return NotSent("5xx") if answer.status in {408, 500, 502} else read(answer)

    put(client, "read_submit", lenient)


def redirects_of_the_api_are_followed() -> None:
    request = aiohttp.ClientSession._request

    async def following(self: Any, method: str, url: Any, **more: Any) -> Any:
        if URL(url).host == API_HOST:
            more["allow_redirects"] = True
        return await request(self, method, url, **more)

    put(aiohttp.ClientSession, "_request", following)


def redirects_of_files_go_anywhere() -> None:
    def anywhere(_self: Any, _url: URL, location: str) -> URL:
        return URL(location)

    put(allowed_hosts.AllowedHosts, "follow", anywhere)


def no_look_at_the_resolved_address() -> None:
    put(connections.PublicResolver, "_may_connect", lambda *_: True)


def token_sent_to_the_file_hosts() -> None:
    put(session, "HEADERS", {**session.HEADERS, "Authorization": f"Bearer {TOKEN}"})


def no_limit_of_concurrency() -> None:
    put(
        limits.RateLimiter, "opens_at", lambda self, now: max(now, self.next_start, self.shut_until)
    )


def no_limit_of_the_rate() -> None:
    put(
        limits.RateLimiter,
        "enter",
        lambda self, _now: setattr(self, "in_flight", self.in_flight + 1),
    )
    put(lifecycle, "claim_sending", lambda _gates, now: now)


def no_distance_kept_at_the_post() -> None:
    put(lifecycle, "claim_sending", lambda _gates, now: now)


def done_with_the_first_file() -> None:
    verified = files.verified

    def early(db: sqlite3.Connection, file_id: int, file: Any, at: float) -> Any:
        found = verified(db, file_id, file, at)
        (seq,) = db.execute("SELECT job FROM file WHERE id = ?", (file_id,)).fetchone()
        return replace(found, done=transitions.move(db, seq, JobState.DONE))

    put(files, "verified", early)


def endless_retries() -> None:
    facts = decisions.RequestFacts

    def eager(*values: Any) -> Any:
        return replace(facts(*values), retries=99)

    put(followed_request, "RequestFacts", eager)


def endless_resubmits() -> None:
    def without_end(db: sqlite3.Connection, seq: int, _most: int, at: float) -> str | None:
        return manual_actions.resubmit(db, seq, at)

    put(manual_actions, "resubmit_within", without_end)


def decisions_taken_up_twice() -> None:
    put(decision_log, "get_meta", lambda _db, _key: None)


def no_spare_receipts() -> None:
    put(recovery_log.RecoveryLog, "record", lambda _self, _entry: None)


def urls_are_never_asked_for_again() -> None:
    """A URL that has expired is tried until the file is given up."""
    decide = fetch_decisions.after_fetch

    def stubborn(outcome: Any, facts: Any) -> Any:
        found: Any = decide(outcome, facts)
        again = isinstance(found, fetch_decisions.RenewUrl)
        return fetch_decisions.FetchAgain(found.reason) if again else found

    put(downloads_pool, "after_fetch", stubborn)


def two_live_attempts() -> None:
    """A job is handed out twice, and neither the state nor its schema minds."""
    start = scheduler.Scheduler._start
    seen: set[int] = set()

    async def start_twice(self: Any, queue: Any, now: float) -> None:
        job = queue.take()
        queue.give_back(job)
        await start(self, queue, now)
        if job.seq not in seen:
            seen.add(job.seq)
            queue.give_back(job)

    begin_whatever_the_state_is()
    put(scheduler.Scheduler, "_start", start_twice)


def a_folder_that_is_gone_is_not_missed() -> None:
    put(lost_state, "is_lost", lambda _last, _db: False)


def traces_of_a_lost_state_are_not_looked_for() -> None:
    put(lost_state, "find_traces", lambda _folder, _db, _results: Traces())


def bytes_of_another_run_are_taken_on_trust() -> None:
    take = adopt.adopt

    def trusting(source: Location, expected: VerifiedFile, *rest: Any) -> Any:
        file = Path(source.of(expected.path))
        found = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
        taken = take(source, replace(expected, sha256=found), *rest)
        if not isinstance(taken, Fetched):
            return taken
        return Fetched(replace(taken.file, sha256=expected.sha256))

    put(fetch, "adopt", trusting)


def results_of_other_runs_are_not_looked_for() -> None:
    put(reuse.Finder, "entries", lambda _self, _jobs: {})


MUTATIONS: tuple[Mutation, ...] = (
    a_folder_that_is_gone_is_not_missed,
    traces_of_a_lost_state_are_not_looked_for,
    no_intent_before_the_submit,
    id_used_before_it_is_durable,
    urls_not_durable_before_the_download,
    no_verifying_before_the_rename,
    no_fsync_of_the_file,
    no_fsync_of_the_folder,
    output_folder_not_made_durable,
    state_without_fsync,
    acknowledged_before_the_commit,
    no_lock,
    no_shield_of_the_post,
    late_answers_are_dropped,
    no_budget_reservation,
    dead_submits_are_pending,
    lost_answers_mean_not_sent,
    server_errors_mean_not_sent,
    redirects_of_the_api_are_followed,
    redirects_of_files_go_anywhere,
    no_look_at_the_resolved_address,
    token_sent_to_the_file_hosts,
    no_limit_of_concurrency,
    no_limit_of_the_rate,
    no_distance_kept_at_the_post,
    done_with_the_first_file,
    endless_retries,
    endless_resubmits,
    decisions_taken_up_twice,
    no_spare_receipts,
    urls_are_never_asked_for_again,
    two_live_attempts,
    bytes_of_another_run_are_taken_on_trust,
    results_of_other_runs_are_not_looked_for,
)
