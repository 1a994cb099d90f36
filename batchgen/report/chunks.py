"""Jobs → chunks of data for the page.

A chunk is a script, because a page from file:// can load scripts but fetch nothing. Texts are in a
separate table: thousands of jobs share a model, a sweep, often a prompt.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.references import as_published
from batchgen.state.causes import cause_key
from batchgen.state.conditions import is_trouble
from batchgen.state.reuse import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchgen.jobs import JsonValue
    from batchgen.state.records import Attempt, JobRow, ReportedJob, Result

JOBS_IN_CHUNK = 2000
THUMB_DIGITS = 24
VENDOR_SIZE = "width\u00d7height"
LONGEST_VALUE = 400
"""In characters, of an input other than the prompt."""


def thumb_name(sha256: str) -> str:
    """Return the path below `thumbs/`, by content: equal files share one, none gets stale."""
    name = sha256[:THUMB_DIGITS]
    return f"{name[:2]}/{name}.webp"


def chunk_script(jobs: Sequence[ReportedJob], has_thumb: Callable[[str], bool]) -> str:
    """Return ASCII only: no character of a prompt can end the script or change its meaning."""
    return take_script(chunk_document(jobs, has_thumb))


def take_script(document: JsonValue) -> str:
    return f"batchgen.take({json.dumps(document, separators=(',', ':'))});\n"


def chunk_document(
    jobs: Sequence[ReportedJob], has_thumb: Callable[[str], bool]
) -> dict[str, JsonValue]:
    """Return what assets/store.js reads."""
    texts = _TextTable()
    rows: list[JsonValue] = [_row(job, texts, has_thumb) for job in jobs]
    return {"texts": list(texts.found), "rows": rows}


class _TextTable:
    """Each text once; rows refer to it by index."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        return self._places.setdefault(text, len(self._places))

    @property
    def found(self) -> list[str]:
        return list(self._places)


def _row(
    reported: ReportedJob, texts: _TextTable, has_thumb: Callable[[str], bool]
) -> list[JsonValue]:
    """Return fields in the order in which assets/store.js reads them."""
    job, attempt = reported.job, reported.attempt
    sent = json.loads(as_published(attempt.body if attempt else job.body))
    prompt = sent.pop("prompt", "")
    inputs: list[JsonValue] = []
    for name, value in sent.items():
        inputs += [texts.place(_input_name(name)), texts.place(_short(value))]
    tags: list[JsonValue] = [texts.place(str(tag)) for tag in json.loads(job.tags)]
    return [
        job.seq,
        job.id,
        texts.place(attempt.model if attempt else job.model),
        texts.place(job.state.value),
        texts.place(job.sweep),
        tags,
        texts.place(_short(prompt, None)),
        inputs,
        texts.place(_cause(job)),
        texts.place("" if job.state is JobState.DONE else _error_text(job)),
        job.attempts,
        attempt.request_id if attempt else None,
        _rounded(attempt.cost if attempt else None, 6),
        _rounded(_seconds(attempt), 2),
        [_file(file, texts, has_thumb) for file in reported.files],
        _axes(job, texts),
        _gate(job),
        _origin(attempt),
    ]


def _seconds(attempt: Attempt | None) -> float | None:
    """Return seconds from the vendor's acceptance to the end."""
    if attempt is None or attempt.ended_at is None or attempt.accepted_at is None:
        return None
    return attempt.ended_at - attempt.accepted_at


def _gate(job: JobRow) -> str:
    """Return the gate's state; closed while other jobs wait for this one's approval."""
    if not job.gate:
        return ""
    return "open" if job.approved else "closed"


def _origin(attempt: Attempt | None) -> str:
    """Return where a result of another run comes from; empty for one of this run."""
    if attempt is None or attempt.reused_from is None:
        return ""
    return source_of(attempt.reused_from).origin


def _axes(job: JobRow, texts: _TextTable) -> list[JsonValue]:
    # Not shortened: values that begin alike, as prompts do, must stay distinct.
    found: list[JsonValue] = []
    for name, value in json.loads(job.axes).items():
        found += [texts.place(name), texts.place(_short(value, None))]
    return found


def _cause(job: JobRow) -> str:
    """Return the key of the job's cause; empty if it has no trouble."""
    if not is_trouble(job.state, job.error_code):
        return ""
    return cause_key(job.id, job.state, job.error_code, job.error)


def _error_text(job: JobRow) -> str:
    return ": ".join(filter(None, (job.error_code, job.error)))


def _file(file: Result, texts: _TextTable, has_thumb: Callable[[str], bool]) -> list[JsonValue]:
    flaws: list[JsonValue] = []
    for kind, message in file.flaws.items():
        flaws += [texts.place(kind), texts.place(message)]
    return [
        file.path,
        file.sha256[:THUMB_DIGITS] if has_thumb(file.sha256) else "",
        file.media_type,
        file.width,
        file.height,
        file.bytes,
        _rounded(file.seconds, 2),
        file.id,
        file.position,
        file.pick or "",
        flaws,
    ]


def _input_name(name: str) -> str:
    """Call the size `size`; the vendor's key spells out width and height."""
    return "size" if name == VENDOR_SIZE else name


def _short(value: JsonValue, longest: int | None = LONGEST_VALUE) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if longest is None or len(text) <= longest else text[:longest] + "…"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
