"""One row of a dataset: a result, and the split that it goes to."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.formats import MediaKind

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue
    from batchgen.state.results import Result

_BETWEEN = "-._ 0-9/"
_SPLIT_WORDS = re.compile(
    rf"(?:(?<=[{_BETWEEN}])|^)"
    r"(?:train|training|validation|valid|val|dev|test|testing|eval|evaluation)~*"
    rf"(?=[{_BETWEEN}]|$)",
    re.IGNORECASE,
)
"""What `datasets` looks for in names where no card says which files a split has."""


@dataclass(frozen=True, slots=True)
class Row:
    split: str
    result: Result

    @property
    def kind(self) -> MediaKind:
        return MediaKind(self.result.media_type.partition("/")[0])

    @property
    def name(self) -> str:
        """The file's name as the run has it, below `files`."""
        return self.result.path.partition("/")[2]

    @property
    def extension(self) -> str:
        """Without its dot: what kind of file it is to a loader of tar shards."""
        return self.name.rpartition(".")[2].lower()

    @property
    def plain_name(self) -> str:
        """The same without what a loader takes for the name of a split, as `photo of a train~`.

        One more `~` behind each such word: so two names never become one.
        """
        return _SPLIT_WORDS.sub(r"\g<0>~", self.name)


def fields_of(row: Row, file_name: str) -> dict[str, JsonValue]:
    """All that is known of a result, in the order of metadata.jsonl."""
    result = row.result
    sent = json.loads(result.body)
    return {
        "file_name": file_name,
        "id": result.job_id,
        "position": result.position,
        "model": result.model,
        "prompt": sent.get("prompt"),
        "input": sent,
        "seed": sent.get("seed"),
        "tags": json.loads(result.tags),
        "sweep": result.sweep,
        "axes": json.loads(result.axes, parse_constant=str),  # NaN is no JSON
        "pick": result.pick,
        "sha256": result.sha256,
        "media_type": result.media_type,
        "bytes": result.bytes,
        "width": result.width,
        "height": result.height,
        "seconds": result.seconds,
        "frames": result.frames,
        "request_id": result.request_id,
        "cost": result.cost,
    }


def flat_fields_of(row: Row, file_name: str) -> dict[str, JsonValue]:
    """The same for tables, where a column has one type: inputs have other keys for each model."""
    fields = fields_of(row, file_name)
    return {**fields, "input": row.result.body, "axes": row.result.axes}


def line_of(fields: dict[str, JsonValue]) -> bytes:
    """One line of JSON. A lone surrogate, which UTF-8 has no bytes for, stays an escape."""
    text = json.dumps(fields, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(fields).encode() + b"\n"
