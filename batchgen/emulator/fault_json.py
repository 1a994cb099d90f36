"""Faults as JSON: what `POST /emulator/faults` takes, and how a fate is kept in the state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from batchgen.emulator.faults import KINDS, PLACES, Fault

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

WHOLE = {"type": "integer", "minimum": 0}
FAULTS_SCHEMA = {
    "type": "object",
    "required": ["faults"],
    "additionalProperties": False,
    "properties": {"faults": {"type": "array", "items": {"$ref": "#/$defs/fault"}}},
    "$defs": {
        "fault": {
            "type": "object",
            "required": ["on", "kind"],
            "additionalProperties": False,
            "properties": {
                "on": {"enum": sorted(PLACES)},
                "kind": {"enum": sorted(KINDS)},
                "times": WHOLE | {"type": ["integer", "null"]},
                "after": WHOLE,
                "model": {"type": "string"},
                "accepted": {"type": "boolean"},
                "status": {"type": ["integer", "null"], "minimum": 200, "maximum": 599},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "body": {"type": "string"},
                "error_code": {"type": "integer"},
                "message": {"type": "string"},
                "word": {"type": "string"},
                "url": {"type": "string"},
                "position": {"type": ["integer", "null"]},
                "seconds": {"type": "number", "minimum": 0},
                "size": WHOLE | {"type": ["integer", "null"]},
            },
        }
    },
}
_VALIDATOR = Draft202012Validator(FAULTS_SCHEMA)


@dataclass(frozen=True, slots=True)
class FaultProblem:
    """`path` leads to what is wrong: the keys and indexes from the top of the document."""

    path: tuple[str | int, ...]
    message: str


def fault_problems(document: Any) -> list[FaultProblem]:
    """Find all that is wrong with a list of faults, in its order."""
    found = [
        FaultProblem(tuple(error.absolute_path), _sentence(error))
        for error in _VALIDATOR.iter_errors(document)
    ]
    return found or list(_out_of_place(document["faults"]))


def _sentence(error: ValidationError) -> str:
    if error.validator != "enum":
        return error.message
    words: Any = error.validator_value
    near = get_close_matches(str(error.instance), words, n=1)
    known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(words)}"
    return f"there is no {error.instance!r}; {known}"


def _out_of_place(faults: Sequence[Mapping[str, Any]]) -> Iterator[FaultProblem]:
    for index, fault in enumerate(faults):
        try:
            Fault(**fault)
        except ValueError as exc:
            yield FaultProblem(("faults", index, "kind"), str(exc))


def parse_faults(document: Any) -> tuple[Fault, ...]:
    """Read a body of `POST /emulator/faults`. Raises ValueError with a sentence for people."""
    wrong = best_match(_VALIDATOR.iter_errors(document))
    if wrong is not None:
        raise ValueError(f"{wrong.json_path}: {wrong.message}")
    return tuple(Fault(**fault) for fault in document["faults"])


def fault_document(fault: Fault) -> dict[str, Any]:
    """Only what differs from the defaults, so that a list of faults can be read."""
    plain = {item.name: item.default for item in fields(Fault)}
    return {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in asdict(fault).items()
        if value != plain[key] and value != {}
    }


def fate_text(fault: Fault) -> str:
    return json.dumps(fault_document(fault))


def parse_fate(text: str) -> Fault:
    return Fault(**json.loads(text))
