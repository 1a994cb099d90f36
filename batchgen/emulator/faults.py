"""Failing on demand: what a fault is, and which one a call meets.

A fault waits at one place of the API (`on`), lets `after` calls through, then spoils `times` calls
(None: for ever). `model` is a glob of model ids. What the kinds do, and which fields they read:

    instead of the work: nothing is recorded, unless `accepted` is true
      status          any `status`, `body`, `headers`
      error_code      HTTP 200 with `error_code` and `message`
      not_found       404 of the API
      html            a page, HTTP 200
      redirect        to `url`; 307 for the API, 302 for files
      reset_before    the connection is reset
      gzip_bomb       `size` bytes once unpacked
      deep_json       `size` levels
      huge_json       `size` bytes
    the work is done and the answer is changed
      duplicate_request_id    the id of the request before
      no_request_id           none at all
      unknown_state           the state is `word`
      state_backwards         back in the queue
      queue_position          `position`; null leaves it out
      headers                 adds `headers`
      no_urls, string_output, list_output, foreign_host (`url`)   other shapes of the output
      vendor_failed           the request ends failed, with `message`
      cancellation_requested  neither cancelled nor refused
    the work is done and the answer goes astray
      reset_after     not a byte of it comes
      reset_mid_body  half of it (or `size` bytes), then a reset
      truncated_json  half of it (or `size` bytes), sent as if whole
      hang            nothing, until the client leaves
      trickle         `size` bytes every `seconds`
      slow            `seconds` late
    files
      short_body      half of it (or `size` bytes), then the end
      wrong_bytes     the right length, but noise
      ignore_range    200 and the whole
      etag_changes    another one each time
      empty           not a byte
      expired         403
      bomb            a PNG that claims 60000 x 60000
      blank           a sound PNG of nothing but grey, `size` x `size` pixels (1024)
      oversize        `size` bytes (3 GiB)

The output kinds and vendor_failed, armed on submit, stick to the request they meet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Place: TypeAlias = Literal["submit", "status", "result", "cancel", "model", "file"]

PLACES: frozenset[str] = frozenset(get_args(Place))
JSON_PLACES = PLACES - {"file"}
STATE_PLACES = frozenset({"status", "result"})
OUTPUT_PLACES = frozenset({"submit", "result"})
SUBMIT_ONLY = frozenset({"submit"})
FILE_ONLY = frozenset({"file"})

INSTEAD_OF_THE_WORK = frozenset(
    "status error_code html redirect not_found reset_before gzip_bomb deep_json huge_json".split()  # noqa: SIM905 - a list of words reads better as one
)
OUTPUT_SHAPES = ("no_urls", "string_output", "list_output", "foreign_host")
STICKS = frozenset({*OUTPUT_SHAPES, "vendor_failed"})

KINDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("status", "html", "redirect", "not_found", "gzip_bomb"), PLACES),
    **dict.fromkeys(("reset_before", "reset_after", "reset_mid_body", "headers"), PLACES),
    **dict.fromkeys(("hang", "trickle", "slow"), PLACES),
    **dict.fromkeys(("error_code", "truncated_json", "deep_json", "huge_json"), JSON_PLACES),
    **dict.fromkeys(("duplicate_request_id", "no_request_id", "vendor_failed"), SUBMIT_ONLY),
    **dict.fromkeys(("unknown_state", "state_backwards", "queue_position"), STATE_PLACES),
    **dict.fromkeys(OUTPUT_SHAPES, OUTPUT_PLACES),
    "cancellation_requested": frozenset({"cancel"}),
    **dict.fromkeys(("short_body", "wrong_bytes", "empty", "bomb", "blank", "oversize"), FILE_ONLY),
    **dict.fromkeys(("ignore_range", "etag_changes", "expired"), FILE_ONLY),
}
"""Each kind with the places where it means something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. Fields that a kind does not read are ignored; None is the kind's default.

    Raises ValueError for a kind that does not exist, or not at that place.
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
            raise ValueError(f"{self.kind!r} means nothing on {self.on!r}; only on {places}")


@dataclass(slots=True)
class ArmedFault:
    fault: Fault
    to_pass: int
    left: int | None

    def meets(self, on: Place, model_id: str) -> bool:
        return self.fault.on == on and self.left != 0 and fnmatchcase(model_id, self.fault.model)


class FaultPlan:
    """The armed faults, in the order in which they were armed. A call meets at most one."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._armed: list[ArmedFault] = []
        self.arm(faults)

    def arm(self, faults: Iterable[Fault]) -> None:
        self._armed += [ArmedFault(fault, fault.after, fault.times) for fault in faults]

    def clear(self) -> None:
        self._armed.clear()

    def armed(self) -> tuple[ArmedFault, ...]:
        return tuple(armed for armed in self._armed if armed.left != 0)

    def take(self, on: Place, model_id: str = "") -> Fault | None:
        for armed in self._armed:
            if not armed.meets(on, model_id):
                continue
            if armed.to_pass:
                armed.to_pass -= 1
                continue
            if armed.left is not None:
                armed.left -= 1
            return armed.fault
        return None
