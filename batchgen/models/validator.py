"""The validator of RunComfy's dialect of JSON Schema, based on draft 2020-12.

Differences from the draft: there is a type `float`; numbers must fit in JSON and in 64 bits;
`*_uri` is a public URL; unknown keys are errors; `validations` (rules for the file behind the URL)
is only an annotation here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker, TypeChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from batchgen.models.compiled_validator import (
    INTEGER_MAX,
    INTEGER_MIN,
    closed,
    require_known_types,
)
from batchgen.models.dialect import FILE_FORMATS, Schema
from batchgen.models.urls import UnfitUrlError, require_public_or_loopback_url, require_public_url

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def build_validator(schema: Schema, *, rehearsal: bool = False) -> Validator:
    """Build the validator of one schema; build it once, use it often.

    With `rehearsal`, URLs of this machine are accepted. Raises ValueError for a type that the
    dialect does not have.
    """
    require_known_types(schema)
    formats = _REHEARSAL_FORMATS if rehearsal else _FORMATS
    validator: Validator = _Dialect(closed(schema), format_checker=formats)
    return validator


def _is_integer(_: TypeChecker, value: object) -> bool:
    return type(value) is int and INTEGER_MIN <= value <= INTEGER_MAX


def _is_number(checker: TypeChecker, value: object) -> bool:
    return math.isfinite(value) if isinstance(value, float) else _is_integer(checker, value)


def _required(
    _: Validator, keys: list[str], instance: object, __: Schema
) -> Iterator[ValidationError]:
    if isinstance(instance, Mapping):
        for key in keys:
            if key not in instance:
                yield ValidationError("is required", path=[key])


def _dependent_required(
    _: Validator, rules: Mapping[str, list[str]], instance: object, __: Schema
) -> Iterator[ValidationError]:
    if isinstance(instance, Mapping):
        for key, others in rules.items():
            missing = [other for other in others if other not in instance]
            if key in instance and missing:
                yield ValidationError(f"needs {missing}", path=[key], instance=missing)


def _property_names(
    validator: Any, rule: Schema, instance: object, __: Schema
) -> Iterator[ValidationError]:
    """Like the draft, but the errors have the path of the key."""
    if isinstance(instance, Mapping):
        for key in instance:
            for error in validator.descend(key, rule):
                error.path.appendleft(key)
                yield error


def _additional_properties(
    validator: Any, allowed: object, instance: object, schema: Schema
) -> Iterator[ValidationError]:
    if not isinstance(instance, Mapping) or allowed is True:
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key in instance:
        if key in known or any(_ecma_regex(pattern).search(key) for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError("unknown key", path=[key])
        else:
            yield from validator.descend(instance[key], allowed, path=key)


def _pattern(_: Validator, pattern: str, instance: object, __: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _ecma_regex(pattern).search(instance):
        yield ValidationError(f"does not match {pattern}")


@lru_cache(maxsize=256)
def _ecma_regex(pattern: str) -> re.Pattern[str]:
    # In ECMAScript `$` matches only at the end; in Python also before a final "\n".
    return re.compile(f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern)


def _format_checker(*, rehearsal: bool) -> FormatChecker:
    checker = FormatChecker(formats=())
    require = require_public_or_loopback_url if rehearsal else require_public_url

    def is_fetchable(value: object) -> bool:
        if isinstance(value, str):
            require(value)
        return True

    for name in FILE_FORMATS:
        checker.checkers[name] = (is_fetchable, UnfitUrlError)
    return checker


_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {"integer": _is_integer, "number": _is_number, "float": _is_number}
)
_FORMATS = _format_checker(rehearsal=False)
_REHEARSAL_FORMATS = _format_checker(rehearsal=True)
_Dialect: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    validators={
        "required": _required,
        "dependentRequired": _dependent_required,
        "propertyNames": _property_names,
        "additionalProperties": _additional_properties,
        "pattern": _pattern,
    },
    type_checker=_TYPES,
)
