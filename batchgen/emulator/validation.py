"""RunComfy's dialect of JSON Schema, as far as a server can check an input without fetching.

`"type": "float"` is a JSON number; `"format": "image_uri"` is a URL that the vendor's servers can
fetch. Unknown keys are allowed, as in the vendor's schemas.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from jsonschema import Draft202012Validator, FormatChecker, TypeChecker
from jsonschema.validators import extend

from batchgen.emulator.input_places import FORMATS
from batchgen.emulator.refusals import InputProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator


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
    for name in FORMATS:
        formats.checks(name)(is_fetchable)
    return _DialectValidator(_in_draft(schema), format_checker=formats)


def _in_draft(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write what only the dialect has as the draft does.

    `image_uris` at a list is `image_uri` at its items; `required: true` at a property is its name
    in the list of its object.
    """
    found = {key: _part_in_draft(key, value) for key, value in schema.items()}
    if found.get("format") in {f"{one}s" for one in FORMATS}:
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

    A data: URI needs no fetch; what is in it is checked apart. Plain HTTP on this machine is
    allowed on any port: rehearsed chains use the emulator's own results, which an earlier emulator
    may have served on another port, and local test pictures.
    """
    if not isinstance(value, str):
        return True  # the "type" keyword reports it
    if value.startswith("data:"):
        return True
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        return False
    if url.scheme == "http":
        return is_on_this_machine(url) and "@" not in url.netloc
    return url.scheme == "https" and "@" not in url.netloc and _is_public(url)


def is_on_this_machine(url: SplitResult) -> bool:
    return url.hostname in LOOPBACK_NAMES


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
