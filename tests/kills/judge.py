"""The judge. Pure: reads what the vendor charged and served, and what the run left; asks nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from tests.kills.memory import Memory


class Rule(Enum):
    """What must never happen."""

    EARLY = "submitted before what it needs was there and approved"
    DUPLICATE = "charged more often than a person approved"
    LOST = "a paid result is lost"
    UNSETTLED = "not settled"
    FORGOTTEN = "forgot what was on the disk"
    WIRE = "more unknown than submits on the wire"
    STRAY = "a file that should not be there"
    METADATA = "metadata.jsonl disagrees"
    TOKEN = "the token was written or sent elsewhere"
    EXIT_CODE = "an exit code that the manual does not give for it"


@dataclass(frozen=True, slots=True)
class Violation:
    """`job` is empty where the rule is not about one."""

    rule: Rule
    job: str
    what: str


@dataclass(frozen=True, slots=True)
class Charge:
    """A line of the vendor's ledger. `served` are the SHA-256 of its files, in order.

    `images` are the URLs of its input.
    """

    request_id: str
    job: str
    status: str
    served: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the judge reads when a round has ended.

    `approved` counts the submits that a person allowed beyond the first, by job: resubmits, and
    retries of rejected results. `disk` has the SHA-256 of each file below the run's folder `files`,
    by its path from the run's folder. `metadata` are the pairs of file_name and sha256. `strays`
    are files where none belongs; `token_in` those that hold the token, and `token_leaks` counts the
    downloads that carried it. `needs` says which job a job needs; `said` has, for those requests of
    `gated` jobs that a person approved, how many charges there were when the word was given.
    `charges` are in the order in which they were made.
    """

    jobs: frozenset[str]
    charges: tuple[Charge, ...]
    memory: Memory
    approved: Mapping[str, int]
    disk: Mapping[str, str]
    metadata: tuple[tuple[str, str], ...]
    strays: tuple[str, ...] = ()
    token_in: tuple[str, ...] = ()
    token_leaks: int = 0
    needs: Mapping[str, str] = field(default_factory=dict)
    gated: frozenset[str] = frozenset()
    said: Mapping[str, int] = field(default_factory=dict)
    files_of: Mapping[str, Mapping[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        by_job: dict[str, dict[str, str]] = {}
        for file in self.memory.files:
            by_job.setdefault(file.job, {})[file.path] = file.sha256
        object.__setattr__(self, "files_of", by_job)


def judge(found: Evidence) -> list[Violation]:
    """Every violation, the costly ones first."""
    return [
        *double_charges(found),
        *early_charges(found),
        *lost_charges(found),
        *lost_files(found),
        *unsettled(found),
        *disorder(found),
    ]


def excess_charges(found: Evidence) -> Counter[str]:
    """Charges of each job beyond the first and those that a person approved."""
    counts = Counter(charge.job for charge in found.charges)
    allowed = {job: 1 + found.approved.get(job, 0) for job in counts}
    return Counter({job: n - allowed[job] for job, n in counts.items() if n > allowed[job]})


def double_charges(found: Evidence) -> Iterator[Violation]:
    for job, excess in excess_charges(found).items():
        yield Violation(Rule.DUPLICATE, job, f"{excess} too many")


def early_charges(found: Evidence) -> Iterator[Violation]:
    """Who needs a job is submitted with a URL of its result, and after a person's word about it."""
    job_of = {charge.request_id: charge.job for charge in found.charges}
    for number, charge in enumerate(found.charges):
        needed = found.needs.get(charge.job)
        if needed is None:
            continue
        used = {one for url in charge.images if job_of.get(one := request_of(url)) == needed}
        approved = {one for one in used if found.said.get(one, number + 1) <= number}
        if needed in found.gated and used != approved:
            yield Violation(Rule.EARLY, charge.job, f"nobody had approved {needed}")
        if not used:
            words = f"its input is no result of {needed}: {', '.join(charge.images)}"
            yield Violation(Rule.EARLY, charge.job, words)


def request_of(url: str) -> str:
    """The request that a URL of the vendor's file store stands for: `…/files/REQUEST/1.png`."""
    return urlsplit(url).path.split("/")[-2]


def lost_charges(found: Evidence) -> Iterator[Violation]:
    """A charge has an end in the state, or stands behind an attempt that a person gave up."""
    outcomes = {one.request_id: one.outcome for one in found.memory.attempts if one.request_id}
    given_up = Counter(
        one.job
        for one in found.memory.attempts
        if one.request_id is None and one.outcome == "resubmitted"
    )
    for charge in found.charges:
        if charge.request_id in outcomes:
            outcome = outcomes[charge.request_id]
            if outcome != charge.status:
                words = f"request {charge.request_id} {charge.status}, the state says {outcome}"
                yield Violation(Rule.LOST, charge.job, words)
        elif given_up[charge.job]:
            given_up[charge.job] -= 1
        else:
            words = f"the state knows nothing of request {charge.request_id}"
            yield Violation(Rule.LOST, charge.job, words)


def lost_files(found: Evidence) -> Iterator[Violation]:
    """Of each delivered request that the state knows, the bytes served are the bytes on disk."""
    known = found.memory.request_ids
    for charge in found.charges:
        if charge.request_id not in known or charge.status != "succeeded":
            continue
        kept = [one for one in found.memory.files if one.request_id == charge.request_id]
        on_disk = Counter(found.disk.get(one.path, f"{one.path} is missing") for one in kept)
        served = Counter(charge.served)
        if not served or on_disk != served:
            yield Violation(Rule.LOST, charge.job, f"served {served}, on disk {on_disk}")
        if Counter(one.sha256 for one in kept) != served:
            yield Violation(Rule.LOST, charge.job, f"served {served}, the state has others")


def unsettled(found: Evidence) -> Iterator[Violation]:
    """The faults have stopped: each job is done, or failed because the vendor failed it.

    A job that needs a failed one is blocked.
    """
    failed = {charge.job for charge in found.charges if charge.status == "failed"}
    for job in sorted(found.jobs):
        state = found.memory.states.get(job, "not in the state")
        if state == "done" and found.files_of.get(job):
            continue
        needed = found.memory.states.get(found.needs.get(job, ""))
        if state == "blocked" and needed in {"failed", "blocked"}:
            continue
        if state != "failed" or job not in failed:
            yield Violation(Rule.UNSETTLED, job, f"is {state}")


def disorder(found: Evidence) -> Iterator[Violation]:
    named = {file.path for file in found.memory.files}
    for path in sorted({*found.strays, *(found.disk.keys() - named)}):
        yield Violation(Rule.STRAY, "", path)
    expected = Counter((file.path, file.sha256) for file in found.memory.files)
    if Counter(found.metadata) != expected:
        words = f"{len(found.metadata)} lines for {expected.total()} files"
        yield Violation(Rule.METADATA, "", words)
    for path in found.token_in:
        yield Violation(Rule.TOKEN, "", f"in {path}")
    if found.token_leaks:
        yield Violation(Rule.TOKEN, "", f"{found.token_leaks} downloads carried it")


def after_a_kill(
    before: Memory, after: Memory, concurrency: int, again: Collection[str] = ()
) -> Iterator[Violation]:
    """A kill takes no more than the submits on the wire, and nothing that was known before.

    Only jobs `again`, rejected ones of a retry, may be on their way once more.
    """
    fresh = after.on_the_wire - before.on_the_wire
    if len(fresh) > concurrency:
        yield Violation(Rule.WIRE, "", f"{len(fresh)} with a concurrency of {concurrency}")
    for request_id in sorted(before.request_ids - after.request_ids):
        yield Violation(Rule.FORGOTTEN, "", f"request {request_id}")
    for job in before.jobs_in("done", "failed"):
        if job not in again and after.states.get(job) != before.states[job]:
            words = f"was {before.states[job]}, is {after.states.get(job)}"
            yield Violation(Rule.FORGOTTEN, job, words)


def after_a_run(
    code: int,
    memory: Memory,
    chosen: Collection[str] | None = None,
    *,
    in_bucket: bool = False,
) -> Iterator[Violation]:
    """A run that ended by itself: its exit code says how things stand, `chosen` jobs above all."""
    states = Counter(memory.states.values())
    asked = memory.states if chosen is None else chosen
    left = {memory.states[job] for job in asked} - {"done", "failed", "blocked"}
    fitting = {
        0: all(memory.states[job] == "done" for job in asked),
        1: not left and states["failed"] > 0,
        # A bucket that refuses again and again.
        69: in_bucket and bool(left),
        75: bool(states.keys() - {"done", "failed", "blocked"}),
        76: states["unknown"] > 0,
    }
    if not fitting.get(code, False):
        yield Violation(Rule.EXIT_CODE, "", f"run ended with {code}; jobs: {dict(states)}")
