"""RunComfy's dialect of JSON Schema, as far as a server can check an input without fetching.

`"type": "float"` is a JSON number; `"format": "image_uri"` is a URL that the vendor's servers can
fetch. Unknown keys are allowed, as in the vendor's schemas. Pictures sent as data: URIs are kept;
each gets a URL.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from jsonschema import Draft202012Validator, FormatChecker, TypeChecker
from jsonschema.validators import extend

from batchgen.emulator.deliveries import Payload, encoded, full_response
from batchgen.emulator.refusals import InputProblem, unknown_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

    from batchgen.emulator.store import Store


PATH = "/inputs/{request_id}/{number:\\d{1,4}}"
DATA_URI = re.compile(r"data:(image/(?:png|jpeg));base64,")


def is_picture(text: str) -> bool:
    """Whether a text is a data: URI of a PNG or JPEG, judged by its prefix and base64."""
    found = DATA_URI.match(text)
    if found is None:
        return False
    try:
        return bool(base64.b64decode(text[found.end() :], validate=True))
    except binascii.Error:
        return False


def with_picture_urls(text: str, origin: str, request_id: str) -> Any:
    """Return an input with a URL in place of each picture sent inside it."""
    numbers = count(1)

    def replaced(value: Any) -> Any:
        match value:
            case dict():
                return {key: replaced(one) for key, one in value.items()}
            case list():
                return [replaced(one) for one in value]
            case str() if DATA_URI.match(value):
                return f"{origin}/inputs/{request_id}/{next(numbers)}"
        return value

    return replaced(json.loads(text))


@dataclass(frozen=True, slots=True)
class Inputs:
    store: Store

    async def serve(self, request: web.Request) -> web.StreamResponse:
        stored = self.store.find(request.match_info["request_id"])
        pictures = [] if stored is None else list(_pictures(json.loads(stored.input)))
        number = int(request.match_info["number"])
        if not 1 <= number <= len(pictures):
            return full_response(encoded(unknown_path(request.path)))
        media_type, text = pictures[number - 1]
        return full_response(Payload(base64.b64decode(text), media_type))


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


LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost"})
MAX_MESSAGE = 300


def _is_number(_checker: TypeChecker, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_DialectValidator: type[Validator] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("float", _is_number),
)


def input_validator(schema: Mapping[str, Any]) -> Validator:
    """Build a validator, once per model: building it is most of a check's cost."""
    formats = FormatChecker(formats=())
    for name in FILE_FORMATS:
        formats.checks(name)(is_fetchable)
    return _DialectValidator(_in_draft(schema), format_checker=formats)


FILE_FORMATS = ("image_uri", "video_uri", "audio_uri")


def _in_draft(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write what only the dialect has as the draft does.

    `image_uris` at a list is `image_uri` at its items; `required: true` at a property is its name
    in the list of its object.
    """
    found = {key: _part_in_draft(key, value) for key, value in schema.items()}
    if found.get("format") in {f"{one}s" for one in FILE_FORMATS}:
        one = str(found.pop("format")).removesuffix("s")
        found |= {
            "type": "array",
            "items": {"type": "string", **found.get("items", {}), "format": one},
        }
    if isinstance(found.get("required"), bool):
        del found["required"]
    parts = schema.get("properties", {})
    needed = [name for name, part in parts.items() if part.get("required") is True]
    if needed:
        found["required"] = [*found.get("required", ()), *needed]
    return found


def _part_in_draft(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _in_draft(part) for name, part in value.items()}
    if key == "items" and isinstance(value, dict):
        return _in_draft(value)
    if key in {"allOf", "anyOf", "oneOf"}:
        return [_in_draft(part) for part in value]
    return value


def is_fetchable(value: object) -> bool:
    """Whether the vendor's servers could fetch the URL: HTTPS, a public host, no login.

    A data: URI of a picture needs no fetch; the vendor's own clients send those. Plain HTTP on this
    machine is allowed on any port: rehearsed chains use the emulator's own results, which an
    earlier emulator may have served on another port, and local test pictures.
    """
    if not isinstance(value, str):
        return True  # the "type" keyword reports it
    if value.startswith("data:"):
        return is_picture(value)
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        return False
    if url.scheme == "http":
        return url.hostname in LOOPBACK_NAMES and "@" not in url.netloc
    return url.scheme == "https" and "@" not in url.netloc and _is_public(url)


def _is_public(url: SplitResult) -> bool:
    host = (url.hostname or "").rstrip(".")
    if not host or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return ip_address(host).is_global
    except ValueError:
        return True  # a name: only DNS could tell more


def input_problems(validator: Validator, value: Any) -> Iterator[InputProblem]:
    for error in validator.iter_errors(value):
        yield InputProblem(tuple(error.absolute_path), _message(error), str(error.validator))


def _message(error: ValidationError) -> str:
    instance: Any = error.instance
    asked: Any = error.validator_value
    match error.validator:
        case "maxLength" | "minLength":
            return f"{len(instance)} characters; {error.validator} is {asked}"
        case "maxItems" | "minItems":
            return f"{len(instance)} items; {error.validator} is {asked}"
        case "format":
            return "not a public HTTPS URL of an image"
        case "enum":
            return f"must be one of {', '.join(map(str, asked))}"
    message = error.message
    return message if len(message) <= MAX_MESSAGE else f"…{message[-MAX_MESSAGE:]}"
