"""Why jobs are not done, which of them share a cause, and what a shell completes."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.conditions import VISIBLE

if TYPE_CHECKING:
    import sqlite3

    from batchgen.state.conditions import Condition


KEY_DIGITS = 8
_WITHIN_WORDS = frozenset("_-")
_VARYING = re.compile(
    r"https?://\S+"
    r"|(?<![\w-])(?=[A-Za-z_-]{0,127}\d)(?=[\d_-]{0,127}[A-Za-z])[A-Za-z0-9_-]{8,}(?![\w-])"
    r"|[0-9a-fA-F]{8}[0-9a-fA-F-]*"
    r"|\d+(?:\.\d+)?"
)
"""What differs between two messages of one cause: URLs, ids, figures.

An id is a word of eight characters or more with both letters and digits, as the vendor's request
ids are; a shorter one, such as h264 or t2i, may be what the cause is about.
"""


def cause_key(job_id: str, state: str, error_code: str | None, error: str | None) -> str:
    """Name a cause: the same for jobs whose messages differ in figures, ids and URLs only.

    The state keeps it: if it is found otherwise one day, the state gets a new version.
    """
    # What a blocked job waits for is another job, a different one each time.
    words = "" if state == JobState.BLOCKED else error or ""
    plain = " ".join(map(_plain, without_word(words, job_id).split()))
    text = "\n".join((state, error_code or "", plain))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


@lru_cache(1024)
def _plain(word: str) -> str:
    """By words, since most of them are the same in 100,000 messages."""
    return _VARYING.sub("#", word)


def without_word(text: str, word: str) -> str:
    r"""Put `#` for a word wherever it is one: an id may be a single letter.

    As the pattern `(?<![\w-])word(?![\w-])` would: to compile one for each of 100,000 ids takes
    ten times as long as all the rest.
    """
    kept: list[str] = []
    begin = 0
    at = text.find(word) if word else -1
    while at >= 0:
        end = at + len(word)
        if _continues(text[at - 1 : at]) or _continues(text[end : end + 1]):
            at = text.find(word, at + 1)
            continue
        kept += [text[begin:at], "#"]
        begin = end
        at = text.find(word, end)
    return "".join((*kept, text[begin:])) if kept else text


def _continues(neighbour: str) -> bool:
    """Whether a word goes on there; at either end of a text there is no neighbour."""
    return neighbour.isalnum() or neighbour in _WITHIN_WORDS


def of_cause(key: str) -> Condition:
    """Jobs that are in trouble for this very cause: those that a report counts, and no others.

    Asked of the state's own table, whatever replaces `job` around it: jobs that were only
    read from a manifest are in no trouble.
    """
    return (f"job.id IN (SELECT job.id FROM main.job AS job WHERE job.cause = ? AND {VISIBLE})"), (
        key,
    )


MOST_READ = 20_000
"""Jobs whose tags are read."""

LAST = "\U0010ffff"
"""Sorts behind every character that an id may have."""


def job_ids(db: sqlite3.Connection, begin: str, limit: int, condition: str) -> list[str]:
    """Ids that begin so, in their order; `condition` is about the table `job`."""
    rows = db.execute(
        "SELECT id FROM job WHERE id >= ? AND id < ? AND listed = 1"
        f" AND {condition} ORDER BY id LIMIT ?",
        (begin, begin + LAST, limit),
    )
    return [job_id for (job_id,) in rows]


def tags(db: sqlite3.Connection, begin: str, limit: int) -> list[str]:
    """Tags of the first jobs."""
    rows = db.execute(
        "SELECT DISTINCT value FROM (SELECT tags FROM job WHERE tags != '[]' LIMIT ?) AS some,"
        " json_each(some.tags) WHERE value >= ? AND value < ? ORDER BY value LIMIT ?",
        (MOST_READ, begin, begin + LAST, limit),
    )
    return [tag for (tag,) in rows]
