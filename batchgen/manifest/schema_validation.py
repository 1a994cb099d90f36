"""The manifest's own structure, judged by the schema file that editors use as well.

The file also holds what editor_schema.py made of the models' schemas. That part serves editors
alone: the models judge an input themselves, once, when its templates are filled in.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from batchgen.models.catalog import catalog
from batchgen.models.compiled_validator import compile_schema
from batchgen.models.messages import InputProblem, describe_all, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
"""The generated parts, besides the models' inputs; everything else is written by hand."""


def header_problems(header: JsonValue, *, complete: bool) -> list[InputProblem]:
    """Judge all but the jobs. Of an incomplete header nothing is asked that may yet have come."""
    if _header_is_sound()(header):
        return []
    problems = with_homes(describe_all(_header_validator().iter_errors(header)))
    missing = (["version"],)
    return [one for one in problems if complete or list(one.path) not in missing]


def job_problems(job: JsonValue) -> list[InputProblem]:
    if not isinstance(job, dict):
        message = f"a job must be a mapping of keys; got {shown(job)}"
        return [InputProblem((), message, "write each key on its own line: 'id: …', 'input: …'")]
    if _job_is_sound()(job):
        return []
    return with_homes(describe_all(_job_validator().iter_errors(job)))


def with_homes(problems: Iterable[InputProblem], *, in_input: bool = False) -> list[InputProblem]:
    """Say of each unknown key that is known elsewhere where it belongs."""
    return [
        replace(one, hint=_home_of(str(one.path[-1]), in_input=in_input) or one.hint)
        if one.at_key
        and one.message.startswith("unknown key")
        and not (len(one.path) > 1 and one.path[0] in _FREE)
        else one
        for one in problems
    ]


def _home_of(key: str, *, in_input: bool) -> str | None:
    homes = [words for words, keys in _homes() if key in keys]
    if in_input:
        # Of another model: nothing that this one could be given.
        homes = [words for words in homes if words != _INPUT]
    return f"it belongs {', or '.join(homes)}" if homes else None


_FREE = frozenset({"where", "matrix"})
_INPUT = "under input, of defaults or of a job"


@cache
def _homes() -> tuple[tuple[str, frozenset[str]], ...]:
    schema = read_schema()
    top = schema["properties"]

    def below(part: Schema) -> frozenset[str]:
        return frozenset(part["properties"])

    of_job, of_defaults = below(schema["$defs"]["job"]), below(top["defaults"]) - {"input"}
    return (
        ("at the top of the manifest", frozenset(top) - of_job - {"defaults"}),
        ("under run", below(top["run"])),
        ("under output", below(top["output"]) - frozenset(top) - of_job),
        ("under defaults", of_defaults),
        ("in a job", of_job & of_defaults),
        ("in a job, below jobs", of_job - of_defaults - {"input"}),
        (
            _INPUT,
            frozenset(key for model in catalog().values() for key in model.keys),
        ),
    )


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
    return _validator_of(_header_schema())


@cache
def _header_is_sound() -> Callable[[JsonValue], bool]:
    """Compiled as far as it can be: the validator decides where a header has more than this."""
    schema = _without(_without(_header_schema(), ("patternProperties",)), ("$defs",))
    version = {"enum": [schema["properties"]["version"]["const"]]}
    return compile_schema(schema | {"properties": {**schema["properties"], "version": version}})


def _header_schema() -> Schema:
    """Judge the jobs one by one, as they stream by.

    Whether there are jobs at all is checked by the reader, which knows where they belong.
    """
    schema = _without(written_by_hand(read_schema()), ("anyOf",))
    return schema | {"properties": {**schema["properties"], "jobs": {}}}


@cache
def _job_validator() -> Validator:
    return _validator_of(_job_schema())


def _validator_of(schema: Schema) -> Validator:
    # Loaded here: jsonschema takes longer to load than to judge, and most manifests are sound.
    from batchgen.models.validator import build_validator  # noqa: PLC0415 - see above

    return build_validator(schema)


@cache
def _job_is_sound() -> Callable[[Mapping[str, Any]], bool]:
    return compile_schema(_job_schema())


def _job_schema() -> Schema:
    """Leave the inside of a matrix to `matrix_problems`, which knows what it means."""
    job: Schema = written_by_hand(read_schema())["$defs"]["job"]
    return job | {
        "properties": {**job["properties"], "matrix": {"type": "object", "minProperties": 1}}
    }
