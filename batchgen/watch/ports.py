"""What a watcher needs from the run, which it may not import: the command passes it in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from batchgen.state.database import Connection
    from batchgen.storage.locations import Location


class Action(StrEnum):
    """What the page can do with a result; NEITHER takes a pick back."""

    KEEP = "keep"
    REJECT = "reject"
    NEITHER = ""
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class PageDecision:
    """An action on a job as the page showed it: its `attempt` and, except to APPROVE, one file."""

    action: Action
    job_id: str
    attempt: int
    position: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Decisions were `handed` to a running run, or are done, except for the `objections`.

    Those are pairs: the decision, and why it was refused.
    """

    handed: bool
    objections: tuple[tuple[PageDecision, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Ports:
    """Called in threads. `decide` returns once the decisions are durable; it raises BatchgenError.

    `tune` changes limits of the run in progress, of the whole or of one model; it raises
    BatchgenError where that is refused. `at_work`: whether a runner is; None where nobody can
    know. `results`: where the files are. `now`: epoch seconds.
    """

    decide: Callable[[Sequence[PageDecision]], Outcome]
    at_work: Callable[[], bool | None]
    is_rehearsal: Callable[[Connection], bool]
    results: Callable[[Connection], Location]
    now: Callable[[], float]
    tune: Callable[[Mapping[str, str], str | None], None]


@dataclass(frozen=True, slots=True)
class Watched:
    """The run: its `name`, its manifest as it was named, its folder, its state, its report's."""

    name: str
    manifest: str
    root: Path
    state: Path
    report: Path
