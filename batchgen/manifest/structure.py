"""The manifest's own structure, judged by the schema file that editors use as well."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from batchgen.models.dialect import build_validator
from batchgen.models.wording import InputProblem, describe_all, shown

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from batchgen.jobs import JsonValue


def header_problems(header: JsonValue, *, complete: bool) -> list[InputProblem]:
    """Judge all but the jobs. Of an incomplete header nothing is asked that may yet have come."""
    problems = describe_all(_header_validator().iter_errors(header))
    missing = (["version"],)
    return [one for one in problems if complete or list(one.path) not in missing]


def job_problems(job: JsonValue) -> list[InputProblem]:
    if not isinstance(job, dict):
        message = f"a job must be a mapping of keys; got {shown(job)}"
        return [InputProblem((), message, "write each key on its own line: 'id: …', 'input: …'")]
    validator = _job_validator()
    return [] if validator.is_valid(job) else describe_all(validator.iter_errors(job))


@cache
def _schema() -> dict[str, Any]:
    text = (files("batchgen.manifest") / "schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _header_validator() -> Validator:
    """Make the judge of a header: jobs are judged one by one, as they stream by."""
    schema = _schema()
    properties = {**schema["properties"], "jobs": {}}
    required = [key for key in schema["required"] if key != "jobs"]
    return build_validator(schema | {"properties": properties, "required": required})


@cache
def _job_validator() -> Validator:
    return build_validator(_schema()["$defs"]["job"])
