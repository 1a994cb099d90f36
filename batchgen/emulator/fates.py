"""What sticks to a request: how its end reads, each time that the result is asked for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from batchgen.emulator.edits import EDITS, urls_of
from batchgen.emulator.fault_json import parse_fate
from batchgen.emulator.refusals import INSUFFICIENT_RESOURCES

if TYPE_CHECKING:
    from batchgen.emulator.faults import Fault
    from batchgen.emulator.media import MediaFile
    from batchgen.emulator.offers import Makes
    from batchgen.emulator.store import StoredRequest

COUNTS_LOOKS = frozenset({"early_success", "late_cost"})


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a result: the how manieth, from 1, and the seconds since the request ended."""

    number: int
    since_end: float


Document: TypeAlias = Mapping[str, Any]
Ending: TypeAlias = Callable[[Document, "Fault", Look], Document]


def fate_of(stored: StoredRequest) -> Fault | None:
    return None if stored.fate is None else parse_fate(stored.fate)


def makes_of(stored: StoredRequest, usual: Makes) -> Makes:
    fate = fate_of(stored)
    return "png" if fate is not None and fate.kind == "picture_for_video" else usual


def ended(document: Document, fate: Fault, look: Look) -> Document:
    """Change the result of an ended request as its fate says."""
    if fate.kind in ENDINGS:
        return ENDINGS[fate.kind](document, fate, look)
    edit = EDITS.get(fate.kind)
    return document if edit is None else edit(document, fate)


def _failed(document: Document, fate: Fault, _look: Look) -> Document:
    return {**document, "error": fate.message}


def _with_reason(document: Document, fate: Fault, _look: Look) -> Document:
    return {**document, "failure_reason": fate.message}


def _without_balance(document: Document, _fate: Fault, _look: Look) -> Document:
    words = "InsufficientResources: the balance does not cover this request."
    return {**document, "error_code": INSUFFICIENT_RESOURCES, "error_message": words}


def _with_word(document: Document, fate: Fault, _look: Look) -> Document:
    return {**document, "status": fate.word}


def _too_early(document: Document, fate: Fault, look: Look) -> Document:
    over = look.since_end >= fate.seconds if fate.size is None else look.number > fate.size
    return document if over else _without(document, "output")


def _without_cost(document: Document, fate: Fault, look: Look) -> Document:
    looks = 1 if fate.size is None else fate.size
    return document if look.number > looks else _without(document, "cost")


def _with_text_cost(document: Document, _fate: Fault, _look: Look) -> Document:
    return {**document, "cost": str(document["cost"])} if "cost" in document else document


def _odd(document: Document, fate: Fault, _look: Look) -> Document:
    if "output" not in document:
        return document
    urls = list(urls_of(document))
    site = urlsplit(urls[0])
    request_id = document["request_id"]
    output = {
        "thumbnail_url": f"{site.scheme}://{site.netloc}{thumbnail_path(request_id)}",
        "page_url": f"{site.scheme}://{site.netloc}{page_path(request_id)}",
        "source": {"license": fate.url},
        "data": {"result_urls": urls},
    }
    return {**document, "output": output}


def _without(document: Document, key: str) -> Document:
    return {name: value for name, value in document.items() if name != key}


ENDINGS: Mapping[str, Ending] = {
    "vendor_failed": _failed,
    "failure_reason": _with_reason,
    "failed_for_balance": _without_balance,
    "final_word": _with_word,
    "early_success": _too_early,
    "late_cost": _without_cost,
    "text_cost": _with_text_cost,
    "odd_output": _odd,
}


def thumbnail_path(request_id: str) -> str:
    return f"/files/{request_id}/thumbnail.jpg"


def page_path(request_id: str) -> str:
    return f"/generations/{request_id}"


def data_uri(file: MediaFile) -> str:
    return f"data:{file.media_type};base64,{base64.b64encode(file.body).decode()}"
