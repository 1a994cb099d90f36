"""The one tree of errors. Each has what happened, where, and what to do next.

    BatchgenError                      70  a bug, when nothing below fits
     ├─ UsageError                     64  the command line asks for something impossible
     ├─ InputError                     65  the manifest or an input is wrong
     │   ├─ ManifestError                  … with every Problem found
     │   ├─ ChangedJobsError               … a job that was paid for has a new input
     │   ├─ InputImagesError               … an input image is not what its model takes
     │   ├─ BucketError                    … a bucket cannot be used
     │   │   └─ NoBucketError              … or there is none of that name
     │   ├─ ProviderMismatchError          … a rehearsal's state meets the real API, or the reverse
     │   ├─ CopiedStateError               … the state file is a copy, or a restored backup
     │   ├─ LostStateError                 … requests may be paid for that the state does not know
     │   └─ OtherManifestError             … the folder was last run from another manifest
     ├─ MissingFileError               66  a file to read is missing
     ├─ ApiUnreachableError            69  the API cannot be reached
     ├─ ClusterError                   69  the Ray cluster cannot be used
     │   └─ ClusterLostError               … or is gone while it is used
     ├─ OutputError                    73  output or state cannot be written
     │   └─ SchemaVersionError             … the state file is of another version
     ├─ StorageError                   74  I/O error during the run
     │   ├─ DiskFullError                  … no space left, or quota reached
     │   ├─ DamagedStateError              … the state file is damaged
     │   └─ BucketUnavailableError     69  … a bucket does not answer
     ├─ OpenFilesError                 75  too many files are open at once
     ├─ LockedError                    75  another run of this state is in progress
     └─ TokenError                     77  no token, or the API refused it

The exit codes are sysexits.h's, as the vendor's own command line uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar

from batchgen.text import plural


class ExitCode(IntEnum):
    """What a command returns to the shell."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 64
    BAD_INPUT = 65
    MISSING_FILE = 66
    UNREACHABLE = 69
    BUG = 70
    CANNOT_WRITE = 73
    IO_ERROR = 74
    STOPPED = 75
    UNKNOWN_OUTCOMES = 76
    NO_TOKEN = 77
    SIGHUP = 129
    SIGINT = 130
    SIGTERM = 143


class BatchgenError(Exception):
    """The root. `what` happened, `where` (file:line, job id, request id), `next_step` to take."""

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(
        self, what: str, *, where: str | None = None, next_step: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.next_step:
            lines.append(f"  → {self.next_step}")
        return "\n".join(lines)


class UsageError(BatchgenError):
    exit_code = ExitCode.USAGE


class InputError(BatchgenError):
    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True, slots=True)
class Spot:
    """One of the rows or jobs with the same problem: a line of `file`, all of it, or a label."""

    file: str = ""
    line: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a manifest: its place, what was expected, how to fix it.

    `line` and `column` count from 1, as in editors; 0 means that the file has no such place.
    `count` rows or jobs have it, `spots` are the first of them. A warning stops a run only with
    `--strict`.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None
    job_id: str | None = None
    is_warning: bool = False
    count: int = 1
    spots: tuple[Spot, ...] = ()

    @property
    def place(self) -> tuple[str, int, int]:
        return self.file, self.line, self.column

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "job": self.job_id,
            "message": self.message,
            "hint": self.hint,
            "count": self.count,
            "places": [
                {"file": spot.file, "line": spot.line} if spot.file else {"job": spot.label}
                for spot in self.spots
            ],
        }

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        kind = " warning:" if self.is_warning else ""
        # An id that is rejected for its control characters must not send them to the terminal.
        printable = bool(self.job_id) and str(self.job_id).isprintable()
        job = f" job {self.job_id}:" if printable else ""
        hint = f"\n  → {self.hint}" if self.hint else ""
        return f"{place}:{kind}{job} {self.message}{hint}"


class ManifestError(InputError):
    """A manifest with problems; nothing was sent, unless a run was `under_way`.

    `total` may exceed `len(problems)`: of a million problems only the first ones are kept. With
    warnings only, `--strict` was given. `unknown_models` are names that no catalog has.
    """

    def __init__(
        self,
        problems: tuple[Problem, ...],
        total: int | None = None,
        *,
        under_way: bool = False,
        warnings: tuple[Problem, ...] = (),
        unknown_models: tuple[str, ...] = (),
    ) -> None:
        self.problems = problems
        self.unknown_models = unknown_models
        self.warnings = warnings
        self.total = len(problems) if total is None else total
        found = plural(self.total, "problem")
        if not self.total:
            found = f"--strict: {plural(len(warnings), 'warning')}"
        super().__init__(f"{found} in the manifest; {_SENT[under_way]}")


_SENT = {
    False: "nothing was sent",
    True: "nothing more is submitted, requests in flight are followed; fix them and run the same"
    " command again",
}


class ChangedJobsError(InputError):
    pass


class InputImagesError(InputError):
    pass


class BucketError(InputError):
    pass


class NoBucketError(BucketError):
    """There is no bucket of that name."""


class ProviderMismatchError(InputError):
    pass


class CopiedStateError(InputError):
    pass


class LostStateError(InputError):
    pass


class OtherManifestError(InputError):
    pass


class MissingFileError(BatchgenError):
    exit_code = ExitCode.MISSING_FILE


class ApiUnreachableError(BatchgenError):
    exit_code = ExitCode.UNREACHABLE


class ClusterError(BatchgenError):
    exit_code = ExitCode.UNREACHABLE


class ClusterLostError(ClusterError):
    pass


class OutputError(BatchgenError):
    exit_code = ExitCode.CANNOT_WRITE


class SchemaVersionError(OutputError):
    pass


class StorageError(BatchgenError):
    exit_code = ExitCode.IO_ERROR


class DiskFullError(StorageError):
    pass


class DamagedStateError(StorageError):
    pass


class BucketUnavailableError(StorageError):
    """It does not answer, or says that it is overloaded: this may pass by itself."""

    exit_code = ExitCode.UNREACHABLE


class OpenFilesError(BatchgenError):
    exit_code = ExitCode.STOPPED


class LockedError(BatchgenError):
    exit_code = ExitCode.STOPPED


class TokenError(BatchgenError):
    exit_code = ExitCode.NO_TOKEN
