"""The vendor's catalogue: one model's entry with its schema, and pages of what a search finds."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from batchgen.runcomfy.outcomes import Halted, NoAnswer
from batchgen.runcomfy.pricing import why_no_price
from batchgen.runcomfy.response import json_object, vendor_error

if TYPE_CHECKING:
    from batchgen.jobs import JsonObject
    from batchgen.runcomfy.response import Answer

PAGE = 100
MOST_PAGES = 50


@dataclass(frozen=True, slots=True)
class Page:
    """`models` are entries of the catalogue; `total` is how many the search finds in all."""

    models: tuple[JsonObject, ...]
    total: int


def read_entry(answer: Answer, model_id: str) -> JsonObject | NoAnswer | Halted | None:
    """Read the entry of a model; None if the vendor does not have it.

    A server may repeat the token anywhere, so it is taken out first.
    """
    fields = _fields(answer)
    if fields is None:
        return _why_missing(answer)
    named = fields.get("model_id", model_id)
    if named != model_id:
        return NoAnswer("the answer is about another model")
    return fields


def read_page(answer: Answer) -> Page | NoAnswer | Halted:
    fields = _fields(answer)
    models = None if fields is None else fields.get("models")
    if fields is None or not isinstance(models, list):
        return why_no_price(answer) or NoAnswer(answer.problem())
    found = tuple(one for one in models if isinstance(one, dict) and _id_of(one))
    total = fields.get("total")
    return Page(found, total if isinstance(total, int) else len(found))


def _id_of(entry: JsonObject) -> str:
    named = entry.get("model_id")
    return named if isinstance(named, str) else ""


def _fields(answer: Answer) -> JsonObject | None:
    if not answer.is_success:
        return None
    text = answer.redact(answer.body.decode("utf-8", "replace"))
    fields = json_object(text.encode())
    return None if not fields or "error_code" in fields else fields


NO_SUCH_MODEL = frozenset({"400001", "404001"})


def _why_missing(answer: Answer) -> NoAnswer | Halted | None:
    """None if the vendor says that there is no such model."""
    if why := why_no_price(answer):
        return why
    code = vendor_error(answer, json_object(answer.body)).code
    is_gone = code in NO_SUCH_MODEL or answer.status == HTTPStatus.NOT_FOUND
    return None if is_gone else NoAnswer(answer.problem())
