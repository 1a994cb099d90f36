"""Jobs, their states and the legal transitions. Pure: no clock, no disk, no network.

The life of a job:

    pending → submitting → queued → running → fetching → done

Other ends are `failed`, `cancelled`, `unknown`, `lost` and `blocked`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

from batchgen.input_files import content_of

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | Mapping[str, JsonValue] | None"
JsonObject: TypeAlias = Mapping[str, JsonValue]

CONTENT_ID_DIGITS = 10
NO_AXES = "{}"

# json.dumps would build an encoder for each call.
_CANONICAL = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
)


class JobState(StrEnum):
    """The states, in the order in which counts are printed."""

    PENDING = "pending"
    SUBMITTING = "submitting"
    QUEUED = "queued"
    RUNNING = "running"
    FETCHING = "fetching"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    LOST = "lost"
    BLOCKED = "blocked"


LEGAL_TARGETS: Mapping[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset(
        {
            JobState.SUBMITTING,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.BLOCKED,
            # A paid result that was to be regenerated is kept after all.
            JobState.DONE,
        }
    ),
    # Back to pending only if nothing was sent, or the vendor refused before doing anything.
    JobState.SUBMITTING: frozenset(
        {
            JobState.QUEUED,
            JobState.PENDING,
            JobState.FAILED,
            JobState.UNKNOWN,
            JobState.CANCELLED,
        }
    ),
    JobState.QUEUED: frozenset(
        {
            JobState.RUNNING,
            JobState.FETCHING,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.LOST,
            JobState.UNKNOWN,
        }
    ),
    JobState.RUNNING: frozenset(
        {
            JobState.FETCHING,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.LOST,
            JobState.UNKNOWN,
        }
    ),
    JobState.FETCHING: frozenset({JobState.DONE, JobState.FAILED}),
    # Only a late answer or the user ends an unknown outcome. The same goes for lost.
    JobState.UNKNOWN: frozenset(
        {JobState.QUEUED, JobState.PENDING, JobState.FAILED, JobState.CANCELLED}
    ),
    # The user's retry; to queued if the request outlived its timeout and may still deliver.
    JobState.FAILED: frozenset({JobState.PENDING, JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.PENDING}),
    JobState.LOST: frozenset({JobState.PENDING, JobState.QUEUED, JobState.FAILED}),
    JobState.BLOCKED: frozenset({JobState.PENDING, JobState.CANCELLED, JobState.DONE}),
    # To fetching only by `repair`, when a file of a paid result is missing.
    JobState.DONE: frozenset({JobState.PENDING, JobState.FETCHING}),
}
"""Which state may follow which. `state/transitions.py` makes no other move.

Of a result that another run has, nothing is paid: `state/reuse.py` takes a job from pending to
fetching, and back if that result is gone.
"""

LEGAL_SOURCES: Mapping[JobState, tuple[JobState, ...]] = {
    target: tuple(source for source, targets in LEGAL_TARGETS.items() if target in targets)
    for target in JobState
}
"""The same table inverted: the states from which each state may be reached."""

IN_FLIGHT = frozenset({JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING})
"""The vendor has, or may be receiving, a request: the job holds a permit of the limits."""

ENDED = frozenset(
    {JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST, JobState.BLOCKED}
)
"""Nothing more happens to the job unless the user asks for it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One input for one model.

    `body` is the input as the JSON text that is sent, except for the bytes of its own files: keys
    sorted, so that equal inputs are equal texts. `name` is the manifest's name for its files,
    without extension: not yet safe for a disk. `file` and `line` (from 1) are its place in the
    manifest. A higher `priority` goes first. `sweep` is the item that many jobs were made from.
    `needs` are the ids of jobs that must be done first; with a `gate`, its dependents wait for
    approval. `axes` is its place in the sweep, a JSON object: axis to value.
    """

    id: str
    model: str
    body: str
    name: str
    tags: tuple[str, ...] = ()
    line: int = 0
    file: str = ""
    priority: int = 0
    sweep: str = ""
    gate: bool = False
    needs: tuple[str, ...] = ()
    axes: str = NO_AXES


@dataclass(frozen=True, slots=True)
class RejectedJob:
    """An invalid job of the manifest, as far as its id and its needs are known.

    `is_stem`: its jobs' ids begin with `id`, but which ones exist is unknown.
    """

    id: str
    file: str = ""
    line: int = 0
    needs: tuple[str, ...] = ()
    is_stem: bool = False


def counts_line(counts: Mapping[JobState, int]) -> str:
    """`6 done, 1 failed, 1 unknown`; states without jobs are left out."""
    order = (JobState.DONE, *(state for state in JobState if state is not JobState.DONE))
    parts = [f"{counts[state]} {state.value}" for state in order if counts.get(state)]
    return ", ".join(parts) or "no jobs"


def canonical_json(value: JsonValue) -> str:
    """Return the canonical JSON of a value: sorted keys, no spaces, no NaN.

    Raises ValueError for NaN and the infinities, which JSON does not have.
    """
    return _CANONICAL.encode(value)


@lru_cache(maxsize=256)
def model_alias(model: str) -> str:
    """Abbreviate a model id: `…/text-to-image` → `t2i`, `…/edit` → `edit`."""
    last = model.rsplit("/", 1)[-1]
    words = [word for word in re.split(r"[^A-Za-z0-9]+", last) if word]
    if len(words) < 2:  # noqa: PLR2004 - a single word is its own alias
        return last.lower() or "job"
    return "".join("2" if word == "to" else word[0] for word in words).lower()


def model_labels(models: Iterable[str]) -> dict[str, str]:
    """Short labels that tell models apart: the short name, or as much more of the id as it takes.

    `…/dreamina-4-0/text-to-image` and `…/poster-2/text-to-image` become `dreamina-4-0/t2i` and
    `poster-2/t2i`.
    """
    known = list(dict.fromkeys(models))
    labels = {model: model_alias(model) for model in known}
    for depth in range(1, max((model.count("/") for model in known), default=0) + 1):
        twice = Counter(labels.values())
        for model in known:
            if twice[labels[model]] > 1:
                parts = model.split("/")[-1 - depth : -1]
                labels[model] = "/".join([*parts, model_alias(model)])
    twice = Counter(labels.values())
    return {model: label if twice[label] == 1 else model for model, label in labels.items()}


def digest_of(body: str) -> str:
    """The SHA-256 of an input, in hex: equal inputs are the same work, wherever its files are."""
    return hashlib.sha256(content_of(body).encode()).hexdigest()


def content_id(model: str, body: str) -> str:
    """Return the id of a job without an explicit one, e.g. `t2i-3f9a1c2b04`.

    It depends only on the content, so neither a job above it nor the path of a file changes it.
    """
    digest = hashlib.sha256(f"{model}\n{content_of(body)}".encode()).hexdigest()
    return f"{model_alias(model)}-{digest[:CONTENT_ID_DIGITS]}"
