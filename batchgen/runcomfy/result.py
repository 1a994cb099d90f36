"""What the answer to a result or status call means, whatever its body holds."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.runcomfy.base import usable_request_id
from batchgen.runcomfy.outcomes import (
    Cancelled,
    Ended,
    Failed,
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    Queued,
    ResultOutcome,
    Running,
    StatusOutcome,
    Succeeded,
    Throttled,
    UnrecognizedState,
)
from batchgen.runcomfy.response import (
    HALTS,
    Answer,
    Fields,
    Meaning,
    VendorError,
    is_no_balance,
    json_object,
    meaning_of,
    reports_failure,
    vendor_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


OUTPUT_KEYS = ("image", "images", "video", "videos", "audio", "audios")
LONGEST_URL = 8192
LONGEST_DATA = 64 * 1024 * 1024
DATA = "data:"
_DATA_OF_MEDIA = re.compile(r"data:(image|video|audio)/[\w.+-]{1,64}[;,]", re.ASCII | re.IGNORECASE)
_BESIDE = re.compile(r"thumb|preview|poster|cover|avatar|icon|input|\bpage|page_")
_FARTHEST_PLACE = 10**9
MOST_USD = 1000.0
"""The highest cost that is believed: hundreds of times what a model of the vendor costs. A larger
number is another unit or a server in trouble, and would use up every budget at once."""
_LONGEST_COST = 40
_COST = re.compile(
    r"(?:USD\s*|\$\s*)?(?P<amount>\d+(?:\.\d*)?|\.\d+)(?:\s*(?:USD|\$))?", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True)
class Output:
    """`urls` of the result's files, without repeats.

    A file that came inside the answer, as a `data:` URI, has a short reference there; `data` has
    the URI for it. `guessed`: they are under undocumented keys, so they are still to be checked.
    """

    urls: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    guessed: bool = False


def read_output(output: object) -> Output:
    """Find the files' addresses in `output`: http(s) and `data:`.

    The documented keys come in an order of our own: in another answer the vendor may order them
    differently, and the second file must not become the first. Only where they hold nothing are
    other keys searched: a paid result may be under an undocumented key.
    """
    if not isinstance(output, dict):
        plain = isinstance(output, str) or (
            isinstance(output, list) and all(isinstance(one, str) for one in output)
        )
        return _output([output], guessed=not plain)
    named = _output([output.get(key) for key in OUTPUT_KEYS])
    return named if named.urls else _output([output], guessed=True)


def reference_of(data_uri: str) -> str:
    """Give a short name for a `data:` URI: its type and the hash of its text."""
    media_type = data_uri[len(DATA) :].partition(",")[0].partition(";")[0].lower()
    digest = hashlib.sha256(data_uri.encode(errors="replace")).hexdigest()
    return f"{DATA}{media_type};sha256={digest[:16]}"


def _output(values: Iterable[object], *, guessed: bool = False) -> Output:
    urls: dict[str, None] = {}
    data: dict[str, str] = {}
    for address in _addresses(values, guessed=guessed):
        url = address
        if address[: len(DATA)].lower() == DATA:
            url = reference_of(address)
            data[url] = address
        urls[url] = None
    return Output(tuple(urls), data, guessed and bool(urls))


def _addresses(values: Iterable[object], *, guessed: bool) -> Iterator[str]:
    # A stack, not recursion: a body may be nested deeper than Python's calls may be.
    stack = list(values)[::-1]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            if _is_address(value):
                yield value
        elif isinstance(value, dict):
            stack.extend(
                [one for key, one in value.items() if not (guessed and _misleads(key))][::-1]
            )
        elif isinstance(value, list):
            stack.extend(value[::-1])


def _misleads(key: str) -> bool:
    """Whether a key names something beside the result: a small picture of it, or the input."""
    return _BESIDE.search(key.lower()) is not None


def _is_address(text: str) -> bool:
    if _DATA_OF_MEDIA.match(text):
        return len(text) <= LONGEST_DATA
    return (
        text[:8].lower().startswith(("https://", "http://"))
        and len(text) <= LONGEST_URL
        and text.isprintable()
        and " " not in text
    )


def usd(value: object) -> float | None:
    """Read dollars, a number or a text such as "0.05" or "$0.05"; None for what is no cost."""
    if isinstance(value, str) and len(value) <= _LONGEST_COST:
        match = _COST.fullmatch(value.strip())
        value = float(match["amount"]) if match else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        amount = float(value)
    except OverflowError:
        return None
    return amount if 0 <= amount <= MOST_USD else None


def queue_place(value: object) -> int | None:
    """Read a place in the queue, from 0; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _FARTHEST_PLACE else None


