"""How a run shall go: limits, money, retries, and where results are put."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from batchgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.manifest.stop_policy import Halt, StopAt

DEFAULT_NAME = "{{ id }}"
LONGEST_DURATION = 31 * 86400.0
"""Seconds. Nobody waits a month for a request; timers of some systems overflow soon after."""

_RATE = re.compile(
    r"\s*(?P<count>[1-9][0-9]{0,8})\s*/\s*"
    r"(?P<unit>s|sec|second|min|m|minute|h|hour|d|day)\s*"
)
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(
    r"\s*(?:(?P<d>[0-9]+)\s*d)?\s*(?:(?P<h>[0-9]+)\s*h)?\s*(?:(?P<m>[0-9]+)\s*m(?:in)?)?"
    r"\s*(?:(?P<s>[0-9]+(?:\.[0-9]+)?)\s*s?)?\s*"
)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` submits in `seconds`."""

    count: int
    seconds: float

    @property
    def interval(self) -> float:
        """Seconds between two submits."""
        return self.seconds / self.count


class OnUnknown(StrEnum):
    """What becomes of a job whose submit has an unknown outcome."""

    HOLD = "hold"
    RESUBMIT = "resubmit"


class CheckInputs(StrEnum):
    """Whether the pictures behind the URLs of an input are looked at before money is spent."""

    AUTO = "auto"
    OFF = "off"


class FullCheck(StrEnum):
    """Whether a first run of very many jobs may begin before the last one is checked."""

    AUTO = "auto"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """Limits of one model, besides those of the run. `price` in USD for one request.

    `accept_fields` are keys of its input that are sent as they are, whatever the schemas say.
    """

    concurrency: int | None = None
    rate: Rate | None = None
    price: float | None = None
    accept_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """`timeout` in seconds, for one request from accept to end; `budget` in USD.

    Submits begin at `start_at`, if that is to come; `stop_at` and `max_duration` (seconds, from the
    first moment at which one may go) end them, not what is under way by then. Of each
    model and sweep, `canary` jobs go first, and the others once those are done; 0 means none.
    """

    concurrency: int = 8
    rate: Rate | None = None
    retries: int = 0
    timeout: float = 3600.0
    budget: float | None = None
    on_unknown: OnUnknown = OnUnknown.HOLD
    models: Mapping[str, ModelPolicy] = field(default_factory=dict)
    halt: Halt | None = None
    start_at: StopAt | None = None
    stop_at: StopAt | None = None
    max_duration: float | None = None
    canary: int = 0
    check_inputs: CheckInputs = CheckInputs.AUTO
    full_check: FullCheck = FullCheck.AUTO


@dataclass(frozen=True, slots=True)
class Output:
    """`dir` is relative to the working directory. `name` is the template of the files' names.

    `allow_hosts` are hosts, or `*.domain`, that results may come from besides the vendor's own.
    `min_free` bytes must be free for a submit: 0 looks at no disk, None leaves it to the engine.
    """

    dir: Path
    name: str = DEFAULT_NAME
    allow_hosts: tuple[str, ...] = ()
    min_free: int | None = None


def parse_rate(text: str) -> Rate:
    """Read `60/min`, `2/s` or `1000/h`. Raises InputError."""
    parts = _RATE.fullmatch(text)
    if parts is None:
        raise InputError(
            f"a rate looks like 60/min, 2/s or 1000/h; got '{text[:60]}'",
            next_step="write how many submits in which time, e.g. 60/min",
        )
    return Rate(int(parts["count"]), _UNIT_SECONDS[parts["unit"][0]])


def parse_duration(text: str | float) -> float:
    """Read `90s`, `15m`, `1h30m` or a number of seconds. Returns seconds; raises InputError."""
    seconds = float(text) if isinstance(text, int | float) else _sum_of_parts(text)
    if seconds is None or not 0 < seconds <= LONGEST_DURATION:
        raise InputError(
            f"a duration looks like 90s, 15m or 1h30m, up to 31d; got '{str(text)[:60]}'",
            next_step="write a number and its unit: s, m, h or d",
        )
    return seconds


def _sum_of_parts(text: str) -> float | None:
    parts = _DURATION.fullmatch(text) if len(text) < 40 else None  # noqa: PLR2004 - no duration is so long
    if parts is None:
        return None
    return sum(float(parts[unit] or 0) * seconds for unit, seconds in _UNIT_SECONDS.items())
