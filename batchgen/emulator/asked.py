"""What an input asks for: pixels, seconds, a number of files, a file format.

Models name these differently; without a key the schema's default applies. Pure.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Extension: TypeAlias = Literal["png", "jpg", "mp4", "wav", "mp3"]
Kind: TypeAlias = Literal["image", "video", "audio"]

KINDS: Mapping[Extension, Kind] = {
    "png": "image",
    "jpg": "image",
    "mp4": "video",
    "wav": "audio",
    "mp3": "audio",
}
FRAMES_PER_SECOND = 24
DEFAULT_FRAMES = 121
DEFAULT_SECONDS = 5.0
CLIP_SIZE = (480, 270)
USUAL_SIZE = (1024, 1024)
MOST_SIDE = 8192
MOST_SECONDS = 600.0

SIZE_KEYS = ("width\N{MULTIPLICATION SIGN}height", "size", "image_size", "resolution")
COUNT_KEYS = ("num_images", "num_outputs", "n", "batch_size")
FORMAT_KEYS = ("output_format", "audio_format", "format")
_PIXELS = re.compile(r"(\d{2,5})\s*[x*\N{MULTIPLICATION SIGN}]\s*(\d{2,5})")
_RATIO = re.compile(r"(\d{1,2})\s*[:_/]\s*(\d{1,2})$")
_LINES = re.compile(r"(\d{3,4})p", re.IGNORECASE)
_THOUSANDS = re.compile(r"(\d)k", re.IGNORECASE)
_SECONDS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:s|sec|secs|seconds?)?\s*", re.IGNORECASE)
_FORMATS: Mapping[str, Extension] = {
    "png": "png",
    "jpg": "jpg",
    "jpeg": "jpg",
    "mp4": "mp4",
    "wav": "wav",
    "mp3": "mp3",
}


class Asked:
    """Reads one input of a model with this schema."""

    def __init__(self, schema: Mapping[str, Any], job_input: Mapping[str, Any]) -> None:
        self._parts: Mapping[str, Any] = schema.get("properties", {})
        self._input = job_input

    def _value(self, key: str) -> Any:
        return self._input.get(key, self._parts.get(key, {}).get("default"))

    def extension(self, usual: Extension) -> Extension:
        """The format that is asked for, if it is of the model's kind and can be made."""
        named = (str(self._value(key)).lower() for key in FORMAT_KEYS if key in self._parts)
        found = (_FORMATS[name] for name in named if name in _FORMATS)
        return next((one for one in found if KINDS[one] == KINDS[usual]), usual)

    def count(self) -> int | None:
        """How many files; None if the input does not say."""
        values = (self._value(key) for key in COUNT_KEYS if key in self._parts)
        found = (one for one in values if isinstance(one, int) and not isinstance(one, bool))
        return next((max(1, one) for one in found), None)

    def seconds(self) -> float:
        """How long a clip or a sound is. Whatever the vendor chooses for `auto`, here it is 5."""
        if "duration" in self._parts:
            value = self._value("duration")
            found = _SECONDS.fullmatch(str(value)) if not isinstance(value, bool) else None
            return min(float(found[1]), MOST_SECONDS) if found else DEFAULT_SECONDS
        return self._frames() / FRAMES_PER_SECOND if "frames" in self._parts else DEFAULT_SECONDS

    def billed_seconds(self) -> float:
        """A video is billed in whole seconds: 121 frames are 5, 241 are 10."""
        return self.seconds() if "duration" in self._parts else round(self.seconds())

    def frames(self) -> int:
        """How many frames a clip has."""
        if "duration" in self._parts or "frames" not in self._parts:
            has_frames = "frames" in self._parts
            return self._frames() if has_frames else max(1, round(self.seconds() * 24))
        return self._frames()

    def _frames(self) -> int:
        return int(self._value("frames") or DEFAULT_FRAMES)

    def clip_pixels(self) -> tuple[int, int]:
        """A small clip of the asked shape; of the asked size only if the input has pixels."""
        shape = {**self._input, "resolution": None}
        width, height = Asked({"properties": self._parts}, shape).pixels(CLIP_SIZE)
        return width - width % 2, height - height % 2

    def pixels(self, usual: tuple[int, int]) -> tuple[int, int]:
        """Width and height: `2304x1728(4:3)` is 2304 wide."""
        for key in SIZE_KEYS:
            if found := _size(self._value(key)):
                return found
        sides = self._value("width"), self._value("height")
        if found := _size({"width": sides[0], "height": sides[1]}):
            return found
        ratio = _ratio(self._value("aspect_ratio")) or _ratio(self._value("image_size"))
        return _scaled(ratio, self._value("resolution"), usual)


def _size(value: Any) -> tuple[int, int] | None:
    if isinstance(value, dict):
        width, height = value.get("width"), value.get("height")
        if not isinstance(width, int) or not isinstance(height, int):
            return None
        found = (width, height)
    else:
        match = _PIXELS.match(value) if isinstance(value, str) else None
        if match is None:
            return None
        found = (int(match[1]), int(match[2]))
    return found if all(1 <= side <= MOST_SIDE for side in found) else None


def _ratio(value: Any) -> float | None:
    """`16:9`, `landscape_16_9`, `portrait_4_3` (higher than wide), `square_hd`."""
    if not isinstance(value, str):
        return None
    found = _RATIO.search(value)
    if found is None or not int(found[1]) or not int(found[2]):
        return 1.0 if value.startswith("square") else None
    ratio = int(found[1]) / int(found[2])
    return 1 / ratio if value.startswith("portrait") and ratio > 1 else ratio


def _scaled(ratio: float | None, resolution: Any, usual: tuple[int, int]) -> tuple[int, int]:
    """Even sides of about the area of `usual`, or of the area that `2K` or `720p` mean."""
    area = usual[0] * usual[1]
    name = resolution if isinstance(resolution, str) else ""
    if found := _THOUSANDS.fullmatch(name):
        area = (int(found[1]) * 1024) ** 2
    elif found := _LINES.fullmatch(name):
        area = int(found[1]) ** 2 * 16 // 9
    if ratio is None and area == usual[0] * usual[1]:
        return usual
    wide = ratio or usual[0] / usual[1]
    return _even(math.sqrt(area * wide)), _even(math.sqrt(area / wide))


def _even(side: float) -> int:
    return max(16, min(MOST_SIDE, round(side / 8) * 8))
