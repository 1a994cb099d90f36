"""Checks the input of every job against its model, before any money is spent."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from batchgen.jobs import JsonObject, JsonValue, canonical_json
from batchgen.models.compiled_validator import (
    INTEGER_MAX,
    INTEGER_MIN,
    Accepts,
    compile_schema,
)
from batchgen.models.fields import SHORT_KEY, SIZE_KEY, with_full_size
from batchgen.models.messages import (
    AFTER_COMMA_HINT,
    InputProblem,
    Path,
    describe_all,
    describe_path,
    format_value,
    one_of,
)
from batchgen.text import did_you_mean, nearest

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from batchgen.models.catalog import Model

_SURROGATE = re.compile("[\ud800-\udfff]")


# Made a million times: a named tuple takes half as long as a dataclass.
class CheckedInput(NamedTuple):
    """A valid input. `values` has the schema's own keys; `body` is the text that is sent."""

    values: JsonObject
    body: str


def check_input(
    model: Model, given: JsonObject, *, rehearsal: bool = False
) -> CheckedInput | list[InputProblem]:
    """Return the input ready to be sent, or everything that is wrong with it.

    With `rehearsal`, URLs of this machine are accepted.
    """
    if (accepted := accepted_input(model, given, rehearsal=rehearsal)) is not None:
        return accepted
    values, validator = _as_sent(model, given), _validator(model, rehearsal)
    if not _has_two_sizes(model, given) and validator.is_valid(values):
        body = _sendable_body(values)
        if body is not None:
            return CheckedInput(values, body)
    return _problems(model, given, values, validator)


def accepted_input(model: Model, given: JsonObject, *, rehearsal: bool) -> CheckedInput | None:
    """Return the input ready to be sent if it certainly is valid; None if that takes longer."""
    values = _as_sent(model, given)
    if _has_two_sizes(model, given) or not _accepts(model, rehearsal)(values):
        return None
    body = _sendable_body(values)
    return None if body is None else CheckedInput(values, body)


def _as_sent(model: Model, given: JsonObject) -> dict[str, JsonValue]:
    return with_full_size(given, model.sizes) if model.sizes else dict(given)


@lru_cache(maxsize=64)
def _accepts(model: Model, rehearsal: bool) -> Accepts:
    return compile_schema(model.rules, rehearsal=rehearsal)


@lru_cache(maxsize=64)
def _validator(model: Model, rehearsal: bool) -> Validator:
    # Imported here because most inputs are valid, and jsonschema is slow to load.
    from batchgen.models.validator import build_validator  # noqa: PLC0415 - see above

    return build_validator(model.rules, rehearsal=rehearsal)


def _has_two_sizes(model: Model, given: JsonObject) -> bool:
    return bool(model.sizes) and SHORT_KEY in given and SIZE_KEY in given


def _sendable_body(values: JsonObject) -> str | None:
    """The body; None if a text or number in it cannot be sent."""
    try:
        body = canonical_json(values)
        body.encode()
    except ValueError:
        return None
    # Also matches a literal backslash before "u0000"; `_unsendable` knows the difference.
    if "\\u0000" in body and any(_unsendable(values, ())):
        return None
    return body


def _problems(
    model: Model, given: JsonObject, values: JsonObject, validator: Validator
) -> list[InputProblem]:
    found = describe_all(validator.iter_errors(values))
    if model.sizes:
        found = [_in_short_form(model, given, problem) for problem in found]
    reported = {problem.path for problem in found}
    found += [problem for problem in _unsendable(values, ()) if problem.path not in reported]
    if _has_two_sizes(model, given):
        hint = f"keep '{SHORT_KEY}'"
        message = f"'{SHORT_KEY}' and '{SIZE_KEY}' mean the same"
        found.append(InputProblem((SHORT_KEY,), message, hint, at_key=True))
    return found


def _in_short_form(model: Model, given: JsonObject, problem: InputProblem) -> InputProblem:
    """Describe a problem with a size in the manifest's own key and short values."""
    if problem.at_key and problem.hint != AFTER_COMMA_HINT:
        hint = did_you_mean(str(problem.path[-1]), model.keys) if len(problem.path) == 1 else None
        return InputProblem(problem.path, problem.message, hint or problem.hint, at_key=True)
    if problem.path != (SIZE_KEY,):
        return problem
    key = SHORT_KEY if SHORT_KEY in given else SIZE_KEY
    value = given.get(key)
    message = f"{key} must be one of {one_of(list(model.sizes))}; got {format_value(value)}"
    close = nearest(value, model.sizes) if isinstance(value, str) else None
    return InputProblem((key,), message, close and f"did you mean '{close}'?")


def _unsendable(value: JsonValue, path: Path) -> Iterator[InputProblem]:
    """Find values that no schema forbids, but that JSON or 64 bits cannot hold."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _unsendable(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _unsendable(part, (*path, index))
    elif isinstance(value, str):
        yield from _unsendable_text(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        yield InputProblem(path, f"{describe_path(path)} must be a finite number; got {value}")
    elif isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        yield InputProblem(
            path, f"{describe_path(path)} must fit in 64 bits; got {format_value(value)}"
        )


def _unsendable_text(text: str, path: Path) -> Iterator[InputProblem]:
    if "\0" in text:
        yield InputProblem(
            path, f"{describe_path(path)} has a NUL character, which text must not have"
        )
    elif _SURROGATE.search(text):
        message = f"{describe_path(path)} has half a character (a lone surrogate)"
        yield InputProblem(path, message, "write the character itself")
