"""`python -m tests.simulation.mutants`: each safeguard is switched off, and the judge must notice.

A mutant is a change made to the program in a process of its own. Seeds are played until one of
them has a finding; a mutant that none notices is a safeguard that nothing proves.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import click
from yarl import URL

from batchgen.downloads import addresses, fetch, folder_sync, hosts, part
from batchgen.downloads.formats import Media, MediaKind
from batchgen.engine import budget, limits, scheduler, submitting, verdicts, wire
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.runcomfy import client, submit_answer
from batchgen.runcomfy.outcomes import NotSent
from batchgen.runs import carry_out, decisions, engine_policy, folder, receipts
from batchgen.state import database, files, moves, people, steps, store
from tests.simulation import shim
from tests.simulation.campaign import play_seed
from tests.simulation.vendor import TOKEN

if TYPE_CHECKING:
    import sqlite3

Mutation: TypeAlias = Callable[[], None]
MOST_SEEDS = 3000


def no_intent_before_the_submit() -> None:
    """The POST goes out while its intent is still on its way to the disk."""
    begin = store.Store.begin_attempt

    async def at_once(self: Any, job: Any, price: float | None) -> int:
        number = await self.run(_next_number, job.seq)
        _beside(partial(begin, self, job, price))
        return int(number)

    _set(store.Store, "begin_attempt", at_once)


def _next_number(db: sqlite3.Connection, seq: int) -> int:
    return int(db.execute("SELECT attempts + 1 FROM job WHERE seq = ?", (seq,)).fetchone()[0])


def id_used_before_it_is_durable() -> None:
    accepted = store.Store.accepted

    async def at_once(self: Any, *args: Any) -> moves.Acceptance:
        _beside(partial(accepted, self, *args))
        return moves.Acceptance(queued=True)

    _set(store.Store, "accepted", at_once)


def urls_not_durable_before_the_download() -> None:
    delivered = store.Store.delivered

    async def at_once(self: Any, *args: Any) -> bool:
        _beside(partial(delivered, self, *args))
        return True

    _set(store.Store, "delivered", at_once)


def no_verifying_before_the_rename() -> None:
    media = Media(MediaKind.IMAGE, "image/png", ".png", 2, 2, None, 1)
    _set(part, "decode", lambda _file: media)


def no_fsync_of_the_file() -> None:
    _set(part.Part, "_sync", lambda _self, _file: None)


def no_fsync_of_the_folder() -> None:
    _set(folder_sync.FolderSync, "_sync", lambda *_: None)


def output_folder_not_made_durable() -> None:
    _set(folder, "_make_durable", lambda _root: None)


def state_without_fsync() -> None:
    configure = database._configure

    def without(connection: sqlite3.Connection) -> None:
        configure(connection)
        connection.execute("PRAGMA synchronous = OFF")

    _set(database, "_configure", without)


def acknowledged_before_the_commit() -> None:
    """`PRAGMA synchronous = NORMAL`: in WAL mode a commit returns before its fsync."""
    configure = database._configure

    def without(connection: sqlite3.Connection) -> None:
        configure(connection)
        connection.execute("PRAGMA synchronous = NORMAL")

    _set(database, "_configure", without)


def no_lock() -> None:
    _set(carry_out, "locked", lambda _folder: nullcontext())


def no_shield_of_the_post() -> None:
    async def cut_off(self: Any) -> list[Exception]:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return []

    _set(wire.Wire, "_last_answers", cut_off)


def late_answers_are_dropped() -> None:
    async def not_at_all(_self: Any, _post: Any) -> None:
        return None

    _set(submitting.Submitter, "_wait_for_late_answer", not_at_all)


def no_budget_reservation() -> None:
    _set(budget.Budget, "reserve", lambda _self, _seq, _price: True)


def dead_submits_are_pending() -> None:
    def forgive(db: sqlite3.Connection) -> int:
        db.execute(
            "UPDATE attempt SET outcome = 'not_sent', ended_at = 0 WHERE outcome IS NULL"
            " AND EXISTS (SELECT 1 FROM job WHERE seq = job AND state = 'submitting')"
        )
        return db.execute("UPDATE job SET state = 'pending' WHERE state = 'submitting'").rowcount

    _set(people, "settle_dead_run", forgive)


def lost_answers_mean_not_sent() -> None:
    _set(client, "trouble_of", lambda exc: NotSent(type(exc).__name__))


def server_errors_mean_not_sent() -> None:
    read = submit_answer.read_submit

    def lenient(answer: Any) -> Any:
        return NotSent("5xx") if answer.status in {408, 500, 502} else read(answer)

    _set(client, "read_submit", lenient)


def redirects_of_the_api_are_followed() -> None:
    request = aiohttp.ClientSession._request

    async def following(self: Any, method: str, url: Any, **more: Any) -> Any:
        return await request(self, method, url, **{**more, "allow_redirects": True})

    _set(aiohttp.ClientSession, "_request", following)


def redirects_of_files_go_anywhere() -> None:
    def anywhere(_self: Any, _url: URL, location: str) -> URL:
        return URL(location)

    _set(hosts.AllowedHosts, "follow", anywhere)


def no_look_at_the_resolved_address() -> None:
    _set(addresses.PublicResolver, "_may_connect", lambda *_: True)


def token_sent_to_the_file_hosts() -> None:
    _set(fetch, "HEADERS", {**fetch.HEADERS, "Authorization": f"Bearer {TOKEN}"})


def no_limit_of_concurrency() -> None:
    _set(limits.Gate, "opening", lambda self, now: max(now, self.next_start, self.shut_until))


def no_limit_of_the_rate() -> None:
    _set(limits.Gate, "enter", lambda self, _now: setattr(self, "in_flight", self.in_flight + 1))
    _set(submitting, "claim_sending", lambda _gates, now: now)


def no_distance_kept_at_the_post() -> None:
    _set(submitting, "claim_sending", lambda _gates, now: now)


def done_with_the_first_file() -> None:
    verified = files.verified

    def early(db: sqlite3.Connection, file_id: int, file: Any, at: float) -> Any:
        found = verified(db, file_id, file, at)
        (seq,) = db.execute("SELECT job FROM file WHERE id = ?", (file_id,)).fetchone()
        return replace(found, done=steps.move(db, seq, JobState.DONE))

    _set(files, "verified", early)


def endless_retries() -> None:
    facts = verdicts.RequestFacts

    def eager(age: float, grace: float, missing: int, failures: int, _retries: int) -> Any:
        return facts(age, grace, missing, failures, 99)

    _set(sys.modules["batchgen.engine.following"], "RequestFacts", eager)


def endless_resubmits() -> None:
    _set(engine_policy, "MOST_RESUBMITS", 99)


def decisions_taken_up_twice() -> None:
    _set(decisions, "get_meta", lambda _db, _key: None)


def no_spare_receipts() -> None:
    _set(receipts.SpareReceipts, "keep", lambda _self, _receipt: None)


def two_live_attempts() -> None:
    """A job is handed out twice, and neither the state nor its schema minds."""
    begin = moves.begin_attempt

    def begin_anyway(db: sqlite3.Connection, seq: int, *rest: Any) -> int | None:
        db.execute("DROP INDEX IF EXISTS one_open_attempt")
        db.execute("UPDATE job SET state = 'pending' WHERE seq = ?", (seq,))
        return begin(db, seq, *rest)

    start = scheduler.Scheduler._start

    async def start_twice(self: Any, track: Any, now: float) -> None:
        job = track.jobs.take()
        track.jobs.put_back(job)
        await start(self, track, now)
        if job.seq not in self._cancels:
            self._cancels.add(job.seq)
            track.jobs.put_back(job)

    _set(moves, "begin_attempt", begin_anyway)
    _set(scheduler.Scheduler, "_start", start_twice)


MUTANTS: tuple[Mutation, ...] = (
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
    two_live_attempts,
)

_TASKS: set[asyncio.Task[Any]] = set()


def _beside(work: Any) -> None:
    """Do it a moment later, and let nobody wait for it."""

    async def later() -> None:
        with suppress(BatchgenError):
            await asyncio.sleep(0.5)
            await work()

    task = asyncio.get_running_loop().create_task(later(), name="beside")
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


def _set(owner: Any, name: str, value: object) -> None:
    """Put `value` in the place of something that is there: a mutant of nothing proves nothing."""
    assert hasattr(owner, name), f"{owner} has no {name}"
    setattr(owner, name, value)


def hunt(name: str, most: int) -> tuple[str, int | None, str]:
    """Play seeds with this mutant, in a process of its own; which seed notices first, and how."""
    # A program without its safeguards complains in many ways; only the judge's word counts.
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until this process ends
    os.dup2(sys.stderr.fileno(), 2)
    next(mutant for mutant in MUTANTS if mutant.__name__ == name)()
    for seed in range(most):
        findings = play_seed(seed).findings
        if findings:
            return name, seed, str(findings[0][1]).splitlines()[0]
    return name, None, "nobody noticed"


@click.command()
@click.option("--only", help="One mutant by its name.")
@click.option("--seeds", default=MOST_SEEDS, show_default=True, help="How many seeds at most.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
def main(only: str | None, seeds: int, processes: int) -> None:
    """Switch off one safeguard after the other. Exit 1 where the simulation notices one not."""
    names = [mutant.__name__ for mutant in MUTANTS if only in {None, mutant.__name__}]
    caught = 0
    # A process is mutated once and for all: each serves one mutant.
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        for name, seed, how in pool.imap(partial(hunt, most=seeds), names, chunksize=1):
            caught += seed is not None
            place = f"seed {seed}" if seed is not None else "NOT CAUGHT"
            click.echo(f"{name.replace('_', ' '):42} {place:10} {how[:100]}")
    click.echo(f"{caught} of {len(names)} mutants caught")
    sys.exit(0 if caught == len(names) else 1)


if __name__ == "__main__":
    shim.run_again_with_shim(["-m", "tests.simulation.mutants", *sys.argv[1:]])
    main()
