"""Reads only the vendor's ledger, what the vendor saw, and the state. Never asks the engine."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from math import inf

from batchgen.engine.events import Draining, Paused
from batchgen.engine.scheduler import RunEnd
from batchgen.input_files import files_in
from batchgen.references import HOST
from tests.engine.simulated_vendor import Request
from tests.engine.simulation import Process, World

SETTLED = {"done", "failed", "cancelled", "lost", "unknown", "blocked"}
ROUNDING = 1e-6


def judge(world: World) -> None:
    """Promises 1 and 2, the limits, and that everything came to an end."""
    everything_is_settled(world)
    nothing_goes_before_what_it_needs(world)
    canaries_go_first(world)
    no_job_is_charged_too_often(world)
    every_charge_is_in_the_state(world)
    the_limits_are_kept(world)
    for process in world.lives:
        nothing_is_sent_after_a_stop(process)
        if process.end == RunEnd(pause=None, drained=False):
            nothing_is_left_in_memory(process)


def everything_is_settled(world: World) -> None:
    """But for jobs that wait: for a person's word, or for one whose outcome nobody knows."""
    left = world.query("SELECT id, state, waiting FROM job ORDER BY seq")
    assert not [one for one, state, waiting in left if state not in SETTLED and not waiting]
    blocked = world.query(
        "SELECT id FROM job WHERE (state = 'blocked') != EXISTS (SELECT 1 FROM need"
        " JOIN job AS other ON other.seq = need.needs WHERE need.job = job.seq"
        " AND other.state IN ('failed', 'cancelled', 'lost', 'blocked')) AND attempts = 0"
    )
    assert blocked == []


def nothing_goes_before_what_it_needs(world: World) -> None:
    """A submit follows the end of what it needs, and the word of a person behind a gate."""
    needs: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for job, needed, gate in world.query(
        "SELECT job.id, other.id, other.gate FROM need JOIN job ON job.seq = need.job"
        " JOIN job AS other ON other.seq = need.needs"
    ):
        needs[job].append((needed, bool(gate)))
    # By the ids that the state has: in bad weather the vendor may give a job another one's.
    results: dict[str, set[str]] = defaultdict(set)
    for job, request_id in world.query(
        "SELECT id, request_id FROM attempt JOIN job ON seq = job WHERE outcome = 'succeeded'"
    ):
        results[job].add(request_id)
    ended = {one.id: one.ends for one in world.vendor.ledger.values()}
    for at, job, body in world.vendor.bodies:
        assert HOST not in body, body
        assert not files_in(body), body
        for needed, gate in needs[job]:
            assert any(ended[one] < at for one in results[needed]), (job, needed)
            assert not gate or world.approvals[needed] <= at, (job, needed)
        for url in json.loads(body).get("images", ()):
            assert url.startswith("data:") or any(
                url.split("/")[4] in results[needed] for needed, _ in needs[job]
            )


def canaries_go_first(world: World) -> None:
    """While a sweep has no result, no life of the program sends more of its jobs than allowed."""
    most = world.policy.canary
    if not most:
        return
    sweeps: dict[str, tuple[str, str]] = {
        job: (model, sweep) for job, model, sweep in world.query("SELECT id, model, sweep FROM job")
    }
    results: dict[tuple[str, str], float] = defaultdict(lambda: inf)
    for request in world.vendor.ledger.values():
        if request.course.end.value == "done":
            sweep = sweeps[request.job]
            results[sweep] = min(results[sweep], request.ends)
    for process in world.lives:
        first: dict[tuple[str, str], set[str]] = defaultdict(set)
        for at, job in process.line.sent:
            if at < results[sweeps[job]]:
                first[sweeps[job]].add(job)
        assert all(len(jobs) <= most for jobs in first.values()), first


def no_job_is_charged_too_often(world: World) -> None:
    """Once, and once more where the vendor failed it or an unknown outcome may be repeated."""
    by_job: dict[str, list[Request]] = defaultdict(list)
    for request in world.vendor.ledger.values():
        by_job[request.job].append(request)
    repeats = Counter(
        dict(
            world.query(
                "SELECT id, total(outcome IS 'resubmitted') FROM attempt JOIN job ON seq = job"
                " GROUP BY seq"
            )
        )
    )
    for job, requests in by_job.items():
        ended_badly = sum(
            request.course.end.value == "failed" or request.cancelled_at <= request.ends
            for request in requests
        )
        assert len(requests) <= 1 + repeats[job] + min(ended_badly, world.policy.retries), job
        assert repeats[job] <= world.policy.resubmits, job


def every_charge_is_in_the_state(world: World) -> None:
    """With its request id and an end, or as an outcome that a person knows to be unknown."""
    known = {
        request_id: (outcome, state, code)
        for request_id, outcome, state, code in world.query(
            "SELECT request_id, outcome, state, job.error_code FROM attempt JOIN job ON seq = job"
            " WHERE request_id IS NOT NULL"
        )
    }
    unnamed = Counter(
        job
        for (job,) in world.query(
            "SELECT id FROM attempt JOIN job ON seq = job WHERE request_id IS NULL"
            " AND (outcome = 'resubmitted' OR (outcome IS NULL AND state = 'unknown'))"
        )
    )
    missing = Counter(
        request.job for request in world.vendor.ledger.values() if request.id not in known
    )
    assert missing <= unnamed
    for outcome, state, code in known.values():
        if outcome is None:
            waits = {
                ("failed", "timeout"),
                ("failed", "no_files"),
                ("unknown", "duplicate_request"),
            }
            assert state == "lost" or (state, code) in waits
        if outcome == "succeeded":
            assert state == "done" or code == "duplicate_request"


def the_limits_are_kept(world: World) -> None:
    policy, peak = world.policy, world.vendor.peak
    assert peak["all"] <= policy.limit
    limited = {model: policy.limits_of(model) for model in policy.models}
    for model, limits in limited.items():
        assert peak[model] <= limits.limit
    for process in world.lives:
        apart([at for at, _ in process.line.posted], policy.interval)
        for model, limits in limited.items():
            apart([at for at, one in process.line.posted if one == model], limits.interval)


def apart(times: list[float], interval: float) -> None:
    gaps = (later - earlier for earlier, later in itertools.pairwise(times))
    assert min(gaps, default=interval) >= interval - ROUNDING


def nothing_is_sent_after_a_stop(process: Process) -> None:
    stops = [at for at, event in process.events if isinstance(event, Paused | Draining)]
    if stops:
        assert not [at for at, _ in process.line.posted if at > stops[0] + ROUNDING]


def nothing_is_left_in_memory(process: Process) -> None:
    """What a process remembers of a job is gone when it is over, however many there were."""
    for name, size in leftovers(process):
        assert size == 0, name


def leftovers(process: Process) -> Iterable[tuple[str, int]]:
    scheduler = process.scheduler
    yield "budget", len(scheduler._budget._reserved)
    yield "downloads", len(scheduler._downloads._histories)
    yield "given up", len(scheduler._downloads._given_up)
    yield "exchanges", len(scheduler._lifecycle._exchanges._tasks)
    yield "retries", len(scheduler._lifecycle.retries._timers)
    for queue in scheduler._queues.all():
        yield "in hand", len(queue.in_hand)
        yield "queue", len(queue._page) + len(queue._order)
    yield "scopes", len(scheduler._control.drain._scopes)
    yield "events", len(scheduler._control._undelivered)
    yield "places", scheduler._active + scheduler._context.overall.in_flight
