"""The judge: the vendor's ledger and what lies on the disk. It never asks the engine.

Each invariant is a generator of sentences about what broke it.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.simulation.chain import step_of
from tests.simulation.findings import Finding
from tests.simulation.picking_judge import picks_at_the_end
from tests.simulation.vendor import PRICES, TOKEN, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.night import Night
    from tests.simulation.process import Life
    from tests.simulation.vendor import Charge

MOST_RESUBMITS = 3
ROUNDING = 1e-6
RANK = {"submitting": 1, "queued": 2, "running": 2, "fetching": 3, "done": 4}


def after_life(night: Night, life: Life, told: dict[str, str]) -> Iterator[Finding]:
    """What was told is on the disk, whatever ended the life; the rate was kept."""
    states = night.states()
    for job, state in told.items():
        found = states.get(job, "nothing")
        if state in RANK and RANK.get(found, 9 if found in states.values() else 0) < RANK[state]:
            yield Finding("went back", f"{job} was told to be {state}, and is {found}")
    yield from _rate(night, life)


def at_the_end(night: Night) -> Iterator[Finding]:
    yield from _charges(night)
    yield from _lost(night)
    yield from _bytes(night)
    yield from _budget(night)
    yield from _concurrency(night)
    yield from _folder(night)
    yield from _token(night)
    yield from _chain(night)
    yield from picks_at_the_end(night)


def _charges(night: Night) -> Iterator[Finding]:
    """Promise 1: once, and once more for each leave that a person or the manifest gave."""
    scenario = night.scenario
    by_job: dict[str, list[Charge]] = defaultdict(list)
    for charge in night.vendor.ledger.values():
        by_job[charge.job].append(charge)
    by_manifest = MOST_RESUBMITS if scenario.on_unknown == "resubmit" else 0
    for job, charges in by_job.items():
        ended_badly = sum(
            one.course.end in {"failed", "cancelled"} or one.cancelled_at <= one.ends
            for one in charges
        )
        # Each leave to submit again brings its own retries with it.
        asked = _asked_again(night, job)
        retried = min(ended_badly, scenario.retries * (1 + asked))
        allowed = 1 + night.person.resubmits[job] + by_manifest + asked + retried
        if len(charges) > allowed:
            names = ", ".join(one.id for one in charges)
            yield Finding("duplicate charge", f"{job} has {names}; {allowed} allowed")


def _asked_again(night: Night, job: str) -> int:
    """How often a person asked for an ended job once more, or gave it another input."""
    return night.person.retries[job] + night.picker.leaves[job] + _retakes(night, job)


def _retakes(night: Night, job: str) -> int:
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
            ("failed", "timeout"),
            ("failed", "no_files"),
            ("unknown", "duplicate_request"),
            ("unknown", "two_requests"),
        }
        if outcome is None and not waits:
            yield Finding("lost result", f"{charge.id} of {job} is open, and the job is {state}")
        if (replaced and _retakes(night, job)) or night.picker.leaves[job]:
            continue  # A result of another input, or a rejected one: another judge sees to those.
        if outcome == "succeeded" and state != "done" and code != "duplicate_request":
            yield Finding("lost result", f"{charge.id} of {job} was delivered; the job is {state}")


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
    """Done means that the bytes on the disk are the bytes that were served."""
    rows = night.query(
        "SELECT job.id, state, file.path, file.sha256, url FROM job"
        " LEFT JOIN file ON file.job = seq AND file.attempt = attempts WHERE state = 'done'"
    )
    for job, _, path, digest, url in rows:
        if path is None or url is None:
            yield Finding("lost result", f"{job} is done and has no file")
            continue
        key = "/".join(url.split("?")[0].split("/")[-2:])
        file = night.root / path
        content = file.read_bytes() if file.is_file() else b""
        if content != picture(key) or night.vendor.served.get(key) != digest:
            yield Finding("lost result", f"{path} of {job} is not what was served ({len(content)})")


def _budget(night: Night) -> Iterator[Finding]:
    budget = night.scenario.budget
    if budget is None:
        return
    spent = sum(
        PRICES[charge.model]
        for charge in night.vendor.ledger.values()
        if charge.cancelled_at > charge.ends and charge.course.end != "cancelled"
    )
    if spent > budget + ROUNDING:
        yield Finding("budget", f"{spent:.2f} of {budget:.2f} USD spent")


def _concurrency(night: Night) -> Iterator[Finding]:
    limits = {"all": night.scenario.concurrency} | {
        model: lane["concurrency"]
        for model, lane in night.scenario.lanes.items()
        if "concurrency" in lane
    }
    for name, limit in limits.items():
        if night.vendor.peak[name] > limit:
            yield Finding("concurrency", f"{night.vendor.peak[name]} of {limit} for {name}")


def _rate(night: Night, life: Life) -> Iterator[Finding]:
    scenario = night.scenario
    submits = night.vendor.submits[life.first_submit :]
    rates = [(scenario.rate, [at for at, _ in submits])]
    rates += [
        (lane.get("rate"), [at for at, one in submits if one == model])
        for model, lane in scenario.lanes.items()
    ]
    for rate, times in rates:
        if not rate:
            continue
        interval = 60.0 / int(rate.split("/")[0])
        gaps = [later - earlier for earlier, later in itertools.pairwise(sorted(times))]
        if min(gaps, default=interval) < interval - ROUNDING:
            yield Finding("rate", f"{min(gaps):.4f} s apart, {interval} s at least")


def _folder(night: Night) -> Iterator[Finding]:
    """No file outside the output folder and the user's own, and in it no more than is known."""
    allowed = {night.manifest, *night.root.parents}
    user = night.watched / "user"
    for path in night.place.rglob("*"):
        if path in allowed or path == user or user in path.parents:
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
