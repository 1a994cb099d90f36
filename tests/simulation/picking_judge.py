"""The judge of picks: who may be made again, what must stay as it is. It asks no engine either."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.findings import Finding
from tests.simulation.vendor import picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

    from batchgen.runs.options import RunOptions
    from tests.simulation.night import Night


@dataclass(frozen=True, slots=True)
class Standing:
    """How results stood when a life began, by what was said of them.

    `done` are done jobs with their requests; `named` are those that a retry asks for, `limit` is
    how many of them. `charges`: the length of the ledger.
    """

    done: Mapping[str, str]
    kept: frozenset[str]
    named: frozenset[str]
    limit: int | None
    charges: int

    @classmethod
    def of(cls, night: Night, options: RunOptions) -> Self:
        results = night.picker.results()
        ledger, gatekeeper = night.vendor.ledger, night.gatekeeper
        kept = frozenset(
            one.job
            for one in results
            if night.picker.keeps(one.request_id) and gatekeeper.is_of_today(ledger[one.request_id])
        )
        asks = options.selection.asks_for_rejected
        named = frozenset(night.picker.rejected()) if asks else frozenset()
        done = {one.job: one.request_id for one in results if one.state == "done"}
        return cls(done, kept, named, options.limit, len(ledger))


def set_going(night: Night, before: Standing) -> Iterator[Finding]:
    """What was done stays done, unless it is rejected and a person asks for such, or has changed.

    Whoever was set going may be charged once more, in this life or a later one.
    """
    states = night.states()
    charged = {one.job for one in list(night.vendor.ledger.values())[before.charges :]}
    going = {job for job in before.done if states.get(job) != "done" or job in charged}
    again = sorted(going & before.named)
    for job in again:
        night.picker.grant(job, before.done[job])
    for job in sorted(going - before.named):
        charge = night.vendor.ledger[before.done[job]]
        if night.gatekeeper.is_of_today(charge):
            yield Finding("set going", f"{job} was done by {charge.id}, and nobody asked for more")
    if before.limit is not None:
        yield from _limit(night, before.limit, again)


def _limit(night: Night, limit: int, again: list[str]) -> Iterator[Finding]:
    begun = night.gatekeeper.submitted - night.gatekeeper.pinned
    for jobs, words in ((again, "were set going"), (sorted(begun), "were sent")):
        if len(jobs) > limit:
            yield Finding("limit", f"{', '.join(jobs)} {words}, with a limit of {limit}")


def picks_at_the_end(night: Night) -> Iterator[Finding]:
    yield from _gone(night)
    if night.scenario.habits:
        yield from _of_yesterday(night)


def _gone(night: Night) -> Iterator[Finding]:
    """Whatever was judged is on the disk, also what was rejected and made again."""
    on_disk = {hashlib.sha256(one).digest() for one in night.results()}
    for request_id in night.picker.opinions:
        charge = night.vendor.ledger[request_id]
        for name in charge.names:
            if hashlib.sha256(picture(name)).digest() not in on_disk:
                yield Finding("lost result", f"{name} of {charge.job} was judged, and is gone")


def _of_yesterday(night: Night) -> Iterator[Finding]:
    """No word about a result takes another input of the manifest back."""
    for one in night.picker.results():
        charge = night.vendor.ledger[one.request_id]
        if one.state == "done" and charge.take not in {None, night.gatekeeper.take}:
            yield Finding("stale result", f"{one.job} is done with take {charge.take}")
