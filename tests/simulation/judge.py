"""The judge: the vendor's ledger and what lies on the disk or in the bucket.

It never asks the engine. Each invariant is a generator of sentences about what broke it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.simulation.bucket_judge import bucket_at_the_end
from tests.simulation.chain import step_of
from tests.simulation.earlier import reuse_at_the_end
from tests.simulation.findings import Finding
from tests.simulation.picking_judge import picks_at_the_end
from tests.simulation.tuning import most_at_once
from tests.simulation.vendor import PRICES, TOKEN, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.night import Night
    from tests.simulation.process import Life
    from tests.simulation.vendor import Charge

MOST_RESUBMITS = 3
MOST_ALIKE = 10
"""Jobs that may be refused in the same words before that is seen; what is on the way comes too."""
ROUNDING = 1e-6
RANK = {"submitting": 1, "queued": 2, "running": 2, "fetching": 3, "done": 4}


def after_life(night: Night, life: Life, told: dict[str, str]) -> Iterator[Finding]:
    """What was told is on the disk, whatever ended the life; the rate was kept."""
    states = night.states()
    for job, state in told.items():
        found = states.get(job, "nothing")
        if state in RANK and RANK.get(found, 9 if found in states.values() else 0) < RANK[state]:
            yield Finding("went back", f"{job} was told to be {state}, and is {found}")
    yield from _let_go(life, states)
    yield from _rate(night, life)
    # An acceptance says that the vendor took what was sent before it, and no more.
    alike = sum(begun > night.vendor.accepted_last for begun in night.vendor.refused_alike)
    if alike > MOST_ALIKE + most_at_once(str(night.scenario.concurrency)):
        yield Finding("burnt", f"{alike} submits in a row were refused in the same words")


def _let_go(life: Life, states: dict[str, str]) -> Iterator[Finding]:
    """A run that ends without a reason has followed each of its requests to the end."""
    if life.cut_at or life.aborted or life.summary is None or life.summary.pause:
        return
    for job, state in states.items():
        if state in {"queued", "running"}:
            yield Finding("let go", f"{job} is {state}, and the run is over")


def at_the_end(night: Night) -> Iterator[Finding]:
    yield from _charges(night)
    yield from _paid_although_there(night)
    yield from _failed_for_nothing(night)
    yield from _lost(night)
    yield from _bytes(night)
    yield from _budget(night)
    yield from _concurrency(night)
    yield from _folder(night)
    yield from _token(night)
    yield from _chain(night)
    yield from picks_at_the_end(night)
    yield from reuse_at_the_end(night)
    if night.photos:
        yield from night.photos.at_the_end()
    if night.bucket:
        yield from bucket_at_the_end(night, night.bucket)


def _charges(night: Night) -> Iterator[Finding]:
    """Promise 1: once, and once more for each leave that a person or the manifest gave."""
    scenario = night.scenario
    by_job: dict[str, list[Charge]] = defaultdict(list)
    for charge in night.vendor.ledger.values():
        by_job[charge.job].append(charge)
    by_manifest = MOST_RESUBMITS if scenario.on_unknown == "resubmit" else 0
    for job, charges in by_job.items():
        ended_badly = sum(
            one.course.end not in {"succeeded", "lost"} or one.cancelled_at <= one.ends
            for one in charges
        )
        # Each leave to submit again brings its own retries with it.
        asked = _asked_again(night, job)
        retried = min(ended_badly, scenario.retries * (1 + asked))
        free = sum(one.course.end == "failed for the balance" for one in charges)
        allowed = 1 + night.person.resubmits[job] + by_manifest + asked + retried + free
        if len(charges) > allowed:
            names = ", ".join(one.id for one in charges)
            yield Finding("duplicate charge", f"{job} has {names}; {allowed} allowed")


def _paid_although_there(night: Night) -> Iterator[Finding]:
    """Who asks for a job again pays for it only where the vendor has no files of it already."""
    by_job: dict[str, list[Charge]] = defaultdict(list)
    for charge in night.vendor.ledger.values():
        by_job[charge.job].append(charge)
    for job, charges in by_job.items():
        for earlier, later in itertools.pairwise(charges):
            if night.picker.leaves[job] or earlier.outdated or not earlier.known:
                continue
            given_up = night.person.resubmits[job] or job in night.person.written_off
            if earlier.also_told and given_up:
                continue  # Two jobs got this id: nobody knows whose it is, so a person decides.
            if earlier.id in night.person.adopted:
                continue  # Nobody knew this id until a person found it.
            if earlier.has_files_at < later.accepted_at:
                words = f"{job} was paid as {later.id}, when {earlier.id} had its files"
                yield Finding("duplicate charge", words)


def _failed_for_nothing(night: Night) -> Iterator[Finding]:
    """A job fails by the vendor's word about it: not by a gateway's, nor for lack of money."""
    ledger = night.vendor.ledger.values()
    unpaid = {one.id for one in ledger if one.course.end == "failed for the balance"}
    # Also of a job that was answered with another one's id: it follows that request.
    to_blame = {
        job
        for one in ledger
        for job in (one.job, *one.also_told)
        if one.id not in unpaid and not (one.succeeds and one.course.files)
    }
    to_blame |= {one.job for one in ledger if one.id not in unpaid and one.has_files_at > night.now}
    given_up = {
        job for (job,) in night.query("SELECT id FROM job WHERE error_code = 'written_off'")
    }
    for job, code in night.query("SELECT id, error_code FROM job WHERE state = 'failed'"):
        if night.photos and night.photos.changes_for(job):
            continue
        if job not in to_blame | night.vendor.blamed | given_up:
            yield Finding("failed for nothing", f"{job}: {code}")


def _asked_again(night: Night, job: str) -> int:
    """How often a person asked for an ended job once more, or gave it another input."""
    return night.person.retries[job] + night.picker.leaves[job] + _retakes(night, job)


def _retakes(night: Night, job: str) -> int:
    if night.photos:
        return night.photos.changes_for(job)
    return night.person.retakes if step_of(job) == "still" else 0


def _lost(night: Night) -> Iterator[Finding]:
    """Promise 2: every charge is in the state with its end, or listed as unknown."""
    rows = night.query(
        "SELECT request_id, outcome, state, job.error_code, id, attempt.model"
        " FROM attempt JOIN job ON seq = job"
    )
    known = {row[0]: row[1:] for row in rows if row[0] is not None}
    unnamed = Counter(
        job
        for request_id, outcome, state, _, job, _ in rows
        if request_id is None
        and (outcome in {"resubmitted", "written_off"} or (outcome is None and state == "unknown"))
    )
    for charge in night.vendor.ledger.values():
        if charge.id not in known:
            unnamed[charge.job] -= 1
            if unnamed[charge.job] < 0:
                yield Finding("lost result", f"{charge.id} of {charge.job} is nowhere in the state")
            continue
        outcome, state, code, job, replaced = known[charge.id]
        waits = state == "lost" or (state, code) in {
            ("unknown", "duplicate_request"),
            ("unknown", "two_requests"),
        }
        # Each run asks again, so what has come by the last one is there.
        set_aside = (state, code) in {("failed", "timeout"), ("failed", "no_files")}
        waits |= set_aside and charge.has_files_at > night.now
        if outcome is None and not waits:
            yield Finding("lost result", f"{charge.id} of {job} is open, and the job is {state}")
        if (replaced and _retakes(night, job)) or night.picker.leaves[job]:
            continue  # A result of another input, or a rejected one: another judge sees to those.
        if outcome == "succeeded" and state != "done" and code != "duplicate_request":
            yield Finding("lost result", f"{charge.id} of {job} was delivered; the job is {state}")
        # A person may give up a request that was held, such as one of two that got the same id.
        given_up = outcome in {None, "written_off", "resubmitted"}
        if charge.has_files_at < night.now and state in {"failed", "lost"} and not given_up:
            yield Finding("lost result", f"{charge.id} of {job} has files; the job is {state}")


def _chain(night: Night) -> Iterator[Finding]:
    """In the end a job is done, failed or blocked, or waits for a person's word."""
    chain, states = night.scenario.chain, night.states()
    if chain is None:
        return
    for words in chain.misplaced(states):
        yield Finding("misplaced", words)
    # Whatever is done has a file, so none of these inputs can ask for one that is not there.
    for job, _ in night.query("SELECT id, 1 FROM job WHERE error_code = 'no_such_output'"):
        yield Finding("need", f"{job} was given up for a result that its need has")


