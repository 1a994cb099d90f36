"""What faults do to a response: change it, replace it, or spoil a request's result for good."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from batchgen.emulator.deliveries import JSON_TYPE, Answer, Payload, encoded
from batchgen.emulator.drawing import rgb_png
from batchgen.emulator.faults import parse_fault
from batchgen.emulator.refusals import (
    INSUFFICIENT_FUNDS,
    INSUFFICIENT_RESOURCES,
    INVALID_INPUT,
    refusal,
    unknown_request,
)

if TYPE_CHECKING:
    from batchgen.emulator.asked import Extension
    from batchgen.emulator.faults import Fault
    from batchgen.emulator.store import StoredRequest


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
    """Leave refusals as they are: they have no state or output to change."""
    if fault.kind == "headers":
        return replace(answer, headers={**answer.headers, **fault.headers})
    edit = EDITS.get(fault.kind)
    if edit is None or "error_message" in answer.document:
        return answer
    return replace(answer, document=edit(answer.document, fault))


HTML_TYPE = "text/html"
HTML_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to this network."
BOMB_BYTES = 64 * 1024 * 1024
DEEP_LEVELS = 100_000
BOMB_SIDE = 60_000
GZIP_WINDOW = 31


def plain_status(fault: Fault) -> Payload:
    status = fault.status or HTTPStatus.INTERNAL_SERVER_ERROR
    if fault.body:
        return Payload(fault.body.encode(), JSON_TYPE, status, fault.headers)
    message = {"error_message": f"HTTP {status}, as asked for."}
    return Payload(json.dumps(message).encode(), JSON_TYPE, status, fault.headers)


def error_code(fault: Fault) -> Payload:
    answer = refusal(fault.status or HTTPStatus.OK, fault.message, fault.error_code)
    return encoded(answer)


def no_funds(fault: Fault) -> Payload:
    message = "InsufficientFunds: the wallet cannot pay for this request."
    return encoded(refusal(fault.status or HTTPStatus.BAD_REQUEST, message, INSUFFICIENT_FUNDS))


def invalid_input(fault: Fault) -> Payload:
    """Refuse the prompt, as a server with a stricter schema than the published one does."""
    detail = [{"loc": ["body", "prompt"], "msg": fault.message, "type": "value_error"}]
    key = "error_message" if fault.word == "error_message" else "detail"
    status = fault.status or HTTPStatus.UNPROCESSABLE_ENTITY
    return encoded(Answer({"error_code": INVALID_INPUT, key: detail}, status))


def html(fault: Fault) -> Payload:
    return Payload(HTML_PAGE, HTML_TYPE, fault.status or HTTPStatus.OK, fault.headers)


def redirect(fault: Fault) -> Payload:
    # 307 keeps method and body: a client that follows it sends the submit twice.
    usual = HTTPStatus.FOUND if fault.on == "file" else HTTPStatus.TEMPORARY_REDIRECT
    return Payload(b"", HTML_TYPE, fault.status or usual, {"Location": fault.url})


def not_found(_fault: Fault) -> Payload:
    return encoded(unknown_request("this one"))


def gzip_bomb(fault: Fault) -> Payload:
    headers = {"Content-Encoding": "gzip"}
    return Payload(_gzipped_zeros(fault.size or BOMB_BYTES), JSON_TYPE, HTTPStatus.OK, headers)


@lru_cache(maxsize=2)
def _gzipped_zeros(size: int) -> bytes:
    packer = zlib.compressobj(1, wbits=GZIP_WINDOW)
    whole, rest = divmod(size, 65536)
    parts = [packer.compress(bytes(65536)) for _ in range(whole)]
    return b"".join([*parts, packer.compress(bytes(rest)), packer.flush()])


def deep_json(fault: Fault) -> Payload:
    levels = fault.size or DEEP_LEVELS
    return Payload(b"[" * levels + b"]" * levels)


def huge_json(fault: Fault) -> Payload:
    return Payload(b'{"padding": "' + b"x" * (fault.size or BOMB_BYTES) + b'"}')


SUBSTITUTES: Mapping[str, Callable[[Fault], Payload]] = {
    "status": plain_status,
    "error_code": error_code,
    "no_funds": no_funds,
    "invalid_input": invalid_input,
    "html": html,
    "redirect": redirect,
    "not_found": not_found,
    "gzip_bomb": gzip_bomb,
    "deep_json": deep_json,
    "huge_json": huge_json,
}


def png_bomb() -> bytes:
    """Make a short PNG whose header claims 60000 x 60000 pixels."""
    return rgb_png(BOMB_SIDE, BOMB_SIDE, bytes(1024))


COUNTS_RESULT_CALLS = frozenset({"early_success", "late_cost"})


@dataclass(frozen=True, slots=True)
class ResultCall:
    """A result call for an ended request: its number, from 1, and the seconds since the end."""

    number: int
    since_end: float


ResultEdit: TypeAlias = Callable[[Document, "Fault", ResultCall], Document]


def sticky_fault_of(stored: StoredRequest) -> Fault | None:
    return None if stored.sticky_fault is None else parse_fault(stored.sticky_fault)


def extension_of(stored: StoredRequest, usual: Extension) -> Extension:
    fault = sticky_fault_of(stored)
    return "png" if fault is not None and fault.kind == "picture_for_video" else usual


def spoiled_result(document: Document, fault: Fault, call: ResultCall) -> Document:
    """Change the result of an ended request as its sticky fault says."""
    if fault.kind in RESULT_EDITS:
        return RESULT_EDITS[fault.kind](document, fault, call)
    edit = EDITS.get(fault.kind)
    return document if edit is None else edit(document, fault)


def _failed(document: Document, fault: Fault, _call: ResultCall) -> Document:
    return {**document, "error": fault.message}


def _with_reason(document: Document, fault: Fault, _call: ResultCall) -> Document:
    return {**document, "failure_reason": fault.message}


def _without_balance(document: Document, _fault: Fault, _call: ResultCall) -> Document:
    message = "InsufficientResources: the balance does not cover this request."
    return {**document, "error_code": INSUFFICIENT_RESOURCES, "error_message": message}


def _with_final_state(document: Document, fault: Fault, _call: ResultCall) -> Document:
    return {**document, "status": fault.word}


def _too_early(document: Document, fault: Fault, call: ResultCall) -> Document:
    over = call.since_end >= fault.seconds if fault.size is None else call.number > fault.size
    return document if over else _without(document, "output")


def _without_cost(document: Document, fault: Fault, call: ResultCall) -> Document:
    calls = 1 if fault.size is None else fault.size
    return document if call.number > calls else _without(document, "cost")


def _with_text_cost(document: Document, _fault: Fault, _call: ResultCall) -> Document:
    return {**document, "cost": str(document["cost"])} if "cost" in document else document


def _with_odd_output(document: Document, fault: Fault, _call: ResultCall) -> Document:
    if "output" not in document:
        return document
    urls = list(urls_of(document))
    site = urlsplit(urls[0])
    request_id = document["request_id"]
    output = {
        "thumbnail_url": f"{site.scheme}://{site.netloc}{thumbnail_path(request_id)}",
        "page_url": f"{site.scheme}://{site.netloc}{page_path(request_id)}",
        "source": {"license": fault.url},
        "data": {"result_urls": urls},
    }
    return {**document, "output": output}


def _without(document: Document, key: str) -> Document:
    return {name: value for name, value in document.items() if name != key}


RESULT_EDITS: Mapping[str, ResultEdit] = {
    "vendor_failed": _failed,
    "failure_reason": _with_reason,
    "failed_for_balance": _without_balance,
    "final_word": _with_final_state,
    "early_success": _too_early,
    "late_cost": _without_cost,
    "text_cost": _with_text_cost,
    "odd_output": _with_odd_output,
}


def thumbnail_path(request_id: str) -> str:
    return f"/files/{request_id}/thumbnail.jpg"


def page_path(request_id: str) -> str:
    return f"/generations/{request_id}"
