"""How long the state's questions take when it is big.

    python -m tests.benchmarks.big_state [--jobs 1000000] [--folder FOLDER]

A manifest of so many jobs is staged and taken up, then all are done by SQL, an attempt and a file
each; seconds of each step and question follow. The last one cancels every job of a state, each by
its own line in decisions.jsonl. The folder, if given, is kept.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from batchgen.jobs import Job, JobState, canonical_json
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import Counted, decide
from batchgen.runs.folder import RunFolder
from batchgen.runs.ingest import PAGE
from batchgen.state import manual_actions, queries
from batchgen.state.appending import append_jobs
from batchgen.state.causes import cause_key
from batchgen.state.database import open_for_writing, reading, transaction
from batchgen.state.due import blocked_jobs
from batchgen.state.planned import Wishes, foreseen
from batchgen.state.reconcile import OnChanged, merge
from batchgen.state.report_queries import signatures
from batchgen.state.selection import Selection, note_attempted, note_down, note_first
from batchgen.state.staging import Staging, open_staging

MODELS = ("bytedance/dreamina-4-0/text-to-image", "bytedance/dreamina-4-0/edit")
EVERYTHING = Selection()

_DONE = """
    BEGIN;
    INSERT INTO attempt (job, number, body_sha256, price, submitted_at, request_id, accepted_at,
        answer, result, cost, ended_at, outcome)
    SELECT seq, 1, hex(randomblob(32)), 0.03, 1000.0 + seq, lower(hex(randomblob(16))),
        1001.0 + seq, '{"request_id": "as above"}', '{"status": "completed"}', 0.03,
        1060.0 + seq, 'succeeded' FROM job;
    INSERT INTO file (job, attempt, position, url, name, name_key, path, bytes, sha256, media_type,
        width, height, verified_at)
    SELECT seq, 1, 1, 'https://results.example/' || id || '.png', name, name_key,
        'files/' || name || '.png', 1000000, hex(randomblob(32)), 'image/png', 2048, 2048,
        1070.0 + seq FROM job;
    UPDATE job SET state = 'done', attempts = 1;
    COMMIT;
"""


@contextmanager
def timed(what: str) -> Iterator[None]:
    began, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{what:34} {wall:8.3f} s  {cpu:8.3f} s CPU  peak {peak} MiB", flush=True)


def jobs(count: int) -> Iterator[Job]:
    body = canonical_json({"prompt": "A harbour at dawn, watercolour " * 4, "size": "2048x2048"})
    for number in range(count):
        model = MODELS[number % 10 == 0]
        name = f"poster-{number:07}"
        yield Job(name, model, body, name, ("sea",), number, "posters.jsonl", 0, "poster")


def stage(staging: Staging, count: int) -> None:
    for job in jobs(count):
        staging.add(job)
    staging.finish()


def take_up(path: Path, count: int) -> None:
    """What a streamed first run asks with every page of jobs: all of them stay pending."""
    with closing(open_for_writing(path)) as db, timed("taken up page by page"):
        known: frozenset[str] = frozenset()
        rest = jobs(count)
        while page := list(islice(rest, PAGE)):
            with transaction(db):
                assert append_jobs(db, page) == []
            known |= {*queries.pending_models(db, None, known)}
            queries.unproven_sweeps(db)
            blocked_jobs(db)
            for model in MODELS:
                queries.due_page(db, model, EVERYTHING, None, 200)


def drain(rows: Iterable[object]) -> None:
    deque(rows, maxlen=0)


def ask(db: sqlite3.Connection) -> None:
    """What `status` and the start of a run ask."""
    questions: tuple[tuple[str, Callable[[], object]], ...] = (
        ("counts", lambda: queries.counts(db)),
        ("money", lambda: queries.money(db)),
        ("failures", lambda: queries.failures(db, 10)),
        ("unknown", lambda: drain(queries.select_jobs(db, EVERYTHING, (JobState.UNKNOWN,)))),
        ("select_any", lambda: queries.select_any(db, EVERYTHING)),
        ("pending_models", lambda: queries.pending_models(db)),
        ("visible_models", lambda: queries.visible_models(db)),
        ("cancels_due", lambda: queries.cancels_due(db)),
        ("fetching", lambda: queries.fetching(db)),
        ("live_requests", lambda: queries.live_requests(db)),
        ("unproven_sweeps", lambda: queries.unproven_sweeps(db)),
        ("due_page", lambda: queries.due_page(db, MODELS[0], EVERYTHING, (0, False, 9), 200)),
        ("note_first", lambda: note_first(db, EVERYTHING, 100)),
        ("expected_seconds", lambda: queries.expected_seconds(db, MODELS[0])),
        ("watch: what moved", lambda: signatures(db)),
        ("select one model", lambda: queries.select_any(db, Selection(models=("nobody*",)))),
    )
    for what, question in questions:
        with timed(f"  {what}"):
            question()


CAUSES = 300

_FAILED = f"""
    UPDATE job SET state = 'failed', error_code = 'policy', error = 'job ' || id
        || ': refused in request ' || lower(hex(randomblob(16))) || ', https://x.example/' || seq
        || ', word ' || char(97 + seq % {CAUSES} / 26, 97 + seq % 26)
