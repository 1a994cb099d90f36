"""Is a result what its input asked for? Pure; only where the published contract makes it sure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from batchgen.check.kinds import Kind
from batchgen.models.catalog import wrong_kind
from batchgen.models.sizes import SIZE_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.state.results import Result

FRAMES_KEY = "frames"
"""The page: "total number of frames to generate". It says of seconds only about how many."""
_SIZE = re.compile(r"(\d+)x(\d+)")


def broken_promises(result: Result) -> dict[Kind, str]:
    """Words by kind. A key that was not sent promises nothing: its default is the page's alone."""
    sent = json.loads(result.body)
    found = {
        Kind.WRONG_KIND: wrong_kind(result.model, result.media_type),
        Kind.WRONG_SIZE: _size(sent, result),
        Kind.WRONG_LENGTH: _length(sent, result),
    }
    return {kind: words for kind, words in found.items() if words}


def _size(sent: Mapping[str, object], result: Result) -> str:
    asked = _SIZE.match(str(sent.get(SIZE_KEY, "")))
    if asked is None or (int(asked[1]), int(asked[2])) == (result.width, result.height):
        return ""
    return f"{result.width}x{result.height} pixels; {asked[0]} were asked for"


def _length(sent: Mapping[str, object], result: Result) -> str:
    asked = sent.get(FRAMES_KEY)
    if not isinstance(asked, int) or result.frames is None or asked == result.frames:
        return ""
    return f"{result.frames} frames; {asked} were asked for"
