"""How long a 429 asks to wait: RFC 9110, section 10.2.3."""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_WAIT = 300.0
"""Seconds. A server that asks for a week is not believed."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read the seconds to wait, from 0 to `LONGEST_WAIT`; None where the answer does not say.

    `now` is in seconds since the epoch. A date is measured against the answer's own `Date`, since
    this machine's clock may be wrong.
    """
    value = headers.get("Retry-After", "").strip()
    seconds = _number(value)
    if seconds is None:
        seconds = _until(value, headers.get("Date", ""), now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT)


def _number(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return None if math.isnan(seconds) else seconds


def _until(when: str, sent: str, now: float) -> float | None:
    target = _epoch(when)
    if target is None:
        return None
    start = _epoch(sent)
    return target - (now if start is None else start)


def _epoch(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
        # HTTP dates are GMT, also those that forget to say so.
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
