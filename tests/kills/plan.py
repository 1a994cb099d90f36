"""What a round will be: its jobs, its faults and the moments of its kills. Pure: seed in, plan out.

The seed decides everything but the machine's own timing, so a round can be played again in kind.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import Any

from tests.shell import EDIT, PICTURE, T2I, VIDEO

JOBS_A_KILL = 9
FEWEST_JOBS = 40
VIDEOS = 2
CHAINS_IN = 2
"""Every so manieth round is a chain: stills behind a gate, edits of them, a few clips of those."""

PICKS_IN = 4
"""Of so many rounds the first half have results rejected and made again: chains, and others."""

EDITS_IN = 5
"""Every so manieth job is an edit."""

PHOTOS: Mapping[str, int] = {"large": 1100, "small": 320, "middle": 500}
"""The user's own files, and their sides in pixels: every other edit uses one. Noise, so the request
with the large one has some MiB and takes a while to be sent."""

AT_START = 0.3
"""Share of the kills that hit the start and the recovery; the others hit the work."""

START_SECONDS = (0.1, 0.7)
WORK_SECONDS = (0.0, 0.9)


class Beside(Enum):
    """Which other command runs while the kill comes."""

    NOTHING = auto()
    STATUS = auto()
    RESOLVE = auto()
    APPROVE = auto()
    REJECT = auto()


BESIDE_WEIGHTS = {
    Beside.NOTHING: 6,
    Beside.STATUS: 1,
    Beside.RESOLVE: 2,
    Beside.APPROVE: 1,
    Beside.REJECT: 1,
}


@dataclass(frozen=True, slots=True)
class Kill:
    """`seconds` after the process began (`at_start`), else after its first charge was seen."""

    at_start: bool
    seconds: float
    beside: Beside


@dataclass(frozen=True, slots=True)
class Plan:
    """`faults` are what `POST /emulator/faults` takes; `latency` is in seconds.

    `items` are the manifest's `jobs`, of which `jobs` come. `needs` says which one a job needs;
    whoever needs a job of `gated` waits for a person's word about it. `picks`: results are rejected
    and made again.
    """

    name: str
    items: tuple[dict[str, Any], ...]
    jobs: tuple[dict[str, Any], ...]
    faults: tuple[dict[str, Any], ...]
    kills: tuple[Kill, ...]
    concurrency: int
    latency: float
    needs: Mapping[str, str] = field(default_factory=dict)
    gated: frozenset[str] = frozenset()
    picks: bool = False

    @property
    def job_of_prompt(self) -> dict[str, str]:
        """Prompts are what the vendor's ledger knows of our jobs: each has its own."""
        return {job["input"]["prompt"]: job["id"] for job in self.jobs}


def plan_of(seed: int, number: int, kills: int) -> Plan:
    """Plan round `number` of a seed, with so many kills."""
    dice = Random(f"{seed}/{number}")
    count = max(FEWEST_JOBS, JOBS_A_KILL * kills)
    cells = count // 2 if number % CHAINS_IN == 0 else 0
    jobs = chained(cells) if cells else tuple(job(index) for index in range(count))
    return Plan(
        name=f"round {number} of seed {seed}",
        items=chain(cells) if cells else jobs,
        jobs=jobs,
        faults=tuple(faults(dice, len(jobs))),
        kills=tuple(kill(dice) for _ in range(kills)),
        concurrency=dice.randint(4, 12),
        latency=dice.uniform(0.05, 0.2),
        needs=needs(cells),
        gated=frozenset(f"still-{number}" for number in range(cells)),
        picks=0 < number % PICKS_IN <= PICKS_IN // 2,
    )


CHAIN: tuple[tuple[str, str, int | None], ...] = (
    ("still", T2I, None),
    ("edit", EDIT, None),
    ("clip", VIDEO, VIDEOS),
)
"""Name and model of each step, and how many of its cells there are: None for all. A step needs the
one before it."""


def chain(cells: int) -> tuple[dict[str, Any], ...]:
    """The sweeps of a chain, as a manifest has them."""
    items = [step_item(step, model, cells, most) for step, model, most in CHAIN]
    items[0]["gate"] = True
    for before, item in itertools.pairwise(items):
        item["needs"] = [before["id"]]
        item["input"]["image_urls"] = [f"{{{{ jobs.{before['id']}.image }}}}"]
    return tuple(items)


def step_item(step: str, model: str, cells: int, most: int | None) -> dict[str, Any]:
    return {
        "id": step,
        "model": model,
        "matrix": {"number": list(range(cells))[:most]},
        "input": {"prompt": f"{step} number {{{{ number }}}}"},
    }


def chained(cells: int) -> tuple[dict[str, Any], ...]:
    """The jobs of a chain, each with its own prompt."""
    return tuple(
        {"id": f"{step}-{number}", "input": {"prompt": f"{step} number {number}"}}
        for step, _, most in CHAIN
        for number in range(cells)[:most]
    )


def needs(cells: int) -> dict[str, str]:
    steps = itertools.pairwise(CHAIN)
    return {
        f"{step}-{number}": f"{before}-{number}"
        for (before, _, _), (step, _, most) in steps
        for number in range(cells)[:most]
    }


