"""Files inside a request, as data: URIs: checked, kept once, and served by a URL of their own."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchgen.emulator.deliveries import encoded, full_response
from batchgen.emulator.files import media_file, ranged
from batchgen.emulator.input_places import input_places
from batchgen.emulator.media_checks import (
    MEBIBYTE,
    MEDIA_TYPES,
    MOST_BYTES_IN_BODY,
    MOST_PIXELS,
    MOST_PIXELS_IN_BODY,
    TYPE_OF_EXTENSION,
    NotMediaError,
    broken_rules,
    facts_of,
)
from batchgen.emulator.refusals import InputProblem, unknown_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

    from batchgen.emulator.contents import Contents
    from batchgen.emulator.input_places import InputPlace

PATH = r"/inputs/{sha256:[0-9a-f]{64}}.{extension:\w+}"
OWN_PATH = re.compile(r"/inputs/(?P<sha256>[0-9a-f]{64})\.(?P<extension>\w+)", re.ASCII)
DATA_URI = re.compile(r"data:(?P<type>[a-z]+/[a-z0-9.+-]+)(?:;[a-z-]+=[^;,]*)*;base64,", re.ASCII)
AT_ONCE = 2
"""Files are decoded: a picture of 32 megapixels takes 100 MB while that goes on."""


@dataclass(frozen=True, slots=True)
class SentFile:
    body: bytes
    extension: str


@dataclass(frozen=True, slots=True)
class Taken:
    """An input with URLs in place of the files that came in it, or what is wrong with those."""

    value: Any
    problems: tuple[InputProblem, ...] = ()


class SentFiles:
    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def take(self, schema: Mapping[str, Any], value: Any) -> Taken:
        async with self._turn:
            return await asyncio.to_thread(self._take, schema, value)

    def _take(self, schema: Mapping[str, Any], value: Any) -> Taken:
        files: dict[str, SentFile] = {}
        problems: list[InputProblem] = []
        for place in input_places(schema, value):
            if place.text.startswith("data:") and place.text not in files:
                try:
                    files[place.text] = sent_file(place)
                except RefusedFileError as exc:
                    problems.append(InputProblem(place.path, str(exc), exc.rule))
        if problems:
            return Taken(value, tuple(problems))
        # A file may be where the schema names none; it need not be sound, but is not stored twice.
        files |= {text: one for text in set(_texts(value)) - set(files) if (one := _kept_as(text))}
        urls = {text: self._keep(file) for text, file in files.items()}
        return Taken(_replaced(value, urls))

    def _keep(self, file: SentFile) -> str:
        return f"/inputs/{self._contents.put(file.body)}.{file.extension}"

    async def own(self, path: str, _query: Mapping[str, str]) -> bytes | None:
        """Read a file that came in a request by its URL's path, whatever the port."""
        found = OWN_PATH.fullmatch(path)
        if found is None:
            return None
        return await asyncio.to_thread(self._contents.read, found["sha256"])

    async def serve(self, request: web.Request) -> web.StreamResponse:
        extension = request.match_info["extension"]
        body = await asyncio.to_thread(self._contents.read, request.match_info["sha256"])
        if body is None or extension not in TYPE_OF_EXTENSION:
            return full_response(encoded(unknown_path(request.path)))
        return full_response(ranged(request, media_file(body, TYPE_OF_EXTENSION[extension])))


class RefusedFileError(Exception):
    """A sentence without its subject; `rule` is what is broken."""

    def __init__(self, sentence: str, rule: str) -> None:
        super().__init__(sentence)
        self.rule = rule


def sent_file(place: InputPlace) -> SentFile:
    """Decode the file at a place. Raises RefusedFileError."""
    found = DATA_URI.match(place.text)
    media = MEDIA_TYPES.get(found["type"]) if found else None
    if found is None or media is None or media.kind != place.kind:
        known = ", ".join(name for name, one in MEDIA_TYPES.items() if one.kind == place.kind)
        raise RefusedFileError(f"not a base64 data: URI of {known}", "format")
    try:
        body = base64.b64decode(place.text[found.end() :], validate=True)
    except binascii.Error as exc:
        raise RefusedFileError("the base64 of the data: URI is broken", "format") from exc
    most = MOST_BYTES_IN_BODY[place.kind]
    if len(body) > most:
        raise RefusedFileError(
            f"the {place.kind} has {len(body)} bytes; inside a request,"
            f" {most // MEBIBYTE} MiB is the limit",
            "file_size",
        )
    check_file(body, place, media.marks, MOST_PIXELS_IN_BODY)
    return SentFile(body, media.extension)


def check_file(
    body: bytes,
    place: InputPlace,
    marks: frozenset[str] | None = None,
    most_pixels: int = MOST_PIXELS,
) -> None:
    """Decode a file and judge it by the page's rules, and by the format that it should have.

    Takes up to a second: call it in a thread. Raises RefusedFileError.
    """
    try:
        facts = facts_of(body, place.kind, most_pixels)
    except NotMediaError as exc:
        raise RefusedFileError(f"the {place.kind} {exc}", "format") from exc
    if marks is not None and not marks & facts.marks:
        raise RefusedFileError(f"the {place.kind} is not of the type it is said to be", "format")
    for sentence, rule in broken_rules(place.rules, facts):
        raise RefusedFileError(sentence, rule)


def _texts(value: Any) -> Iterator[str]:
    """Each data: URI in an input."""
    match value:
        case dict():
            for one in value.values():
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)
        case str() if value.startswith("data:"):
            yield value


def _kept_as(text: str) -> SentFile | None:
    found = DATA_URI.match(text)
    media = MEDIA_TYPES.get(found["type"]) if found else None
    if found is None or media is None:
        return None
    try:
        return SentFile(base64.b64decode(text[found.end() :], validate=True), media.extension)
    except binascii.Error:
        return None


def _replaced(value: Any, urls: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {key: _replaced(one, urls) for key, one in value.items()}
        case list():
            return [_replaced(one, urls) for one in value]
        case str():
            return urls.get(value, value)
    return value


def with_origin(text: str, origin: str) -> Any:
    """Return a stored input with whole URLs of the files that came in it."""

    def whole(value: Any) -> Any:
        match value:
            case dict():
                return {key: whole(one) for key, one in value.items()}
            case list():
                return [whole(one) for one in value]
            case str() if OWN_PATH.fullmatch(value):
                return origin + value
        return value

    return whole(json.loads(text))