def _bytes(night: Night) -> Iterator[Finding]:
    """Done means that the bytes on the disk are bytes that were served for this very job."""
    ledger = night.vendor.ledger.values()
    made = {picture(name): (name, charge) for charge in ledger for name in charge.names}
    rows = night.query(
        "SELECT job.id, file.path, file.sha256 FROM job"
        " LEFT JOIN file ON file.job = seq AND file.attempt = attempts WHERE state = 'done'"
        " AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = seq AND number = attempts"
        " AND outcome = 'reused')"
    )
    for job, path, digest in rows:
        if path is None:
            yield Finding("lost result", f"{job} is done and has no file")
            continue
        content = night.result(path)
        name, charge = made.get(content, ("", None))
        if charge is None or hashlib.sha256(content).hexdigest() != digest:
            yield Finding("lost result", f"{path} of {job} is not what was served ({len(content)})")
        elif job not in {charge.job, *charge.also_told}:
            yield Finding("crossed files", f"{path} of {job} is {name}, made for {charge.job}")
        elif charge.course.shape != "data" and name not in night.vendor.served:
            yield Finding("lost result", f"{path} of {job} was never served")


def _budget(night: Night) -> Iterator[Finding]:
    spent = 0.0
    # By when it was sent: a slow network may deliver it long after the budget was lowered.
    for charge in sorted(night.vendor.ledger.values(), key=lambda one: one.begun):
        if charge.is_free:
            continue
        spent += PRICES[charge.model]
        budget = max(one.budget for one in night.limits.around(charge.begun))
        if spent > budget + ROUNDING:
            yield Finding("budget", f"{spent:.2f} of {budget:.2f} USD spent")


