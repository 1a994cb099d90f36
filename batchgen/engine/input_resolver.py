"""Before a submit: probes the files that its input names, and fills in other jobs' results.

The user's own files come last, since their bytes stay in memory until the submit. All of this is
free, and nothing is recorded yet, so a stop may interrupt it at any point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from batchgen.downloads import probe
from batchgen.engine.decisions import Withheld, combined, is_inconclusive
from batchgen.engine.events import JobMoved
from batchgen.engine.ports import InputsBroken, InputsUnclear, Sendable
from batchgen.input_files import files_in
from batchgen.jobs import JobState
from batchgen.pauses import pause_for
from batchgen.references import references_in, resolved
from batchgen.runcomfy.outcomes import (
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    Succeeded,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchgen.engine.context import EngineContext
    from batchgen.engine.decisions import PollOutcome
    from batchgen.references import Reference
    from batchgen.state.records import JobRow, Result

MORE_TRIES = 2
"""For another job's result that seems broken. It was sound when it was downloaded, but its URL may
expire between two requests, and a server may for once serve something else."""


@dataclass(frozen=True, slots=True)
class NoSuchOutput:
    """The needed job is done, but did not make what the reference names."""

    reason: str


def file_for(reference: Reference, files: Iterable[Result]) -> Result | NoSuchOutput:
    """Find the file at the reference's position among those of its kind, in the vendor's order."""
    kind = reference.kind
    found = sorted(
        (
            file
            for file in files
            if file.job_id == reference.job_id and file.media_type.startswith(f"{kind}/")
        ),
        key=lambda file: file.position,
    )
    if reference.position < len(found):
        return found[reference.position]
    gave = {0: f"no {kind}", 1: f"1 {kind}"}.get(len(found), f"{len(found)} {kind}s")
    return NoSuchOutput(
        f"{reference.job_id} gave {gave}; {kind}s[{reference.position}] was asked for"
    )


def expired(file: Result, reason: str) -> str:
    """Why a result cannot be used as an input, and what to do about it."""
    return (
        f"the vendor no longer serves the result of {file.job_id} ({reason});"
        " put its saved file where the vendor can fetch it, and write that URL in its place"
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """`body` has no reference to another job left in it.

    It is sent as it is, or as `sendable`, with the user's own files in it; who takes that releases
    it.
    """

    body: str
    sendable: Sendable | None = None

    def release(self) -> None:
        if self.sendable is not None:
            self.sendable.release()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The job failed, and nothing was paid for."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Nothing was found out, or the run is stopping: the job is as it was."""


Readiness: TypeAlias = Ready | Rejected | NotNow


@dataclass(frozen=True, slots=True)
class _Broken:
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Unclear:
    reason: str
    whose: str = "an input image"
    next_step: str = ""


