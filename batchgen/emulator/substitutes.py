"""Faults that answer something else: bytes that have nothing to do with the call."""

from __future__ import annotations

import json
import zlib
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from batchgen.emulator.payloads import JSON_TYPE, Answer, Payload, encoded
from batchgen.emulator.raw_png import rgb_png
from batchgen.emulator.refusals import (
    INSUFFICIENT_FUNDS,
    INVALID_INPUT,
    refusal,
    unknown_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchgen.emulator.faults import Fault

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
    """Refuse the prompt, as a server does whose schema knows more than the published one."""
    detail = [{"loc": ["body", "prompt"], "msg": fault.message, "type": "value_error"}]
    key = "error_message" if fault.word == "error_message" else "detail"
    status = fault.status or HTTPStatus.UNPROCESSABLE_ENTITY
    return encoded(Answer({"error_code": INVALID_INPUT, key: detail}, status))


def html(fault: Fault) -> Payload:
    return Payload(HTML_PAGE, HTML_TYPE, fault.status or HTTPStatus.OK, fault.headers)


def redirect(fault: Fault) -> Payload:
    # 307 keeps method and body: the kind of redirect that would send a submit twice.
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
