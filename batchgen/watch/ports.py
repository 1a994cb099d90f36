"""What a watcher needs of the run, which is not its room: the command hands it in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batchgen.state.database import Connection


class Word(StrEnum):
    """What a person may say in the page."""

    KEEP = "keep"
    REJECT = "reject"
    NEITHER = ""
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Said:
    """A word about a job as it was seen: its `attempt`, and, save for APPROVE, one file of that."""

    word: Word
    job_id: str
    attempt: int
    position: int | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of it: `handed` to a runner at work, or done but for what `objections` say.

    Those are pairs: what was said, and why not.
    """

    handed: bool
    objections: tuple[tuple[Said, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Ports:
    """Called in threads. `decide` returns once the words are durable; it raises BatchgenError.

    `at_work`: whether a runner is; None where nobody can know. `now`: epoch seconds.
    """

    decide: Callable[[Sequence[Said]], Heard]
    at_work: Callable[[], bool | None]
    is_rehearsal: Callable[[Connection], bool]
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Watched:
    """The run: its `name`, its manifest as it was named, its folder, its state, its report's."""

    name: str
    manifest: str
    root: Path
    state: Path
    report: Path
