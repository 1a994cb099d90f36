"""An answer before it is sent: as a JSON document, then as bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON_TYPE = "application/json"
OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    document: Mapping[str, Any]
    status: int = OK
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payload:
    body: bytes
    content_type: str = JSON_TYPE
    status: int = OK
    headers: Mapping[str, str] = field(default_factory=dict)


def encoded(answer: Answer) -> Payload:
    # ASCII output: a lone surrogate in a prompt has no UTF-8 form.
    return Payload(json.dumps(answer.document).encode(), JSON_TYPE, answer.status, answer.headers)
