"""The manifest's own structure, judged by the schema file that editors use as well.

The file also holds what `batchgen.manifest.editor` made of the models' schemas. That part serves
editors alone: the models judge an input themselves, once, when its templates are filled in.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from batchgen.models.dialect import build_validator
from batchgen.models.fast import quick_yes
from batchgen.models.wording import InputProblem, describe_all, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jsonschema.protocols import Validator

    from batchgen.jobs import JsonValue

Schema: TypeAlias = dict[str, Any]

INPUTS = "input_"
"""How the names of the models' inputs begin under `$defs`."""

MADE = (
    ("allOf",),
    ("properties", "defaults", "properties", "model", "anyOf"),
    ("properties", "defaults", "properties", "input", "allOf"),
    ("properties", "run", "properties", "models", "properties"),
    ("properties", "run", "properties", "models", "propertyNames"),
    ("$defs", "job", "allOf"),
    ("$defs", "job", "properties", "model", "anyOf"),
)
"""Where the editor's part stands, besides the models' inputs; all else is written by hand."""


def header_problems(header: JsonValue, *, complete: bool) -> list[InputProblem]:
    """Judge all but the jobs. Of an incomplete header nothing is asked that may yet have come."""
    problems = describe_all(_header_validator().iter_errors(header))
    missing = (["version"],)
    return [one for one in problems if complete or list(one.path) not in missing]


def job_problems(job: JsonValue) -> list[InputProblem]:
    if not isinstance(job, dict):
        message = f"a job must be a mapping of keys; got {shown(job)}"
        return [InputProblem((), message, "write each key on its own line: 'id: …', 'input: …'")]
    if _job_is_sound()(job):
        return []
    return describe_all(_job_validator().iter_errors(job))


def read_schema() -> Schema:
    text = (files("batchgen.manifest") / "schema.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def written_by_hand(schema: Schema) -> Schema:
    """Take the editor's part out."""
    kept = schema
    for path in MADE:
        kept = _without(kept, path)
    defs = {name: part for name, part in kept["$defs"].items() if not name.startswith(INPUTS)}
    return kept | {"$defs": defs}


def _without(schema: Schema, path: tuple[str, ...]) -> Schema:
    """Copy what lies along `path` and leave its end out."""
    key, *rest = path
    if key not in schema:
        return schema
    if not rest:
        return {name: part for name, part in schema.items() if name != key}
    return schema | {key: _without(schema[key], tuple(rest))}


@cache
def _header_validator() -> Validator:
    """Make the judge of a header: jobs are judged one by one, as they stream by.

    Whether there are jobs at all is asked by the reader, who knows where they would stand.
    """
    schema = _without(written_by_hand(read_schema()), ("anyOf",))
    return build_validator(schema | {"properties": {**schema["properties"], "jobs": {}}})


@cache
def _job_validator() -> Validator:
    return build_validator(_job_schema())


@cache
def _job_is_sound() -> Callable[[Mapping[str, Any]], bool]:
    return quick_yes(_job_schema())


def _job_schema() -> Schema:
    """Leave the inside of a matrix to `matrix_problems`, which knows what it means."""
    job: Schema = written_by_hand(read_schema())["$defs"]["job"]
    return job | {
        "properties": {**job["properties"], "matrix": {"type": "object", "minProperties": 1}}
    }