_QUEUED = frozenset({"in_queue", "queued", "pending", "waiting"})
_RUNNING = frozenset({"in_progress", "running", "starting", "processing"})
CANCELLED_STATES = frozenset({"cancelled", "canceled"})
ENDED_STATES = frozenset({"completed", "succeeded", "failed"})
_ABOUT_THE_ACCOUNT = frozenset({*HALTS, Meaning.FORBIDDEN, Meaning.THROTTLED})
_STATE_LIMIT = 40
_OF_ANOTHER = NotReady("the answer is about another request")


def read_result(answer: Answer, request_id: str) -> ResultOutcome:
    """Read the state of a request, or why there is none.

    With HTTP 2xx a known state outweighs any error code beside it: a finished request that failed
    has an `error` of its own, which does not refuse the call. An answer that names another request
    does not count: a proxy on the way mixed two up.
    """
    fields = json_object(answer.body)
    if not answer.is_success or fields is None:
        return _no_state(answer, fields, request_id)
    state = state_of(fields)
    if is_of_another(fields, request_id) and (state or "output" in fields):
        return _OF_ANOTHER
    if (going := _going(state, fields)) is not None:
        return going
    if state != "failed" and _is_not_completed(answer, fields):
        return _no_state(answer, fields, request_id)
    if state in ENDED_STATES or state in CANCELLED_STATES:
        return _end(state, answer, fields)
    if _is_about_a_request(answer, fields, state):
        return _undocumented(answer, fields)
    return _no_state(answer, fields, request_id)


def read_status(answer: Answer, request_id: str) -> StatusOutcome:
    """Read the status call, which is made where the result call is inconclusive.

    `completed` is no success: only the result says how a request ended.
    """
    outcome = read_result(answer, request_id)
    return Ended() if isinstance(outcome, Succeeded) else outcome


def is_of_another(fields: Fields | None, request_id: str) -> bool:
    """Whether an answer names another request than the one that was asked for."""
    named = usable_request_id(fields.get("request_id")) if fields else None
    return named is not None and named.casefold() != request_id.casefold()


def state_of(fields: Fields) -> str:
    """Give the state in our spelling, or ""."""
    state = fields.get("status")
    return (
        state.strip().lower().replace("-", "_").replace(" ", "_") if isinstance(state, str) else ""
    )


def _is_not_completed(answer: Answer, fields: Fields) -> bool:
    """Whether the vendor's code says so, with HTTP 200 and any state beside it."""
    code = vendor_error(answer, fields).code
    return meaning_of(answer.status, code) is Meaning.NOT_COMPLETED and not _shows_an_end(fields)


def _shows_an_end(fields: Fields) -> bool:
    """Whether something is there that only an ended request has.

    An output whose keys are all empty may be there from the start.
    """
    output = fields.get("output")
    filled = any(output.values()) if isinstance(output, dict) else bool(output)
    return filled or bool(fields.get("finished_at"))


