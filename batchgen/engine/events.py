"""What happens in a run, as small frozen events. The engine emits them; others show and log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

# Listeners get both with `Paused`, so both are part of `batchgen.events`.
from batchgen.pauses import Pause as Pause  # noqa: PLC0414, TC001
from batchgen.pauses import PauseReason as PauseReason  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.jobs import JobState
    from batchgen.state.records import Counts, Money, Result


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Everything is checked; `counts` and `money` are what earlier runs left.

    `provider` is the vendor, or its emulator on this machine.
    """

    name: str
    folder: Path
    counts: Counts
    money: Money
    provider: str = ""


@dataclass(frozen=True, slots=True)
class JobMoved:
    """A job changed its state, and that is on the disk. `cost` in USD where the vendor named it."""

    job_id: str
    model: str
    before: JobState
    state: JobState
    request_id: str | None = None
    code: str | None = None
    reason: str | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRefused:
    """`jobs` pending jobs of a model failed together, because the vendor refuses the model."""

    model: str
    jobs: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class LookingAtImages:
    """Before the first submit: so many distinct input images are probed."""

    count: int


@dataclass(frozen=True, slots=True)
class WaitingToStart:
    """Nothing is submitted before `until`, in epoch seconds."""

    until: float


@dataclass(frozen=True, slots=True)
class JobsAdded:
    """Pending jobs that were added while the run goes on, by model."""

    by_model: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class JobsBlocked:
    """How many jobs are blocked now, by model: those that need a job that was not done.

    Totals, not changes: one failure may block a thousand jobs, and one retry free them.
    """

    by_model: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FileSaved:
    file: Result


@dataclass(frozen=True, slots=True)
class Slowed:
    """The vendor said 429: no submit of this model for `seconds`, and `at_once` at most after.

    `at_once` is None where nothing was in flight: then the 429 says nothing about that.
    """

    model: str
    seconds: float
    at_once: int | None = None


@dataclass(frozen=True, slots=True)
class ConcurrencyFound:
    """How many requests of a model keep the vendor's workers fed, and how that shows."""

    model: str
    at_once: int
    why: str


@dataclass(frozen=True, slots=True)
class LimitsShared:
    """What this run may use of the limits that it shares with other runs of its account.

    `shared` is as in `limits` of `status --json`.
    """

    shared: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Paused:
    pause: Pause


@dataclass(frozen=True, slots=True)
class Tuned:
    """A person changed limits of the run; `limits` are those in force from now on."""

    change: str
    limits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Draining:
    """The run was asked to stop; `in_flight` requests stay with the vendor for the next run."""

    in_flight: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that people should know and that stops nothing, such as the manifest's warnings."""

    text: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something odd that changes nothing, for the log; `on_screen`: for people as well."""

    text: str
    job_id: str | None = None
    on_screen: bool = False


@dataclass(frozen=True, slots=True)
class Notified:
    """A notification was sent `to` someone, or was not: `trouble` says why. It holds no secret."""

    to: str
    about: str
    trouble: str | None = None


Event: TypeAlias = (
    RunStarted
    | JobMoved
    | ModelRefused
    | LookingAtImages
    | WaitingToStart
    | JobsAdded
    | JobsBlocked
    | FileSaved
    | Slowed
    | ConcurrencyFound
    | LimitsShared
    | Paused
    | Tuned
    | Draining
    | Warned
    | Noted
    | Notified
)
Listener: TypeAlias = Callable[[Event], None]
