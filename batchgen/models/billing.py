"""How many files and seconds an input asks for: what a price is multiplied by. Pure.

`duration` is a number, or a text such as `5`, `5s` or `auto`; `frames` are 24 a second. A count is
`num_images` and the like.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DURATION = "duration"
FRAMES = "frames"
COUNTS = ("num_images", "num_outputs", "n", "batch_size")
BILLED = (FRAMES, DURATION, *COUNTS)
"""The keys of an input that its price depends on."""
FRAMES_PER_SECOND = 24
_SECONDS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:s|sec|secs|seconds?)?\s*", re.IGNORECASE)


def billed_files(rules: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """The files that may be billed for an input, with the page's default; 1 if it does not say.

    If the vendor chooses the number, this is the highest that it may choose.
    """
    for key in COUNTS:
        part = rules["properties"].get(key)
        if part is None:
            continue
        value = values.get(key, part.get("default"))
        for one in (value, part.get("maximum"), part.get("minimum")):
            if isinstance(one, int) and not isinstance(one, bool) and one >= 1:
                return one
    return 1


def billed_seconds(rules: Mapping[str, Any], values: Mapping[str, Any]) -> float | None:
    """The seconds that may be billed for an input, with the page's default; None if unknown.

    If the vendor chooses the length, as for `auto`, this is the longest that it may choose: a
    budget must not be exceeded.
    """
    for key, read in ((DURATION, read_seconds), (FRAMES, _of_frames)):
        part = rules["properties"].get(key)
        if part is None:
            continue
        value = values.get(key, part.get("default"))
        seconds = read(value)
        if seconds is not None:
            return seconds
        choices = [read(one) for one in (*part.get("enum", ()), part.get("maximum"))]
        return max((one for one in choices if one is not None), default=None)
    return None


def read_seconds(value: Any) -> float | None:
    """`5`, `5.5`, `"5"`, `"5s"`; None for `auto`, for -1 and for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if value > 0 else None
    found = _SECONDS.fullmatch(value) if isinstance(value, str) else None
    seconds = float(found[1]) if found else 0.0
    return seconds or None


def _of_frames(frames: Any) -> float | None:
    """The first frame is at 0 s: 121 frames are 5 s."""
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
        return None
    return (frames - 1) / FRAMES_PER_SECOND
