"""Safeguards of results in a bucket, each switched off by a function of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchgen.downloads import adopt, fetch, part, storing, verified_part
from batchgen.downloads.outcomes import Fetched, NotStored
from batchgen.engine import downloads_pool, fetch_decisions
from batchgen.runs import result_bucket, startup
from batchgen.storage.buckets import BucketResults
from tests.simulation.bucket_client import is_a_bucket_used
from tests.simulation.mutating import Mutation, beside, put


def done_before_the_bucket_has_acknowledged() -> None:
    store = storing.Storing.store

    async def at_once(self: Any, fetched: Fetched, source: Path, *rest: Any) -> Fetched:
        # The bytes are kept: what is wrong is the order alone.
        kept = source.with_name(f"{source.name}.kept")
        _copy(source, kept)

        async def later() -> None:
            await store(self, fetched, kept, *rest)
            kept.unlink()

        beside(later)
        return fetched

    put(storing.Storing, "store", at_once)


def _copy(source: Path, kept: Path) -> None:
    kept.write_bytes(source.read_bytes())


def no_answer_of_the_bucket_is_as_good_as_one() -> None:
    store = storing.Storing.store

    async def hopeful(self: Any, fetched: Fetched, *rest: Any) -> Fetched:
        await store(self, fetched, *rest)
        return fetched

    put(storing.Storing, "store", hopeful)


def an_object_of_that_name_counts_as_ours() -> None:
    put(BucketResults, "_settle", lambda *_: None)


def foreign_objects_are_overwritten() -> None:
    def over(self: Any, file: Path, path: str, facts: Any) -> None:
        self._put(file, path, facts, is_new=False)

    put(BucketResults, "_create", over)


def what_is_there_already_is_refused() -> None:
    """An answer was lost, and the next try finds its own object."""
    settle = BucketResults._settle

    def strict(self: Any, file: Path, path: str, facts: Any) -> None:
        settle(self, file, path, replace(facts, sha256="", request=""))

    put(BucketResults, "_settle", strict)


def the_part_is_removed_before_it_is_stored() -> None:
    async def careless(self: Any, outcome: Any, one: Any, target: Any) -> Any:
        found = await durable(self, outcome, one, target)
        if isinstance(found, NotStored):
            one.discard()
        return found

    durable = fetch.Downloader._durable
    put(fetch.Downloader, "_durable", careless)


def the_part_stays_when_it_is_stored() -> None:
    put(part.Part, "discard", lambda self: self.close())


def its_removal_is_not_made_durable() -> None:
    sync = part.FolderSync.sync

    async def for_folders(self: Any, path: Path, root: Path) -> None:
        if not is_a_bucket_used():
            await sync(self, path, root)

    put(part.FolderSync, "sync", for_folders)


def a_verified_part_is_not_looked_for() -> None:
    put(part.Part, "verified", lambda _self: None)


def the_bytes_of_a_verified_part_are_not_compared() -> None:
    def trusting(self: Any) -> Fetched | None:
        try:
            return verified_part.parse_record(self._read_sidecar(), self._target)
        except FileNotFoundError:
            return None

    put(part.Part, "verified", trusting)


def half_uploads_stay() -> None:
    put(BucketResults, "remove_half_uploads", lambda *_: 0)


def half_uploads_of_the_list_stay() -> None:
    remove = BucketResults.remove_half_uploads

    def of_results(self: Any, before: float, below: str = "files/") -> int:
        return remove(self, before, below) if below == "files/" else 0

    put(BucketResults, "remove_half_uploads", of_results)


def a_busy_bucket_is_the_fault_of_the_file() -> None:
    decide = fetch_decisions.after_fetch

    def blaming(outcome: Any, facts: Any) -> Any:
        if isinstance(outcome, NotStored):
            return fetch_decisions.GiveUp("corrupt", outcome.reason)
        return decide(outcome, facts)

    put(downloads_pool, "after_fetch", blaming)


def a_bucket_that_refuses_pauses_nothing() -> None:
    put(downloads_pool.DownloadPool, "_pause_for_bucket", lambda *_: None)


def the_prefix_is_not_claimed() -> None:
    put(startup, "claim_prefix", lambda _context, _db: None)


def the_claim_of_another_run_is_not_read() -> None:
    put(result_bucket, "read_claim", _as_ours)
    put(result_bucket, "known_run_id", lambda _db: "ours")


def _as_ours(_location: object) -> Mapping[str, str]:
    return {"run": "ours"}


def the_list_is_not_copied() -> None:
    put(BucketResults, "put_lines", lambda _self, _file, _path: None)


def reused_bytes_stay_here_too() -> None:
    taken = adopt.reused_part
    put(fetch, "reused_part", lambda target: _second_name(taken(target)))


def _second_name(path: Path) -> Path:
    other = path.with_name(f"{path.name}.2")
    if path.exists():
        other.write_bytes(path.read_bytes())
    return other


MUTATIONS: tuple[Mutation, ...] = (
    done_before_the_bucket_has_acknowledged,
    no_answer_of_the_bucket_is_as_good_as_one,
    an_object_of_that_name_counts_as_ours,
    foreign_objects_are_overwritten,
    what_is_there_already_is_refused,
    the_part_is_removed_before_it_is_stored,
    the_part_stays_when_it_is_stored,
    its_removal_is_not_made_durable,
    a_verified_part_is_not_looked_for,
    the_bytes_of_a_verified_part_are_not_compared,
    half_uploads_stay,
    half_uploads_of_the_list_stay,
    a_busy_bucket_is_the_fault_of_the_file,
    a_bucket_that_refuses_pauses_nothing,
    the_prefix_is_not_claimed,
    the_claim_of_another_run_is_not_read,
    the_list_is_not_copied,
    reused_bytes_stay_here_too,
)
