"""Pictures that are sent within an input, as data: URIs: kept, and shown by a URL of their own."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from batchgen.emulator.deliveries import whole
from batchgen.emulator.payloads import Payload, encoded
from batchgen.emulator.refusals import unknown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from batchgen.emulator.store import Store

PATH = "/inputs/{request_id}/{number:\\d{1,4}}"
DATA_URI = re.compile(r"data:(image/(?:png|jpeg));base64,")


def is_picture(text: str) -> bool:
    """Tell whether a text is a data: URI of a PNG or JPEG, by its head and alphabet."""
    found = DATA_URI.match(text)
    if found is None:
        return False
    try:
        return bool(base64.b64decode(text[found.end() :], validate=True))
    except binascii.Error:
        return False


def shown(text: str, origin: str, request_id: str) -> Any:
    """Read an input back, with a URL in the place of each picture that came within it."""
    numbers = count(1)

    def show(value: Any) -> Any:
        match value:
            case dict():
                return {key: show(one) for key, one in value.items()}
            case list():
                return [show(one) for one in value]
            case str() if DATA_URI.match(value):
                return f"{origin}/inputs/{request_id}/{next(numbers)}"
        return value

    return show(json.loads(text))


@dataclass(frozen=True, slots=True)
class Inputs:
    store: Store

    async def serve(self, request: web.Request) -> web.StreamResponse:
        stored = self.store.find(request.match_info["request_id"])
        pictures = [] if stored is None else list(_pictures(json.loads(stored.input)))
        number = int(request.match_info["number"])
        if not 1 <= number <= len(pictures):
            return whole(encoded(unknown_path(request.path)))
        media_type, text = pictures[number - 1]
        return whole(Payload(base64.b64decode(text), media_type))


def _pictures(value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for one in value.values():
                yield from _pictures(one)
        case list():
            for one in value:
                yield from _pictures(one)
        case str() if found := DATA_URI.match(value):
            yield found[1], value[found.end() :]