def _concurrency(night: Night) -> Iterator[Finding]:
    """Of all, and of its model, at each submit: a lower limit ends nothing that is in flight."""
    for begun, model, busy, unanswered in night.vendor.busy:
        known = night.limits.around(begun)
        for name in ("all", model):
            limit = max(one.concurrency[name] for one in known)
            # Those without an answer count, but for the last place: a run must go on.
            most = busy[name] + min(unanswered[name], limit - 1)
            if most > limit:
                yield Finding("concurrency", f"{most} of {limit} for {name}")


def _rate(night: Night, life: Life) -> Iterator[Finding]:
    submits = sorted(night.vendor.submits[life.first_submit :])
    for name in ("all", *PRICES):
        times = [at for at, model in submits if name in {"all", model}]
        for earlier, later in itertools.pairwise(times):
            interval = min(one.interval[name] for one in night.limits.around(later))
            if later - earlier < interval - ROUNDING:
                yield Finding("rate", f"{later - earlier:.4f} s apart, {interval} s at least")


def _folder(night: Night) -> Iterator[Finding]:
    """No file outside the output folder and the user's own, and in it no more than is known."""
    allowed = {night.manifest, *night.root.parents}
    user = night.watched / "user"
    for path in night.place.rglob("*"):
        if path in allowed or path == user or user in path.parents:
            continue
        if night.photos and night.place / "photos" in (path, *path.parents):
            continue
        if night.earlier and night.place / "earlier" in (path, *path.parents):
            continue
        if path == night.root or night.root in path.parents:
            continue
        yield Finding("folder", f"{path.name} lies outside the output folder")
    saved = {path for (path,) in night.query("SELECT path FROM file WHERE path IS NOT NULL")}
    claimed = {name for (name,) in night.query("SELECT name FROM file WHERE path IS NULL")}
    for path in (night.root / "files").glob("*"):
        name = path.relative_to(night.root).as_posix()
        stem = path.name.split(".")[0]
        if name not in saved and stem not in claimed and not path.name.startswith(".writable"):
            yield Finding("folder", f"{name} belongs to nobody")


def _token(night: Night) -> Iterator[Finding]:
    for leak in night.vendor.leaks:
        yield Finding("token", f"sent with {leak}")
    for host in night.vendor.strangers:
        yield Finding("stranger", f"asked {host}")
    for path in night.root.rglob("*"):
        if path.is_file() and TOKEN.encode() in path.read_bytes():
            yield Finding("token", f"stands in {path.name}")