def job(index: int) -> dict[str, Any]:
    own = {"id": f"job-{index:04}"}
    prompt = f"a boat with the number {index:04}"
    if 0 < index <= VIDEOS:
        return {**own, "model": VIDEO, "input": {"prompt": prompt, "image_urls": [PICTURE]}}
    if index % EDITS_IN == 0:
        turn, theirs = divmod(index // EDITS_IN, 2)
        image = PICTURE if theirs else photo(tuple(PHOTOS)[turn % len(PHOTOS)])
        return {**own, "model": EDIT, "input": {"prompt": prompt, "image_urls": [image]}}
    return {**own, "input": {"prompt": prompt}}


def photo(name: str) -> str:
    return f"photos/{name}.png"


def kill(dice: Random) -> Kill:
    at_start = dice.random() < AT_START
    seconds = dice.uniform(*(START_SECONDS if at_start else WORK_SECONDS))
    (beside,) = dice.choices(tuple(BESIDE_WEIGHTS), tuple(BESIDE_WEIGHTS.values()))
    return Kill(at_start, seconds, beside)


RARE: tuple[dict[str, Any], ...] = (
    {"on": "submit", "kind": "reset_before"},
    {"on": "submit", "kind": "reset_after"},
    {"on": "submit", "kind": "reset_after"},
    {"on": "submit", "kind": "reset_mid_body"},
    {"on": "submit", "kind": "truncated_json"},
    {"on": "submit", "kind": "status", "status": 502, "accepted": True},
    {"on": "submit", "kind": "status", "status": 429, "headers": {"Retry-After": "1"}, "times": 2},
    {"on": "submit", "kind": "vendor_failed"},
    {"on": "status", "kind": "status", "status": 503, "times": 2},
    {"on": "result", "kind": "reset_before"},
    {"on": "result", "kind": "slow", "seconds": 0.4, "times": 10},
    {"on": "file", "kind": "short_body", "times": 3},
    {"on": "file", "kind": "reset_mid_body", "times": 2},
    {"on": "file", "kind": "wrong_bytes"},
    {"on": "file", "kind": "expired"},
    {"on": "file", "kind": "trickle", "size": 8192, "seconds": 0.1, "times": 4},
)
FORMS: tuple[dict[str, Any], ...] = (
    {"on": "result", "kind": "not_ready", "times": 40},
    {"on": "result", "kind": "html", "status": 403, "times": 3},
    {"on": "result", "kind": "html", "status": 425, "times": 3},
    {"on": "result", "kind": "status", "status": 409, "body": '{"detail": "it runs"}', "times": 3},
    {"on": "result", "kind": "status", "status": 422, "body": '{"detail": []}', "times": 3},
    {"on": "result", "kind": "doubled", "seconds": 0.0, "times": 5},
    {"on": "result", "kind": "doubled", "seconds": 0.05, "times": 5},
    {"on": "result", "kind": "other_document", "times": 5},
    {"on": "status", "kind": "html", "status": 403, "times": 2},
    {"on": "status", "kind": "other_document", "times": 5},
    {"on": "submit", "kind": "doubled", "seconds": 0.0, "times": 3},
    {"on": "submit", "kind": "doubled", "seconds": 0.05, "times": 3},
    {"on": "submit", "kind": "html", "status": 403, "times": 2},
    {"on": "submit", "kind": "no_funds", "status": 402},
    {"on": "submit", "kind": "early_success", "size": 2, "times": 3},
    {"on": "submit", "kind": "late_cost", "times": 3},
    {"on": "submit", "kind": "text_cost", "times": 3},
    {"on": "submit", "kind": "final_word", "word": "delivered", "times": 2},
    {"on": "submit", "kind": "failure_reason", "message": "too blue"},
    {"on": "submit", "kind": "list_output", "times": 2},
    {"on": "submit", "kind": "string_output", "times": 2},
    {"on": "submit", "kind": "odd_output", "model": "*/image-to-video"},
    {"on": "submit", "kind": "data_uri", "model": "*/image-to-video"},
    {"on": "file", "kind": "host_down", "seconds": 3.0},
)
"""The vendor's other forms: sound answers that a client may not know, and what proxies make of
them."""
SLOW_STRETCHES = 4


def faults(dice: Random, jobs: int) -> list[dict[str, Any]]:
    """Choose what fails, and when.

    The rare ones are armed first: a call meets only one fault, and the slow stretches would let
    none of them come. Those keep submits on the wire, so that kills hit them there.
    """
    kinds = (*RARE, *FORMS)
    chosen = dice.sample(kinds, k=dice.randint(len(kinds) // 2, len(kinds)))
    rare = [{**fault, "after": dice.randrange(jobs)} for fault in chosen]
    slow = [
        {
            "on": "submit",
            "kind": "slow",
            "seconds": round(dice.uniform(0.1, 0.8), 3),
            "times": max(1, jobs // 12),
            "after": dice.randrange(max(1, jobs // 6)),
        }
        for _ in range(SLOW_STRETCHES)
    ]
    return rare + slow