"""


def ask_by_cause(db: sqlite3.Connection) -> None:
    """What `status --cause` asks of a state in which nothing is done."""
    job = db.execute("SELECT id, state, error_code, error FROM job LIMIT 1").fetchone()
    cause = Selection(causes=(cause_key(*job),))
    with timed("  select by cause"):
        drain(queries.select_jobs(db, cause, (JobState.FAILED,)))
    with timed("  counts, failures by cause"):
        queries.counts(db, cause)
        queries.failures(db, 10, cause)
    with timed("  failures"):
        queries.failures(db, 10)


def retry(db: sqlite3.Connection, one: Selection) -> None:
    """As a run begins, once the manifest is compared; nothing of it is kept."""
    with rolled_back(db):
        with timed("  note_attempted, note_down"):
            note_attempted(db, one)
            noted = note_down(db, one)
        again = manual_actions.may_go_again()
        with timed("  note_first"):
            note_first(db, noted, 100, again)
        noted = note_down(db, one)
        with timed("  retry_selected"):
            manual_actions.retry_selected(db, noted, again)


@contextmanager
def rolled_back(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN")
    yield
    db.execute("ROLLBACK")


def begin(db: sqlite3.Connection) -> None:
    with timed("  settle_dead_run, reopen"):
        manual_actions.settle_dead_run(db, 1.0)
        manual_actions.reopen(db)
    with timed("  retry_selected"):
        manual_actions.retry_selected(db, EVERYTHING, manual_actions.may_go_again())


def cancel_all(folder: RunFolder) -> None:
    """As `batchgen cancel` does where no run is in progress."""
    with timed("cancel all"), reading(folder.state) as db:
        jobs = queries.select_jobs(db, EVERYTHING, (JobState.PENDING,))
        decisions = Counted(Decision(Verb.CANCEL, job_id, 1.0) for _, job_id, _ in jobs)
        with decide(folder, folder.root / "m.yaml", decisions) as decided:
            assert decided is not None
            assert sum(1 for _ in decided.applied) == decisions.count


def plan(db: sqlite3.Connection, staging: Staging, path: Path, wishes: Wishes) -> None:
    with timed("  plan in all"), foreseen(db, staging, path, wishes) as outlook:
        with timed("  counts"):
            outlook.counts()
        with timed("  changed"):
            outlook.changed(100)
        with timed("  orphans"):
            outlook.orphans(100)


def measure(path: Path, count: int) -> None:
    streamed = RunFolder(path.with_name("streamed"))
    streamed.create()
    take_up(streamed.state, count)
    with open_staging() as staging:
        with timed("stage"):
            stage(staging, count)
        with timed("duplicates, missing, cycles"):
            found = (staging.duplicates(9), staging.missing_needs(9), staging.need_cycles(9))
            assert found == ([], [], [])
        with closing(open_for_writing(path)) as db:
            with timed("first merge"):
                merge(db, staging, path, OnChanged.REFUSE)
            print("all pending")
            ask(db)
            with timed("all are done, by SQL"):
                db.executescript(_DONE)
            with timed("the same merge again"):
                merge(db, staging, path, OnChanged.REFUSE)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with timed("open for writing"):
            open_for_writing(path).close()
        with reading(path) as db:
            print("all done")
            ask(db)
            plan(db, staging, path, Wishes())
        with closing(open_for_writing(path)) as db:
            begin(db)
            with timed("all fail, by SQL"):
                db.execute(_FAILED)
            print("all failed")
            ask(db)
            ask_by_cause(db)
            plan(db, staging, path, Wishes())
            (largest,) = queries.failures(db, 1).causes
            for key in (largest.key, f"!{largest.key}"):
                print(f"retry --cause '{key}'")
                one = Selection(causes=(key,))
                plan(db, staging, path, Wishes(one, retry_failed=True))
                retry(db, one)
    cancel_all(streamed)
    print(f"{path.stat().st_size / 1e6:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        measure(folder / "state.db", options.jobs)


if __name__ == "__main__":
    main()
