"""`batchgen check`: are the results any good? What is found is written to the state."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from batchgen.check.checking import changes
from batchgen.check.checking import check as look_at_all
from batchgen.commands.check_words import Fate, Outcome, Question, say_document, say_words
from batchgen.commands.verify import progress_bar
from batchgen.concurrency import unwind_on_signals
from batchgen.errors import BatchgenError, ExitCode, UsageError
from batchgen.runs.context import open_run
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import decide
from batchgen.runs.ownership import refuse_copy
from batchgen.state.queries import select_any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchgen.check.checking import Changes
    from batchgen.check.kinds import CheckOptions
    from batchgen.runs.folder import RunFolder
    from batchgen.state.selection import Selection


@unwind_on_signals()
def check(
    path: Path, selection: Selection, asked: CheckOptions, *, dry_run: bool, as_json: bool
) -> int:
    """Look, write down what is news, and say it; exit 1 where a file has a flaw.

    Raises MissingFileError where nothing was run, UsageError, CopiedStateError, OutputError,
    StorageError.
    """
    began = time.monotonic()
    with open_run(path) as run:
        db, folder = run.db, run.folder
        if not dry_run:
            # Nothing could be written into it: said before minutes of looking, not after.
            refuse_copy(db, folder)
        if not select_any(db, selection):
            raise _nothing_selected()
        question = Question(path, selection, asked, run.is_rehearsal)
        with ExitStack() as stack:
            begin = partial(_begin, stack)
            report = look_at_all(db, folder.root, folder.measures, selection, asked, begin)
    seconds = time.monotonic() - began
    found = changes(report.files, asked)
    show = partial(say_document, run.manifest.name) if as_json else partial(say_words, question)
    try:
        fate, objections = (Fate.DRY, ()) if dry_run else _write(folder, found)
    except BatchgenError:
        # What took so long to find must not be lost because the disk is full.
        show(Outcome(report, found, seconds, Fate.FAILED))
        raise
    show(Outcome(report, found, seconds, fate, objections))
    return ExitCode.SOME_FAILED if report.flawed else ExitCode.DONE


def _nothing_selected() -> UsageError:
    return UsageError(
        "no job is selected",
        next_step="check --job, --model, --tag and --state; batchgen status lists the jobs",
    )


def _begin(stack: ExitStack, total: int) -> Callable[[int], object]:
    bar = stack.enter_context(progress_bar(total, "looked at"))
    return lambda number: bar.update(number - bar.n)


def _write(folder: RunFolder, found: Changes) -> tuple[Fate, tuple[str, ...]]:
    """What became of the news, and objections of the state."""
    decisions = list(_decisions(found, time.time()))
    if not decisions:
        return Fate.WRITTEN, ()
    with decide(folder, decisions) as decided:
        if decided is None:
            return Fate.HANDED, ()
        return Fate.WRITTEN, tuple(one.objection for one in decided.applied if one.objection)


def _decisions(found: Changes, at: float) -> Iterator[Decision]:
    for file, flaws in found.flaws:
        yield Decision(Verb.FIND, file.job_id, at, None, file.attempt, file.position, flaws)
    for file in found.rejected:
        yield Decision(Verb.REJECT, file.job_id, at, None, file.attempt, file.position)
