"""What stops the submits: too many failures, the hour, a full disk.

Checked only while a job waits to be submitted: after its last submit a run has nothing to stop.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from batchgen.errors import OutputError, StorageError
from batchgen.manifest.units import next_moment
from batchgen.pauses import Pause, PauseReason, pause_for, pause_for_disk
from batchgen.text import format_setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.engine.health import Health
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.ports import Disk, DiskUsage, Ports


CHECK_DISK_EVERY = 10.0
"""Seconds at least between two checks of the disk: the call may be slow."""
CHECK_CLOCK_EVERY = 30.0
"""Seconds between two checks of the clock before the time to start."""
MEBIBYTE = 1024**2
USUAL_FLOOR = 512 * MEBIBYTE
USUAL_SHARE = 100
"""A small disk need not keep 512 MiB free: a hundredth of its size is enough."""


class StopConditions:
    """Made when a run begins: its hours count from then."""

    def __init__(self, ports: Ports, policy: EnginePolicy, health: Health) -> None:
        self._health = health
        self._schedule = Schedule(policy, ports.store.now)
        self._disk = DiskSpace(ports.disk, policy.min_free)

    def not_before(self) -> float | None:
        """The loop's time before which nothing is submitted; None once that time has come."""
        return self._schedule.not_before()

    async def pause(self) -> Pause | None:
        """Why the next submit must not go out, if there is a reason."""
        # The disk first: while it is asked, the schedule may change.
        disk = await self._disk.pause()
        return self._health.halted or self._schedule.pause() or disk

    def retune(self, policy: EnginePolicy, at: float) -> None:
        """Set another end of the submits, decided `at` (epoch seconds)."""
        self._schedule.retune(policy, at)

    def ask_again(self, until: float | None) -> float | None:
        """Until when (the loop's time) to wait for a change, instead of until `until`."""
        moments = [moment for moment in (until, self._schedule.end()) if moment is not None]
        return min(moments, default=None)


class Schedule:
    """From when to when jobs are submitted: moments of the wall clock, and a time since the start.

    The moments are fixed at the start, but compared with the clock each time: a timer alone would
    be late by as long as the machine slept, and wrong by as much as the clock was set.
    The time since the start is the loop's, which cannot be set.
    """

    def __init__(self, policy: EnginePolicy, now: Callable[[], float]) -> None:
        self._policy = policy
        self._now = now
        self._started = _loop_time()
        self._begins_at = policy.begins_at or 0.0
        stop_at = policy.stop_at
        first = max(now(), self._begins_at)
        self._stop_at = None if stop_at is None else next_moment(stop_at, first)
        self._is_tuned = False

    def retune(self, policy: EnginePolicy, at: float) -> None:
        """A time of day is the next one after `at`, however late the change arrives here."""
        if policy.stop_at != self._policy.stop_at:
            first = max(at, self._begins_at)
            self._stop_at = None if policy.stop_at is None else next_moment(policy.stop_at, first)
            self._is_tuned = True
        self._policy = policy

    def not_before(self) -> float | None:
        if not self._begins_at:
            return None
        left = self._begins_at - self._now()
        if left > 0.0:
            # No timer runs while the machine sleeps, so the clock is checked now and then.
            return _loop_time() + min(left, CHECK_CLOCK_EVERY)
        self._begins_at, self._started = 0.0, _loop_time()
        return None

    def pause(self) -> Pause | None:
        if self._left_by_clock() == 0.0:
            return self._pause_for_clock()
        if self._left_by_duration() == 0.0:
            allowed = format_setting(self._policy.max_duration or 0.0)
            return pause_for(PauseReason.MAX_DURATION, duration=allowed)
        return None

    def end(self) -> float | None:
        """The loop's time at which the submits end, as far as is known; None once past."""
        left = [left for left in (self._left_by_clock(), self._left_by_duration()) if left]
        return _loop_time() + min(left) if left else None

    def _left_by_clock(self) -> float | None:
        return None if self._stop_at is None else max(0.0, self._stop_at - self._now())

    def _left_by_duration(self) -> float | None:
        longest = self._policy.max_duration
        return None if longest is None else max(0.0, self._started + longest - _loop_time())

    def _pause_for_clock(self) -> Pause:
        # A date stays past: the same command alone would never submit anything again, unless the
        # date was set for this run only.
        dated = isinstance(self._policy.stop_at, datetime) and not self._is_tuned
        before = "set stop_at to a later date, then " if dated else ""
        return pause_for(PauseReason.STOP_AT, stop_at=self._policy.stop_at, before=before)


class DiskSpace:
    """Checks the free space before a submit, not too often. `min_free` in bytes; 0: never."""

    def __init__(self, disk: Disk | None, min_free: int | None) -> None:
        self._disk = disk
        self._min_free = min_free
        self._next_check = float("-inf")

    async def pause(self) -> Pause | None:
        now = _loop_time()
        if self._disk is None or self._min_free == 0 or now < self._next_check:
            return None
        self._next_check = now + CHECK_DISK_EVERY
        try:
            usage = await self._disk.usage()
        except (StorageError, OutputError) as exc:
            return pause_for_disk(exc)
        return pause_for_usage(usage, self._min_free)


def pause_for_usage(usage: DiskUsage, min_free: int | None) -> Pause | None:
    """A pause where less than `min_free` bytes are left; None means the usual floor."""
    floor = min(USUAL_FLOOR, usage.total // USUAL_SHARE) if min_free is None else min_free
    if usage.free >= floor:
        return None
    return pause_for(
        PauseReason.DISK_NEARLY_FULL,
        where=usage.where,
        free=usage.free / MEBIBYTE,
        floor=floor / MEBIBYTE,
    )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
