"""Rates, durations, moments, sizes and shares as written in a manifest → numbers. Pure.

`60/min`, `1h30m`, `07:00`, `2GiB`, `20%`. Anything that cannot be read raises InputError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TypeAlias

from batchgen.errors import InputError

Moment: TypeAlias = "time | datetime"
"""A time of day means the next one to come. Without an offset, both are local."""

LONGEST_DURATION = 31 * 86400.0
"""Seconds. No request takes a month; timers of some systems overflow soon after."""
SAME_NIGHT = 12 * 3600.0
"""Seconds. For this long after its start time, an interrupted run continues at once."""
AFTER = 25
"""Of fewer jobs a share means little: one failure in three jobs is a third already."""

_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(
    r"\s*(?P<count>[1-9][0-9]{0,8})\s*/\s*"
    r"(?P<unit>s|sec|second|min|m|minute|h|hour|d|day)\s*"
)
_DURATION = re.compile(
    r"\s*(?:(?P<d>[0-9]+)\s*d)?\s*(?:(?P<h>[0-9]+)\s*h)?\s*(?:(?P<m>[0-9]+)\s*m(?:in)?)?"
    r"\s*(?:(?P<s>[0-9]+(?:\.[0-9]+)?)\s*s?)?\s*"
)
_MOMENT = re.compile(
    r"\s*(?P<day>20[0-9]{2}-[0-9]{2}-[0-9]{2})?(?(day)[Tt ])"
    r"(?P<hour>[0-9]{1,2})(?P<rest>:[0-9]{2}(:[0-9]{2})?)"
    r"\s*(?P<offset>[Zz]|[+-][0-9]{2}:?[0-9]{2})?\s*"
)
_BYTES = re.compile(r"\s*(?P<count>[0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(?P<unit>[kKMGT]i?)?B?\s*")
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` submits in `seconds`."""

    count: int
    seconds: float

    def __str__(self) -> str:
        """As `parse_rate` reads it, for the units that it knows."""
        units = {seconds: unit for unit, seconds in _UNIT_SECONDS.items()} | {60.0: "min"}
        return f"{self.count}/{units.get(self.seconds, f'{self.seconds:g} s')}"

    @property
    def interval(self) -> float:
        """Seconds between two submits."""
        return self.seconds / self.count


def parse_rate(text: str) -> Rate:
    """Read `60/min`, `2/s` or `1000/h`. Raises InputError."""
    parts = _RATE.fullmatch(text)
    if parts is None:
        raise InputError(
            f"a rate looks like 60/min, 2/s or 1000/h; got '{text[:60]}'",
            next_step="write a number of submits per time, e.g. 60/min",
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


def parse_moment(text: str) -> Moment:
    """Read `07:00` or `2026-11-22T07:00`, each with or without an offset. Raises InputError."""
    parts = _MOMENT.fullmatch(text)
    if parts is None:
        raise _no_moment(text)
    # People write 7:00; the standard wants two digits.
    moment = parts["hour"].zfill(2) + parts["rest"] + (parts["offset"] or "").upper()
    try:
        if parts["day"]:
            return datetime.fromisoformat(f"{parts['day']}T{moment}")
        return time.fromisoformat(moment)
    except ValueError as exc:
        raise _no_moment(text) from exc


def moment_text(at: Moment) -> str:
    """Write a moment as `parse_moment` reads it."""
    return at.isoformat(timespec="seconds" if at.second else "minutes")


def _no_moment(text: str) -> InputError:
    return InputError(
        f"a time looks like 07:00 or 2026-11-22T07:00; got '{text[:60]}'",
        next_step="write a time of day, or a date and a time; +01:00 or Z after it is an offset",
    )


def next_moment(at: Moment, now: float) -> float:
    """When the moment comes, as of `now`; both in epoch seconds. A date may have passed.

    A time of day that has passed today means tomorrow's: by the calendar, since a day on which the
    clocks change does not have 24 hours.
    """
    if isinstance(at, datetime):
        return at.timestamp()
    today = datetime.fromtimestamp(now, at.tzinfo).date()
    moment = datetime.combine(today, at).timestamp()
    if moment > now:
        return moment
    return datetime.combine(today + timedelta(days=1), at).timestamp()


def start_moment(
    start_at: Moment, stop_at: Moment | None, now: float, begun: float | None
) -> float | None:
    """When submits may begin, as of `now`; both in epoch seconds. None means at once.

    `begun` is the start time of an earlier run of the same jobs, if it has passed. A time of day
    means the next one, unless its last occurrence is still in force: because of `begun`, or because
    the `stop_at` that follows it is yet to come.
    """
    moment = next_moment(start_at, now)
    if isinstance(start_at, datetime):
        return moment if moment > now else None
    if begun is not None and begun <= now < begun + SAME_NIGHT:
        return None
    if isinstance(stop_at, time) and now < next_moment(stop_at, _last_moment(start_at, now)):
        return None
    return moment


def _last_moment(of: time, now: float) -> float:
    """When the time of day last occurred."""
    today = datetime.fromtimestamp(now, of.tzinfo).date()
    days = (today, today - timedelta(days=1))
    return max(at for day in days if (at := datetime.combine(day, of).timestamp()) <= now)


def parse_bytes(text: str | int) -> int:
    """Read `1GB` (1000³), `512MiB` (1024²) or a number of bytes. Raises InputError."""
    if isinstance(text, int):
        return text
    parts = _BYTES.fullmatch(text)
    if parts is None:
        raise InputError(
            f"a size looks like 500MB, 1GB or 2GiB; got '{text[:60]}'",
            next_step="write a number and its unit: MB, GB, MiB or GiB",
        )
    unit = parts["unit"] or ""
    power = _POWERS[unit[0]] if unit else 0
    scale: int = (1024 if unit.endswith("i") else 1000) ** power
    return round(float(parts["count"]) * scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Stop once `after` jobs have ended and `percent`, or `count`, of them have failed."""

    after: int
    percent: float | None = None
    count: int | None = None

    def is_reached(self, failed: int, ended: int) -> bool:
        if not failed or ended < self.after:
            return False
        if self.count is not None:
            return failed >= self.count
        return self.percent is not None and failed * 100 >= self.percent * ended


def read_halt(failed: str | int, after: int | None) -> Halt:
    """`failed` is `20%` or a number of jobs, already checked by the schema.

    Without `after`, a number of failed jobs counts at once; only a share waits for more to end.
    """
    if isinstance(failed, int):
        return Halt(count=failed, after=after or 1)
    return Halt(percent=float(failed.strip().removesuffix("%")), after=after or AFTER)
