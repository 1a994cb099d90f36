"""Which file of another job a reference means. Pure: references and files in, a file out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchgen.references import Reference
    from batchgen.state.records import NeededFile


@dataclass(frozen=True, slots=True)
class NoSuchOutput:
    """The job is done, and did not give what was asked of it."""

    reason: str


def file_for(reference: Reference, files: Iterable[NeededFile]) -> NeededFile | NoSuchOutput:
    """The file at the reference's place among those of its kind, in the vendor's order."""
    kind = reference.kind
    found = sorted(
        (
            file
            for file in files
            if file.job_id == reference.job_id and file.media_type.startswith(f"{kind}/")
        ),
        key=lambda file: file.position,
    )
    if reference.position < len(found):
        return found[reference.position]
    gave = {0: f"no {kind}", 1: f"1 {kind}"}.get(len(found), f"{len(found)} {kind}s")
    return NoSuchOutput(
        f"{reference.job_id} gave {gave}; {kind}s[{reference.position}] was asked for"
    )


def expired(file: NeededFile, reason: str) -> str:
    """Why a result cannot be handed on, and what a person can do about it."""
    return (
        f"the vendor no longer serves the result of {file.job_id} ({reason});"
        " put its saved file where the vendor can fetch it, and write that URL in its place"
    )