def _is_about_a_request(answer: Answer, fields: Fields, state: str) -> bool:
    """Whether it does not refuse the call, which may also come with HTTP 200 and a `status`.

    Such a refusal may name the request as well.
    """
    meaning = meaning_of(answer.status, vendor_error(answer, fields).code)
    if meaning is Meaning.FINE:
        return True
    if meaning in _ABOUT_THE_ACCOUNT:
        return bool(state) and _shows_an_end(fields)
    documented = bool(fields.get("request_id")) or _shows_an_end(fields)
    return bool(state) and (documented or meaning is Meaning.UNKNOWN_CODE)


def _going(state: str, fields: Fields) -> Queued | Running | None:
    if state in _QUEUED:
        return Queued(queue_place(fields.get("queue_position")))
    return Running() if state in _RUNNING else None


def _end(state: str, answer: Answer, fields: Fields) -> Succeeded | Failed | Cancelled:
    """How it ended, by its state and the fields beside it.

    `completed` is neither success nor failure: with an error it failed. Files beside any other
    state are kept: a cancel has lost the race, and what is paid for is not given up.
    """
    cost, output = usd(fields.get("cost")), read_output(fields.get("output"))
    if state == "failed":
        return _failed(answer, fields, cost)
    if state == "succeeded" or output.urls:
        return _succeeded(output, cost, answer)
    if state in CANCELLED_STATES:
        return Cancelled(cost, answer.raw())
    if reports_failure(fields):
        return _failed(answer, fields, cost)
    return Succeeded((), cost, answer.raw())


def _succeeded(
    output: Output, cost: float | None, answer: Answer, unknown_state: str = ""
) -> Succeeded:
    raw, data, guessed = answer.raw(), output.data, output.guessed
    return Succeeded(output.urls, cost, raw, unknown_state, data=data, guessed=guessed)


def _failed(answer: Answer, fields: Fields, cost: float | None, unknown_state: str = "") -> Failed:
    error = vendor_error(answer, fields)
    reason = error.reason("the vendor gave no reason")
    return Failed(error.code, reason, cost, answer.raw(), unknown_state, is_no_balance(error.code))


def _undocumented(answer: Answer, fields: Fields) -> ResultOutcome:
    """No state, or an undocumented one. The fields beside it may show an end."""
    state = answer.safe_text(state_of(fields), _STATE_LIMIT)
    cost, output = usd(fields.get("cost")), read_output(fields.get("output"))
    if output.urls:
        return _succeeded(output, cost, answer, state)
    if not state:
        return NoAnswer(f"HTTP {answer.status}: an answer without a state")
    if reports_failure(fields):
        return _failed(answer, fields, cost, state)
    if _shows_an_end(fields):
        return Succeeded((), cost, answer.raw(), state)
    return UnrecognizedState(state)


def _no_state(answer: Answer, fields: Fields | None, request_id: str) -> ResultOutcome:
    error = vendor_error(answer, fields)
    reason = error.reason(f"HTTP {answer.status}, without a reason")
    match meaning_of(answer.status, error.code):
        case Meaning.THROTTLED:
            return Throttled(answer.retry_after(), reason)
        case Meaning.SERVER_TROUBLE | Meaning.REDIRECTED:
            return NoAnswer(_why_no_answer(answer, error))
        case _ if fields is None:
            return _gateway_or_no_answer(answer)
        case Meaning.NOT_FOUND if not is_of_another(fields, request_id):
            return Missing(reason)
        case meaning if meaning in HALTS:
            return Halted(HALTS[meaning], reason)
        case Meaning.FINE | Meaning.UNKNOWN_CODE:
            return NoAnswer(_why_no_answer(answer, error))
        case _:
            return NotReady(f"HTTP {answer.status}: {error.reason('without a reason')}")


def _gateway_or_no_answer(answer: Answer) -> Gateway | NoAnswer:
    if answer.is_gateways or (answer.is_success and answer.is_html()):
        return Gateway(answer.status, answer.problem())
    return NoAnswer(answer.problem())


def _why_no_answer(answer: Answer, error: VendorError) -> str:
    return f"HTTP {answer.status}: {error.reason('')}" if error else answer.problem()
