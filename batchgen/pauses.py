"""Why a run stops submitting: each reason with its message, next step and exit code.

A new reason needs a member of the enum, a row of the table and a row in guide/exit-codes.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from batchgen.errors import ClusterLostError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.errors import BatchgenError


class PauseReason(StrEnum):
    """The first four are also reported by the vendor's client: no submit would succeed."""

    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a reason, not a secret
    NO_BALANCE = "no_balance"
    REDIRECTED = "redirected"
    BAD_CERTIFICATE = "bad_certificate"
    BUDGET = "budget"
    THROTTLED = "throttled"
    UNKNOWN_OUTCOMES = "unknown_outcomes"
    GATEWAY = "gateway"
    REFUSALS = "refusals"
    UNREACHABLE = "unreachable"
    DISK = "disk"
    DISK_NEARLY_FULL = "disk_nearly_full"
    BUCKET = "bucket"
    FAILURES = "failures"
    STOP_AT = "stop_at"
    MAX_DURATION = "max_duration"
    CANARY = "canary"
    MANIFEST = "manifest"
    SCHEMA = "schema"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Pause:
    """No new submits. `sentence` is the reason, `next_step` how to continue.

    `lets_go`: requests in flight cannot be followed either; the next run follows them.
    """

    reason: PauseReason
    sentence: str
    next_step: str
    lets_go: bool = False
    where: str | None = None

    @property
    def exit_code(self) -> ExitCode:
        return PAUSES[self.reason].exit_code


@dataclass(frozen=True, slots=True)
class PauseRow:
    """Templates; `pause_for` fills them in."""

    exit_code: ExitCode
    sentence: str
    next_step: str


AGAIN = "run the same command again to continue"
_TOP_UP = f"top up the account, then {AGAIN}"

PAUSES: Mapping[PauseReason, PauseRow] = {
    PauseReason.TOKEN_REFUSED: PauseRow(
        ExitCode.NO_TOKEN,
        "the API refused the token ({reason})",
        f"set a valid RUNCOMFY_TOKEN (a different one is fine), then {AGAIN}",
    ),
    PauseReason.NO_BALANCE: PauseRow(
        ExitCode.STOPPED, "the account's balance is too low ({reason})", _TOP_UP
    ),
    PauseReason.REDIRECTED: PauseRow(
        ExitCode.UNREACHABLE,
        "the API redirects submits, and batchgen does not follow ({reason})",
        f"check RUNCOMFY_MODEL_API_BASE, then {AGAIN}",
    ),
    PauseReason.BAD_CERTIFICATE: PauseRow(
        ExitCode.UNREACHABLE,
        "the API's certificate is not valid ({reason})",
        "check this machine's clock; behind a company's proxy, set SSL_CERT_FILE to a file with its"
        f" certificates; then {AGAIN}",
    ),
    PauseReason.BUDGET: PauseRow(
        ExitCode.STOPPED,
        "no job left fits into the budget of {limit:.2f} USD: {spent:.2f} spent or reserved",
        f"raise run.budget or --budget, then {AGAIN}",
    ),
    PauseReason.THROTTLED: PauseRow(
        ExitCode.STOPPED,
        "the API keeps answering {what} with 429, too many requests ({reason})",
        f"set run.rate or a lower run.concurrency, then {AGAIN}",
    ),
    PauseReason.UNKNOWN_OUTCOMES: PauseRow(
        ExitCode.UNKNOWN_OUTCOMES,
        "the outcomes of five submits within a minute are unknown",
        f"see `batchgen status`, decide with `batchgen resolve`, then {AGAIN}",
    ),
    PauseReason.GATEWAY: PauseRow(
        ExitCode.UNREACHABLE,
        "a gateway or proxy in between answers instead of the API: {count} submits in a row"
        " came back without JSON ({reason})",
        f"{{cure}}; then {AGAIN}",
    ),
    PauseReason.REFUSALS: PauseRow(
        ExitCode.STOPPED,
        "the API refused {count} jobs in a row for the same reason ({code}: {reason})",
        "fix the cause: the account, the model or the input; then run the same command again"
        " for the remaining jobs, or `batchgen retry` to include the refused ones",
    ),
    PauseReason.UNREACHABLE: PauseRow(
        ExitCode.UNREACHABLE,
        "{whose} cannot be reached ({reason})",
        f"check the network, and behind a proxy HTTPS_PROXY, then {AGAIN}",
    ),
    PauseReason.DISK: PauseRow(ExitCode.IO_ERROR, "{what}", f"check the disk, then {AGAIN}"),
    PauseReason.DISK_NEARLY_FULL: PauseRow(
        ExitCode.STOPPED,
        "the disk is nearly full: {free:,.1f} MiB are free,"
        " but at least {floor:,.1f} MiB must be: nothing more is submitted",
        f"make room, or set output.min_free, then {AGAIN}",
    ),
    PauseReason.BUCKET: PauseRow(
        ExitCode.UNREACHABLE,
        "results cannot be stored: {reason}",
        f"check the network and the bucket, then {AGAIN}; nothing is paid for twice",
    ),
    PauseReason.FAILURES: PauseRow(
        ExitCode.STOPPED,
        "{failed} of the {ended} jobs that ended in this run failed,"
        " most often ({times}) with {code}: {reason}",
        f"fix the cause, then {AGAIN}; the count of failures restarts",
    ),
    PauseReason.STOP_AT: PauseRow(
        ExitCode.STOPPED,
        "the stop time has been reached ({stop_at}): nothing more is submitted",
        f"{{before}}{AGAIN}",
    ),
    PauseReason.MAX_DURATION: PauseRow(
        ExitCode.STOPPED,
        "the run has lasted {duration}, as long as max_duration allows: nothing more is submitted",
        AGAIN,
    ),
    PauseReason.CANARY: PauseRow(
        ExitCode.STOPPED,
        "{why}",
        f"see `batchgen status`; fix the manifest or retry the job, then {AGAIN};"
        " without run.canary, the other jobs start whatever becomes of the first one",
    ),
    PauseReason.MANIFEST: PauseRow(
        ExitCode.BAD_INPUT,
        "rows that were read during the run have problems",
        f"fix them, then {AGAIN}; nothing is paid for twice",
    ),
    PauseReason.SCHEMA: PauseRow(ExitCode.BAD_INPUT, "{problems}", "{ways_out}"),
    PauseReason.CLUSTER: PauseRow(ExitCode.UNREACHABLE, "{what}", AGAIN),
}


def pause_for(
    reason: PauseReason, /, *, lets_go: bool = False, where: str | None = None, **facts: object
) -> Pause:
    """Return the pause for `reason`; `facts` fill in its row. A test checks every call."""
    row = PAUSES[reason]
    sentence, next_step = row.sentence.format_map(facts), row.next_step.format_map(facts)
    return Pause(reason, sentence, next_step, lets_go, where)


def pause_for_disk(error: BatchgenError) -> Pause:
    """Return the pause for an error of the disk, with the error's own next step if it has one.

    Or of the cluster that writes to it.
    """
    if isinstance(error, ClusterLostError):
        pause = pause_for(PauseReason.CLUSTER, where=error.where, what=error.what)
    else:
        pause = pause_for(PauseReason.DISK, where=error.where, what=error.what)
    next_step = error.next_step or pause.next_step
    return Pause(pause.reason, pause.sentence, next_step, where=pause.where)
