"""Failing on demand: what a fault is, and which one applies to a call.

A fault waits at one place of the API (`on`), lets `after` calls through, then spoils `times` calls
(None: all). `model` is a glob of model ids. What the kinds do, and which fields they read:

    instead of the work: nothing is recorded, unless `accepted` is true
      status          any `status`, `body`, `headers`
      error_code      HTTP 200 with `error_code` and `message`
      no_funds        error_code 10001, HTTP 400 or `status`
      invalid_input   HTTP 422, error_code 422001, `detail` a list of `{loc, msg}` with `message`;
                      where `word` is `error_message`, the list is the error_message
      not_found       404 of the API
      html            a gateway's page, HTTP 200 or `status`
      redirect        to `url`; 307 for the API, 302 for files
      reset_before    the connection is reset
      gzip_bomb       `size` bytes once unpacked
      deep_json       `size` levels
      huge_json       `size` bytes
    the work is done and the answer is changed
      duplicate_request_id    the id of the request before
      no_request_id           no id
      unknown_state           the state is `word`
      state_backwards         back in the queue
      queue_position          `position`; null leaves it out
      headers                 adds `headers`
      not_ready               the result of an unfinished request is HTTP 400 with error_code 400005
      other_document          another request's document, with that request's id
      cancellation_requested  neither cancelled nor refused
    the shape of the output
      no_urls, string_output, list_output, foreign_host (`url`)
    how the request ends: armed on submit
      vendor_failed       failed, with `message`
      failure_reason      failed, with `message` as `failure_reason`
      failed_for_balance  failed, with error_code 400002, and free
      final_word          the state is `word`, beside output and finished_at
      early_success       succeeded without output, for `seconds` or for `size` result calls
      late_cost           no cost in the first `size` (1) result calls
      text_cost           the cost is a string
      odd_output          URLs under undocumented keys, beside a thumbnail, a page and `url`
      data_uri            the output is a data: URI
      picture_for_video   a PNG, from a video model as well
    the work is done and the answer is lost
      reset_after     not a byte of it is sent
      reset_mid_body  half of it (or `size` bytes), then a reset
      truncated_json  half of it (or `size` bytes), sent as if whole
      doubled         once more after `seconds`, on the same connection
      hang            nothing, until the client leaves
      trickle         `size` bytes every `seconds`
      slow            `seconds` late
    files
      host_down       every connection is reset, for `seconds` from the first call on
      short_body      half of it (or `size` bytes), then the end
      wrong_bytes     the right length, but noise
      ignore_range    200 and the whole
      etag_changes    another one each time
      empty           not a byte
      expired         403; on `sign`, the URL of the bucket that it gives out has expired
      bomb            a PNG that claims 60000 x 60000
      blank           a sound PNG of nothing but grey, `size` x `size` pixels (1024)
      oversize        `size` bytes (3 GiB)

The bucket has two places: `upload` (PUT) and `sign`. With a kind that is sent instead of the work,
an upload is read to its end, and then lost.

Faults armed on submit that shape the output or the end stick to the request: they outlive a restart
of the emulator.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jsonschema.exceptions import ValidationError


Place: TypeAlias = Literal[
    "submit", "status", "result", "cancel", "model", "balance", "file", "upload", "sign"
]

PLACES: frozenset[str] = frozenset(get_args(Place))
JSON_PLACES = PLACES - {"file", "upload", "sign"}
STATE_PLACES = frozenset({"status", "result"})
OUTPUT_PLACES = frozenset({"submit", "result"})
SUBMIT_ONLY = frozenset({"submit"})
FILE_ONLY = frozenset({"file"})

INSTEAD_OF_THE_WORK = frozenset(
    "status error_code no_funds invalid_input html redirect not_found reset_before"  # noqa: SIM905 - easier to read than a list
    " gzip_bomb deep_json huge_json host_down".split()
)
OUTPUT_SHAPES = ("no_urls", "string_output", "list_output", "foreign_host")
FAILED_ENDS = ("vendor_failed", "failure_reason", "failed_for_balance")
ODD_ENDS = (
    *("final_word", "early_success", "late_cost", "text_cost"),
    *("odd_output", "data_uri", "picture_for_video"),
)
STICKY = frozenset({*OUTPUT_SHAPES, *FAILED_ENDS, *ODD_ENDS})

KINDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("status", "html", "redirect", "not_found", "gzip_bomb"), PLACES),
    **dict.fromkeys(("reset_before", "reset_after", "reset_mid_body", "headers"), PLACES),
    **dict.fromkeys(("hang", "trickle", "slow"), PLACES),
    **dict.fromkeys(("error_code", "truncated_json", "deep_json", "huge_json"), JSON_PLACES),
    "doubled": JSON_PLACES,
    **dict.fromkeys(("duplicate_request_id", "no_request_id"), SUBMIT_ONLY),
    **dict.fromkeys(("no_funds", "invalid_input", *FAILED_ENDS, *ODD_ENDS), SUBMIT_ONLY),
    **dict.fromkeys(("unknown_state", "state_backwards", "queue_position"), STATE_PLACES),
    "other_document": STATE_PLACES,
    "not_ready": frozenset({"result"}),
    **dict.fromkeys(OUTPUT_SHAPES, OUTPUT_PLACES),
    "cancellation_requested": frozenset({"cancel"}),
    **dict.fromkeys(("short_body", "wrong_bytes", "empty", "bomb", "blank", "oversize"), FILE_ONLY),
    **dict.fromkeys(("ignore_range", "etag_changes", "host_down"), FILE_ONLY),
    "expired": frozenset({"file", "sign"}),
}
"""Each kind with the places that it applies to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. Fields that a kind does not read are ignored; None is the kind's default.

    Raises ValueError for a kind that does not exist, or that does not apply at that place.
    """

    on: Place
    kind: str
    times: int | None = 1
    after: int = 0
    model: str = "*"
    accepted: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    error_code: int = 400002
    message: str = "The provider could not complete the request."
    word: str = "resting"
    url: str = "https://elsewhere.example/file.png"
    position: int | None = None
    seconds: float = 0.05
    size: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; there are {', '.join(KINDS)}")
        if self.on not in KINDS[self.kind]:
            places = ", ".join(sorted(KINDS[self.kind]))
            raise ValueError(f"{self.kind!r} does not apply to {self.on!r}; only to {places}")


@dataclass(slots=True)
class ArmedFault:
    """`skips_left` calls pass before `uses_left` (None: all) are spoiled.

    `outage_until` is the end of an outage that has begun, in the plan's time.
    """

    fault: Fault
    skips_left: int
    uses_left: int | None
    outage_until: float = -math.inf

    def applies_to(self, on: Place, model_id: str) -> bool:
        return self.fault.on == on and fnmatchcase(model_id, self.fault.model)


class FaultPlan:
    """The armed faults, in the order in which they were armed. At most one applies to a call.

    `now` is a monotonic clock, in seconds.
    """

    def __init__(
        self, faults: Iterable[Fault] = (), now: Callable[[], float] = time.monotonic
    ) -> None:
        self._armed: list[ArmedFault] = []
        self._now = now
        self.arm(faults)

    def arm(self, faults: Iterable[Fault]) -> None:
        self._armed += [ArmedFault(fault, fault.after, fault.times) for fault in faults]

    def clear(self) -> None:
        self._armed.clear()

    def armed(self) -> tuple[ArmedFault, ...]:
        return tuple(
            armed for armed in self._armed if armed.uses_left != 0 or self._is_in_outage(armed)
        )

    def take(self, on: Place, model_id: str = "") -> Fault | None:
        for armed in self._armed:
            if not armed.applies_to(on, model_id):
                continue
            if self._is_in_outage(armed):
                return armed.fault
            if armed.uses_left == 0:
                continue
            if armed.skips_left:
                armed.skips_left -= 1
                continue
            return self._use(armed)
        return None

    def _is_in_outage(self, armed: ArmedFault) -> bool:
        return self._now() < armed.outage_until

    def _use(self, armed: ArmedFault) -> Fault:
        if armed.uses_left is not None:
            armed.uses_left -= 1
        if armed.fault.kind == "host_down":
            armed.outage_until = self._now() + armed.fault.seconds
        return armed.fault


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
    """`path` leads to the problem: keys and indexes from the top of the document."""

    path: tuple[str | int, ...]
    message: str


def fault_problems(document: Any) -> list[FaultProblem]:
    """Return all problems of a document of faults, in its order."""
    found = [
        FaultProblem(tuple(error.absolute_path), _message(error))
        for error in _VALIDATOR.iter_errors(document)
    ]
    return found or list(_out_of_place(document["faults"]))


def _message(error: ValidationError) -> str:
    if error.validator != "enum":
        return error.message
    names: Any = error.validator_value
    near = get_close_matches(str(error.instance), names, n=1)
    known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return f"there is no {error.instance!r}; {known}"


def _out_of_place(faults: Sequence[Mapping[str, Any]]) -> Iterator[FaultProblem]:
    for index, fault in enumerate(faults):
        try:
            Fault(**fault)
        except ValueError as exc:
            yield FaultProblem(("faults", index, "kind"), str(exc))


def parse_faults(document: Any) -> tuple[Fault, ...]:
    """Read a body of `POST /emulator/faults`. Raises ValueError with a readable message."""
    wrong = best_match(_VALIDATOR.iter_errors(document))
    if wrong is not None:
        raise ValueError(f"{wrong.json_path}: {wrong.message}")
    return tuple(Fault(**fault) for fault in document["faults"])


def fault_document(fault: Fault) -> dict[str, Any]:
    """Return only what differs from the defaults, so that a list of faults stays readable."""
    plain = {item.name: item.default for item in fields(Fault)}
    return {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in asdict(fault).items()
        if value != plain[key] and value != {}
    }


def fault_json(fault: Fault) -> str:
    return json.dumps(fault_document(fault))


def parse_fault(text: str) -> Fault:
    return Fault(**json.loads(text))
