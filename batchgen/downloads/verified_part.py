"""What is noted beside a verified `.part` until a bucket has stored it. Pure.

So a bucket that does not answer, or a process that dies, costs no second download.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from batchgen.downloads.outcomes import Fetched, VerifiedFile

if TYPE_CHECKING:
    from batchgen.downloads.outcomes import Target


def record_text(fetched: Fetched, target: Target) -> str:
    return json.dumps({"request": target.request, **asdict(fetched)}, ensure_ascii=False)


def parse_record(text: str, target: Target) -> Fetched | None:
    """Return None for another request's file, and for what record_text did not write."""
    try:
        found = json.loads(text)
        fetched = Fetched(VerifiedFile(**found["file"]), found["not_embedded"])
        is_same = found["request"] == target.request
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    stem, _, _extension = str(fetched.file.path).rpartition(".")
    return fetched if is_same and stem == f"{target.folder.name}/{target.name}" else None
