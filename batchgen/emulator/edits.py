"""Faults that change a true answer: document in, document out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from batchgen.emulator.faults import Fault
    from batchgen.emulator.payloads import Answer

Document: TypeAlias = Mapping[str, Any]


def without_request_id(document: Document, _fault: Fault) -> Document:
    return {key: value for key, value in document.items() if key != "request_id"}


def with_unknown_state(document: Document, fault: Fault) -> Document:
    return {**document, "status": fault.word}


def backwards(document: Document, _fault: Fault) -> Document:
    gone = {"output", "error", "finished_at", "cost"}
    kept = {key: value for key, value in document.items() if key not in gone}
    return {**kept, "status": "in_queue", "queue_position": 1}


def with_queue_position(document: Document, fault: Fault) -> Document:
    kept = {key: value for key, value in document.items() if key != "queue_position"}
    return kept if fault.position is None else {**kept, "queue_position": fault.position}


def without_urls(document: Document, _fault: Fault) -> Document:
    return {**document, "output": {}} if "output" in document else document


def with_string_output(document: Document, _fault: Fault) -> Document:
    return {**document, "output": next(urls_of(document))} if "output" in document else document


def with_list_output(document: Document, _fault: Fault) -> Document:
    return {**document, "output": list(urls_of(document))} if "output" in document else document


def with_foreign_host(document: Document, fault: Fault) -> Document:
    return {**document, "output": {"image": fault.url}} if "output" in document else document


def urls_of(document: Document) -> Iterator[str]:
    for value in document["output"].values():
        yield from [value] if isinstance(value, str) else value


EDITS: Mapping[str, Callable[[Document, Fault], Document]] = {
    "no_request_id": without_request_id,
    "unknown_state": with_unknown_state,
    "state_backwards": backwards,
    "queue_position": with_queue_position,
    "no_urls": without_urls,
    "string_output": with_string_output,
    "list_output": with_list_output,
    "foreign_host": with_foreign_host,
}


def edited(answer: Answer, fault: Fault) -> Answer:
    """Refusals are left as they are: there is no state or output in them to change."""
    if fault.kind == "headers":
        return replace(answer, headers={**answer.headers, **fault.headers})
    edit = EDITS.get(fault.kind)
    if edit is None or "error_message" in answer.document:
        return answer
    return replace(answer, document=edit(answer.document, fault))