class InputResolver:
    """Turns a due job into a body that can be sent."""

    def __init__(self, context: EngineContext) -> None:
        self._ports = context.ports
        self._control = context.control
        self._health = context.health

    async def ready(self, job: JobRow) -> Readiness:
        finding: Ready | _Broken | _Unclear = _Unclear("")
        with self._control.drain.scope() as scope:
            finding = await self._inspect(job)
        if scope.interrupted:
            if isinstance(finding, Ready):
                finding.release()
            return NotNow()
        match finding:
            case Ready():
                return finding
            case _Broken(code, reason):
                await self._reject(job, code, reason)
                return Rejected()
            case _Unclear(reason, whose, next_step):
                self._health.no_contact(reason, whose, next_step)
                return NotNow()

    async def _reject(self, job: JobRow, code: str, reason: str) -> None:
        if await self._ports.store.reject(job.seq, code, reason):
            self._control.emit(
                JobMoved(
                    job.id, job.model, JobState.PENDING, JobState.FAILED, code=code, reason=reason
                )
            )

    async def _inspect(self, job: JobRow) -> Ready | _Broken | _Unclear:
        finding = await self._check(job)
        for _ in range(MORE_TRIES):
            if not (isinstance(finding, _Broken) and references_in(job.body)):
                break
            finding = await self._check(job)
        return finding

    async def _check(self, job: JobRow) -> Ready | _Broken | _Unclear:
        filled = await self._fill_in(job)
        if not isinstance(filled, Ready):
            return filled
        probed = await self._probe_inputs(job.model, filled)
        return (
            await self._with_own_files(job.model, probed) if isinstance(probed, Ready) else probed
        )

    async def _probe_inputs(self, model: str, filled: Ready) -> Ready | _Broken | _Unclear:
        if self._ports.inputs is None:
            return filled
        match await self._ports.inputs.check(model, filled.body):
            case InputsBroken(reason):
                return _Broken("bad_input", reason)
            case InputsUnclear(reason):
                return _Unclear(reason)
            case _:
                return filled

    async def _with_own_files(self, model: str, filled: Ready) -> Ready | _Broken | _Unclear:
        files = files_in(filled.body)
        if not files:
            return filled
        if self._ports.own_files is None:
            reason = f"{files[0].path} is a file of yours, and this run has no way to send it"
            return _Broken("bad_input", reason)
        match await self._ports.own_files.sendable(model, filled.body):
            case Sendable() as sendable:
                return Ready(filled.body, sendable)
            case InputsBroken(reason):
                return _Broken("bad_input", reason)
            case InputsUnclear(reason, next_step):
                return _Unclear(reason, "an input file", next_step)

    async def _fill_in(self, job: JobRow) -> Ready | _Broken | _Unclear:
        references = references_in(job.body)
        if not references:
            return Ready(job.body)
        files = await self._ports.store.needed_files(job.seq)
        urls: dict[str, str] = {}
        for reference in references:
            found = await self._served_url(reference, files)
            if not isinstance(found, str):
                return found
            urls[reference.url] = found
        return Ready(resolved(job.body, urls))

    async def _served_url(
        self, reference: Reference, files: tuple[Result, ...]
    ) -> str | _Broken | _Unclear:
        file = file_for(reference, files)
        if isinstance(file, NoSuchOutput):
            return _Broken("no_such_output", file.reason)
        if file.url.startswith("data:"):
            reason = "its result came inside the vendor's answer: there is no URL to pass on"
            return _Broken("no_url", f"it needs {file.job_id}, and {reason}")
        found = await self._if_served(file.url)
        if not isinstance(found, probe.Gone):
            return found
        url = await self._renewed_url(file, found.reason)
        if not isinstance(url, str):
            return url
        found = await self._if_served(url)
        if isinstance(found, probe.Gone):
            return _Broken("url_expired", expired(file, found.reason))
        return found

    async def _if_served(self, url: str) -> str | probe.Gone | _Unclear:
        """Return the URL if it still answers. What it serves is checked with the whole input."""
        if self._ports.inputs is None:
            return url
        match await self._ports.inputs.probe(url):
            case probe.Gone() as gone:
                return gone
            # The result came from there, so a name that leads to a private address now may recover.
            case probe.NoAnswer(reason) | probe.NotUsable(reason, by_dns=True):
                return _Unclear(reason)
            case _:
                return url

    async def _renewed_url(self, file: Result, reason: str) -> str | _Broken | _Unclear:
        """Ask for the URL once more: the vendor's results may outlive their URLs. It is free."""
        if file.request_id is None:
            return _Broken("url_expired", expired(file, f"{reason}; it was reused"))
        answer: PollOutcome = await self._ports.api.result(file.request_id)
        if isinstance(answer, Halted) and is_inconclusive(answer):
            # One 401 is no proof that the token is refused.
            answer = combined(answer, await self._ports.api.status(file.request_id))
        match answer:
            case Succeeded(urls) if len(urls) >= file.position:
                url = urls[file.position - 1]
                await self._ports.store.refresh_url(file.id, url)
                return url
            case NoAnswer(why) | NotReady(why):
                return _Unclear(why, "the API")
            case Throttled(reason=why) | Gateway(reason=why) | Withheld(reason=why):
                return _Unclear(why, "the API")
            case Halted(cause, why):
                self._control.pause(pause_for(cause, reason=why, lets_go=True))
                return _Unclear(why, "the API")
            case Missing(why):
                return _Broken("url_expired", expired(file, f"{reason}; {why}"))
            case _:
                return _Broken("url_expired", expired(file, reason))
