"""The manifest's own structure, validated by the schema file that editors use too.

The file also has a part that editor_schema.py generates from the models' schemas. It is only for
editors: batchgen checks an input against its model once its templates are filled in.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from batchgen.models.catalog import bundled
from batchgen.models.compiled_validator import compile_schema
from batchgen.models.messages import InputProblem, describe_all, format_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jsonschema.protocols import Validator

    from batchgen.jobs import JsonValue


Schema: TypeAlias = dict[str, Any]

INPUTS = "input_"
"""Prefix of the names of the models' inputs under `$defs`."""

GENERATED = (
    ("allOf",),
    ("properties", "defaults", "properties", "model", "anyOf"),
    ("properties", "defaults", "properties", "input", "allOf"),
    ("properties", "run", "properties", "models", "properties"),
    ("properties", "run", "properties", "models", "propertyNames"),
    ("$defs", "job", "allOf"),
    ("$defs", "job", "properties", "model", "anyOf"),
)
"""The generated parts, besides the models' inputs; the rest is written by hand."""


def header_problems(header: JsonValue, *, complete: bool) -> list[InputProblem]:
    """Check everything but the jobs. An incomplete header may lack keys that come later."""
    if _accepts_header()(header):
        return []
    problems = with_key_hints(describe_all(_header_validator().iter_errors(header)))
    missing = (["version"],)
    return [one for one in problems if complete or list(one.path) not in missing]


def is_valid_job(job: Mapping[str, Any]) -> bool:
    """A quick test; False says nothing."""
    return _accepts_job()(job)


def job_problems(job: JsonValue) -> list[InputProblem]:
    if not isinstance(job, dict):
        message = f"a job must be a mapping of keys; got {format_value(job)}"
        return [InputProblem((), message, "write each key on its own line: 'id: …', 'input: …'")]
    if _accepts_job()(job):
        return []
    return with_key_hints(describe_all(_job_validator().iter_errors(job)))


def with_key_hints(
    problems: Iterable[InputProblem], *, in_input: bool = False
) -> list[InputProblem]:
    """Add a hint to each unknown key that is known in another place of the manifest."""
    return [
        replace(one, hint=_section_hint(str(one.path[-1]), in_input=in_input) or one.hint)
        if one.at_key
        and one.message.startswith("unknown key")
        and not (len(one.path) > 1 and one.path[0] in _FREE)
        else one
        for one in problems
    ]


def _section_hint(key: str, *, in_input: bool) -> str | None:
    sections = [section for section, keys in _keys_by_section() if key in keys]
    if in_input:
        # It is a key of another model, so this is no help.
        sections = [section for section in sections if section != _INPUT]
    return f"it belongs {', or '.join(sections)}" if sections else None


_FREE = frozenset({"where", "matrix"})
_INPUT = "under input, in defaults or in a job"


@cache
def _keys_by_section() -> tuple[tuple[str, frozenset[str]], ...]:
    schema = read_schema()
    top = schema["properties"]

    def below(part: Schema) -> frozenset[str]:
        return frozenset(part["properties"])

    with_job, of_defaults = below(schema["$defs"]["job"]), below(top["defaults"]) - {"input"}
    return (
        # In a job, `inputs` is more likely a misspelt `input`.
        ("at the top of the manifest", frozenset(top) - with_job - {"defaults", "inputs"}),
        ("under run", below(top["run"])),
        ("under output", below(top["output"]) - frozenset(top) - with_job),
        ("under defaults", of_defaults),
        ("in a job", with_job & of_defaults),
        ("in a job, under jobs", with_job - of_defaults - {"input"}),
        (
            _INPUT,
            frozenset(key for model in bundled().models.values() for key in model.keys),
        ),
    )


def read_schema() -> Schema:
    text = (files("batchgen.manifest") / "schema.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def written_by_hand(schema: Schema) -> Schema:
    """Return the schema without the generated part."""
    kept = schema
    for path in GENERATED:
        kept = _without(kept, path)
    defs = {name: part for name, part in kept["$defs"].items() if not name.startswith(INPUTS)}
    return kept | {"$defs": defs}


def _without(schema: Schema, path: tuple[str, ...]) -> Schema:
    """Copy the schema along `path`, without the last key."""
    key, *rest = path
    if key not in schema:
        return schema
    if not rest:
        return {name: part for name, part in schema.items() if name != key}
    return schema | {key: _without(schema[key], tuple(rest))}


@cache
def _header_validator() -> Validator:
    return _validator_of(_header_schema())


@cache
def _accepts_header() -> Callable[[JsonValue], bool]:
    """What can be compiled of the header's schema; the validator decides about the rest."""
    schema = _without(_without(_header_schema(), ("patternProperties",)), ("$defs",))
    version = {"enum": [schema["properties"]["version"]["const"]]}
    return compile_schema(schema | {"properties": {**schema["properties"], "version": version}})


def _header_schema() -> Schema:
    """The schema of everything but the jobs, which are streamed and checked one by one.

    header.py checks whether there are any jobs.
    """
    schema = _without(written_by_hand(read_schema()), ("anyOf",))
    return schema | {"properties": {**schema["properties"], "jobs": {}}}


@cache
def _job_validator() -> Validator:
    return _validator_of(_job_schema())


def _validator_of(schema: Schema) -> Validator:
    # Imported here because most manifests are valid, and jsonschema is slow to load.
    from batchgen.models.validator import build_validator  # noqa: PLC0415 - see above

    return build_validator(schema)


@cache
def _accepts_job() -> Callable[[Mapping[str, Any]], bool]:
    return compile_schema(_job_schema())


def _job_schema() -> Schema:
    """The schema of a job, without the contents of a matrix: `matrix_problems` checks these."""
    job: Schema = written_by_hand(read_schema())["$defs"]["job"]
    return job | {
        "properties": {**job["properties"], "matrix": {"type": "object", "minProperties": 1}}
    }
