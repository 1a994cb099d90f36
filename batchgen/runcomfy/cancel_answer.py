"""What the answer to a cancel means."""

from __future__ import annotations

from batchgen.runcomfy.answer import Answer, Fields, json_object, vendor_error
from batchgen.runcomfy.meaning import Meaning, meaning_of
from batchgen.runcomfy.outcomes import CancelOutcome
from batchgen.runcomfy.result_answer import (
    CANCELLED_WORDS,
    ENDED_WORDS,
    is_of_another,
    state_word,
)

_BY_WORD = {
    "cancelled": CancelOutcome.CANCELLED,
    "canceled": CancelOutcome.CANCELLED,
    "not_cancellable": CancelOutcome.NOT_CANCELLABLE,
    "cancellation_requested": CancelOutcome.REQUESTED,
}


def read_cancel(answer: Answer, request_id: str) -> CancelOutcome:
    """Judge a cancel; where the answer is unclear, or another request's, the result will tell."""
    fields = json_object(answer.body)
    if answer.is_gateways or is_of_another(fields, request_id):
        return CancelOutcome.UNANSWERED
    meaning = meaning_of(answer.status, vendor_error(answer, fields).code)
    if meaning is Meaning.NOT_FOUND:
        return CancelOutcome.MISSING
    if meaning is Meaning.BAD_INPUT:
        return CancelOutcome.NOT_CANCELLABLE
    if meaning is not Meaning.FINE or fields is None:
        return CancelOutcome.UNANSWERED
    return _by_words(fields)


def _by_words(fields: Fields) -> CancelOutcome:
    outcome = fields.get("outcome")
    if isinstance(outcome, str) and outcome.strip().lower() in _BY_WORD:
        return _BY_WORD[outcome.strip().lower()]
    word = state_word(fields)
    if word in CANCELLED_WORDS:
        return CancelOutcome.CANCELLED
    return CancelOutcome.NOT_CANCELLABLE if word in ENDED_WORDS else CancelOutcome.REQUESTED
