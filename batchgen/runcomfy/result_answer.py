"""What the answer to "what became of this request?" means. Asking is free, ending is final."""

from __future__ import annotations

from batchgen.runcomfy.answer import Answer, Fields, VendorError, json_object, vendor_error
from batchgen.runcomfy.meaning import Meaning, meaning_of
from batchgen.runcomfy.outcomes import (
    Cancelled,
    Failed,
    Halted,
    Missing,
    NoAnswer,
    PauseCause,
    Queued,
    Refused,
    ResultOutcome,
    Running,
    Scope,
    Succeeded,
    Throttled,
    UnrecognizedState,
)
from batchgen.runcomfy.outputs import queue_place, read_output, usd
from batchgen.runcomfy.retry_after import retry_after

_QUEUED = frozenset({"in_queue", "queued", "pending", "waiting"})
_RUNNING = frozenset({"in_progress", "running", "starting", "processing"})
CANCELLED_WORDS = frozenset({"cancelled", "canceled"})
ENDED_WORDS = frozenset({"completed", "succeeded", "failed"})
_WORD_LIMIT = 40


def read_result(answer: Answer) -> ResultOutcome:
    """Read the state of a request, or why it was not told.

    With HTTP 2xx a known word of state outweighs any error code beside it: a finished request that
    failed has an `error` of its own, which is no refusal of the question.
    """
    if answer.is_html() and answer.status != 429:  # noqa: PLR2004 - a gateway's 429 is often a page
        # The API speaks JSON: this is somebody in between, and no witness about the request.
        return NoAnswer(answer.trouble())
    fields = json_object(answer.body)
    error = vendor_error(answer, fields)
    state = _state(answer, fields, error) if fields and answer.is_success else None
    if state is not None:
        return state
    meaning = meaning_of(answer.status, error.code)
    if meaning is Meaning.FINE and fields:
        return _unfamiliar(answer, fields)
    return _no_state(answer, error, meaning)


def state_word(fields: Fields) -> str:
    """Give the word of state in a spelling of ours, or ""."""
    word = fields.get("status")
    return word.strip().lower().replace("-", "_").replace(" ", "_") if isinstance(word, str) else ""


def _state(answer: Answer, fields: Fields, error: VendorError) -> ResultOutcome | None:
    word = state_word(fields)
    if word in _QUEUED:
        return Queued(queue_place(fields.get("queue_position")))
    if word in _RUNNING:
        return Running()
    if word in ENDED_WORDS or word in CANCELLED_WORDS:
        return _end(word, answer, fields, error)
    return None


def _end(word: str, answer: Answer, fields: Fields, error: VendorError) -> ResultOutcome:
    cost, raw = usd(fields.get("cost")), answer.raw()
    if word == "failed":
        return Failed(error.code, error.reason("the vendor gave no reason"), cost, raw)
    output = read_output(fields.get("output"))
    if word == "succeeded" or output.urls:
        # Files beside `cancelled`: the cancel lost the race, and what is paid for is kept.
        return Succeeded(output.urls, cost, raw, data=output.data, guessed=output.guessed)
    if word in CANCELLED_WORDS:
        return Cancelled(cost, raw)
    return _completed_without_files(answer, fields, error)


def _completed_without_files(answer: Answer, fields: Fields, error: VendorError) -> ResultOutcome:
    """`completed` alone says neither success nor failure: only the result's own words do.

    With an error it failed. With an output that holds no address it is a success without files.
    With neither the result is not there yet: it is asked again, and the warning that an unfamiliar
    word causes tells people, should it stay so.
    """
    cost = usd(fields.get("cost"))
    if error:
        return Failed(error.code, error.reason(""), cost, answer.raw())
    if fields.get("output"):
        return Succeeded((), cost, answer.raw())
    return UnrecognizedState("completed")


def _unfamiliar(answer: Answer, fields: Fields) -> ResultOutcome:
    word = state_word(fields)
    if word:
        return UnrecognizedState(answer.words(word, _WORD_LIMIT))
    output = read_output(fields.get("output"))
    if output.urls:
        cost = usd(fields.get("cost"))
        return Succeeded(output.urls, cost, answer.raw(), data=output.data, guessed=output.guessed)
    return NoAnswer(f"HTTP {answer.status}: an answer without a state")


def _no_state(answer: Answer, error: VendorError, meaning: Meaning) -> ResultOutcome:
    reason = error.reason(f"HTTP {answer.status}, without a reason")
    match meaning:
        case Meaning.NOT_FOUND:
            return Missing(reason)
        case Meaning.TOKEN_REFUSED:
            return Halted(PauseCause.TOKEN_REFUSED, reason)
        case Meaning.NO_BALANCE:
            return Halted(PauseCause.NO_BALANCE, reason)
        case Meaning.THROTTLED:
            return Throttled(retry_after(answer.headers, answer.received_at), reason)
        case Meaning.FORBIDDEN | Meaning.BAD_INPUT | Meaning.WRONG_MODEL:
            return Refused(Scope.JOB, error.code or str(answer.status), reason)
        case _:
            return NoAnswer(_why_nothing(answer, error))


def _why_nothing(answer: Answer, error: VendorError) -> str:
    return f"HTTP {answer.status}: {error.reason('')}" if error else answer.trouble()
