"""Sees every submit as the vendor does, and says what must not have been sent.

It knows what the vendor gave out and what a person said; it never asks the engine or the state.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batchgen.references import HOST
from tests.simulation.chain import STEPS, step_of
from tests.simulation.findings import Finding
from tests.simulation.vendor import FILE_HOST, PICTURE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulation.chain import Chain
    from tests.simulation.own_files import Photos
    from tests.simulation.vendor import Charge, Vendor


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person saw when the word was given, and when that was."""

    request_id: str
    at: float


@dataclass(slots=True)
class Gatekeeper:
    """`take` is what the manifest says of the stills now.

    `pinned` are jobs that had an open attempt when the present life began: a canary counts them as
    sent earlier. `kept` are jobs whose latest result a person keeps.
    """

    vendor: Vendor
    chain: Chain | None
    take: float
    findings: list[Finding] = field(default_factory=list)
    approvals: dict[str, Approval] = field(default_factory=dict)
    photos: Photos | None = None
    pinned: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    submitted: set[str] = field(default_factory=set)
    _sent: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def begin_life(self, pinned: frozenset[str], kept: frozenset[str]) -> None:
        self.pinned = pinned
        self.kept = kept
        self.submitted.clear()
        self._sent.clear()

    def see(self, body: Mapping[str, Any]) -> frozenset[str]:
        """A submit has arrived; it is not charged yet. Returns the hashes of own files in it."""
        self._look_at(body)
        if self.photos is not None:
            return self.photos.see(body)
        self.findings += self._urls(body)
        return frozenset()

    def _look_at(self, body: Mapping[str, Any]) -> None:
        job = body["prompt"]
        self.submitted.add(job)
        if job in self.kept:
            self.findings.append(Finding("kept", f"{job} was sent again, and its result is kept"))
        if self.chain is None:
            return
        needed = self.chain.needed_by(job)
        if needed is not None:
            self.findings += self._need(self.chain, job, needed, body)
        self.findings += self._canary(self.chain, job)
        if needed is None and body["scale"] != self.take:
            words = f"{job} was sent with take {body['scale']}; the manifest says {self.take}"
            self.findings.append(Finding("stale input", words))

    def is_of_today(self, charge: Charge) -> bool:
        """Whether the manifest asks for the very input of this charge, and has done so since."""
        return not charge.outdated and charge.take in {None, self.take}

    def _urls(self, body: Mapping[str, Any]) -> Iterator[Finding]:
        if HOST in json.dumps(body):
            yield Finding("reference", f"{body['prompt']} was sent with a reference in it")
        for url in body.get("image_urls", ()):
            if url != PICTURE and url not in self.vendor.given:
                yield Finding("foreign URL", f"{body['prompt']} names {url}")

    def _need(
        self, chain: Chain, job: str, needed: str, body: Mapping[str, Any]
    ) -> Iterator[Finding]:
        used = [one for one in self._charges(body) if needed in {one.job, *one.also_told}]
        if not used:
            yield Finding("need", f"{job} was submitted without a result of {needed}")
        for charge in used:
            if not self._is_home(charge):
                yield Finding("need", f"{job} was submitted before {needed} was done")
            if chain.has_gate(needed) and not self._is_approved(needed, charge):
                yield Finding("approval", f"nobody approved {charge.id} of {needed} for {job}")

    def _charges(self, body: Mapping[str, Any]) -> Iterator[Charge]:
        for url in body.get("image_urls", ()):
            parts = urlsplit(url)
            if parts.hostname == FILE_HOST:
                yield self.vendor.ledger[parts.path.split("/")[1]]

    def _is_home(self, charge: Charge) -> bool:
        return all(name in self.vendor.brought for name in charge.names)

    def _is_approved(self, job: str, charge: Charge) -> bool:
        """The word was about this result, and the job was not submitted again after it."""
        approval = self.approvals.get(job)
        return (
            approval is not None
            and approval.request_id == charge.id
            and not any(
                one.job == job and one.accepted_at > approval.at
                for one in self.vendor.ledger.values()
            )
        )

    def _canary(self, chain: Chain, job: str) -> Iterator[Finding]:
        """Until a sweep has a result only so many of its jobs go in one life."""
        step = step_of(job)
        if not chain.canary or self._is_proven(step):
            return
        if job not in self.pinned:
            self._sent[step].add(job)
        if len(self._sent[step]) > chain.canary:
            names = ", ".join(sorted(self._sent[step]))
            yield Finding("canary", f"{names} were sent before one of {step} was done")

    def _is_proven(self, step: str) -> bool:
        assert step in STEPS
        return any(
            step in {step_of(job) for job in (one.job, *one.also_told)}
            and one.succeeds
            and self._is_home(one)
            for one in self.vendor.ledger.values()
        )
