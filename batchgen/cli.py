"""The command line: options and exit codes, no logic. Each verb's work is in commands/."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands.console import print_error, say
from batchgen.commands.options import (
    ACCEPT_COPY,
    CHECK,
    EMULATOR,
    EXPORT,
    JOBS,
    JSON,
    KINDS,
    LIMITS,
    MANIFEST,
    OFFLINE,
    ONLY_JOBS,
    QUIET,
    SELECTION,
    WORDS,
    all_of,
    check_asked,
    export_asked,
    run_options,
)
from batchgen.commands.validate import say_problems
from batchgen.errors import BatchgenError, ExitCode, ManifestError, UsageError
from batchgen.models.catalog import catalog
from batchgen.runs.options import RunOptions
from batchgen.state.queries import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT_FAILED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE, errno.EBADF})

COMPLETION = "_BATCHGEN_COMPLETE"
"""The variable by which a shell asks for completions."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="batchgen")
def cli() -> None:
    """Turn a manifest of generation jobs into verified files, and pay for none of them twice.

    Start with `batchgen init`, try it with `batchgen run MANIFEST --emulator`, and give the same
    command again whenever it was stopped: it continues.
    """


@cli.command()
@click.argument("manifest", type=click.Path(path_type=Path), default="manifest.yaml")
@click.option("--model", metavar="MODEL", help="For this model: an id, or t2i, edit, i2v.")
@click.option(
    "--from",
    "rows",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With a job for each row of a CSV, TSV, JSON Lines or Parquet file.",
)
def init(manifest: Path, model: str | None, rows: Path | None) -> int:
    """Write a commented manifest to start from."""
    from batchgen.commands.init import init as command  # noqa: PLC0415 - a verb loads its own only

    return command(manifest, model, rows)


@cli.command()
@click.argument("manifests", type=click.Path(path_type=Path), nargs=-1, required=True)
@JSON
def validate(manifests: tuple[Path, ...], as_json: bool) -> int:
    """Show every problem of manifests; nothing is sent."""
    from batchgen.commands.validate import validate as command  # noqa: PLC0415 - as above

    return command(manifests, as_json=as_json)


@cli.command()
@MANIFEST
@all_of(EMULATOR, *JOBS, OFFLINE, JSON)
def plan(manifest: Path, emulator: bool, offline: bool, as_json: bool, **selected: Any) -> int:
    """Show what a run would do, cost and take; nothing is sent.

    New, changed and gone jobs are shown too. Where there is a token, prices and schemas are
    compared with the vendor's of today.
    """
    from batchgen.commands.plan import show_plan  # noqa: PLC0415 - as above

    options = RunOptions(emulator=emulator, selection=Selection(**selected))
    return show_plan(manifest, options, offline=offline, as_json=as_json)


@cli.command()
@MANIFEST
@all_of(EMULATOR, *JOBS, *LIMITS, ACCEPT_COPY)
@click.option("--retry-failed", is_flag=True, help="Also try again what failed; this may cost.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
@all_of(*WORDS, QUIET, JSON)
def run(
    manifest: Path, dry_run: bool, quiet: bool, as_json: bool, on_done: str | None, **asked: Any
) -> int:
    """Start, continue or finish a run."""
    options = run_options(**asked)
    if dry_run:
        from batchgen.commands.plan import show_plan  # noqa: PLC0415 - as above

        return show_plan(manifest, options, offline=False, as_json=as_json)
    from batchgen.commands.run import run_manifest  # noqa: PLC0415 - as above

    return run_manifest(manifest, options, quiet=quiet, as_json=as_json, on_done=on_done)


@cli.command()
@MANIFEST
@all_of(EMULATOR, *JOBS, *LIMITS, ACCEPT_COPY, *WORDS, QUIET, JSON)
def retry(manifest: Path, quiet: bool, as_json: bool, on_done: str | None, **asked: Any) -> int:
    """Run again, with what failed.

    Jobs that failed, were cancelled or lost are submitted again; this may cost.
    """
    from batchgen.commands.run import run_manifest  # noqa: PLC0415 - as above

    options = run_options(retry_failed=True, **asked)
    return run_manifest(manifest, options, quiet=quiet, as_json=as_json, on_done=on_done)


@cli.command()
@MANIFEST
@all_of(*JOBS, JSON)
@click.option("--watch", is_flag=True, help="Show it again and again, until nothing is under way.")
def status(manifest: Path, as_json: bool, watch: bool, **selected: Any) -> int:
    """Show how a run stands.

    It reads a snapshot of the state and never disturbs a runner at work.
    """
    from batchgen.commands.status import status as show_once  # noqa: PLC0415 - as above
    from batchgen.commands.status import watch as keep_watching  # noqa: PLC0415 - as above

    if watch and as_json:
        raise UsageError("--watch is for people, --json for programs: give one of them")
    selection = Selection(**selected)
    if watch:
        return keep_watching(manifest, selection)
    return show_once(manifest, selection, as_json=as_json)


@cli.command()
@MANIFEST
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the report goes; without it, report/ in the run's folder.",
)
def report(manifest: Path, show: bool, out: Path | None) -> int:
    """Make a page to look at: pictures, failures, the night.

    It reads the state, also while a run goes on; a second report makes only what is new.
    """
    from batchgen.commands.report import report as command  # noqa: PLC0415 - as above

    return command(manifest, out, show=show)


@cli.command()
@MANIFEST
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
def watch(manifest: Path, port: int, show: bool) -> int:
    """Serve the report's page on this machine, live.

    Pictures come in while a run goes on; k, x and u pick, a approves. The first line says where;
    Ctrl-C ends it, and never the run.
    """
    from batchgen.commands.watch import watch as command  # noqa: PLC0415 - as above

    return command(manifest, port=port, show=show)


@cli.command()
@MANIFEST
@all_of(EMULATOR, *JOBS)
def cancel(manifest: Path, emulator: bool, **selected: Any) -> int:
    """Cancel jobs, sent or not.

    What was not sent is cancelled at once, the rest where the vendor still can.
    """
    from batchgen.commands.cancel import cancel_selected  # noqa: PLC0415 - as above

    return cancel_selected(manifest, RunOptions(emulator=emulator, selection=Selection(**selected)))


@cli.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every unknown job; not with --adopt.")
@click.option("--adopt", metavar="REQUEST_ID", help="It was accepted: this is its request.")
@click.option("--resubmit", is_flag=True, help="Submit it again, though it may be charged twice.")
@click.option("--write-off", is_flag=True, help="Give it up: it counts as failed and spent.")
@all_of(*JOBS)
def resolve(manifest: Path, names: tuple[str, ...], **asked: Any) -> int:
    """Decide about submits of unknown outcome.

    JOB is the id of an unknown job, or a glob for several; the other options leave some of them
    out.
    """
    from batchgen.commands.resolve import resolve_asked as command  # noqa: PLC0415 - as above

    names_of = ("jobs", "models", "tags", "states", "causes")
    selection = Selection(*(asked.pop(option) for option in names_of))
    return command(manifest, names, selection, **asked)


@cli.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every job that waits for approval.")
def approve(manifest: Path, names: tuple[str, ...], every: bool) -> int:
    """Let the jobs go on that need these.

    JOB is the id of a job behind a gate, or a glob for several. Without any, those that wait for
    approval are listed with their files.
    """
    from batchgen.commands.approve import approve as command  # noqa: PLC0415 - as above

    return command(manifest, names, every=every)


@cli.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1)
@click.option("--keep", is_flag=True, help="They are good.")
@click.option("--reject", is_flag=True, help="They are not: `retry --state rejected` redoes them.")
@click.option("--unpick", is_flag=True, help="Take an earlier word back.")
@click.option(
    "--file",
    "position",
    type=click.IntRange(1),
    metavar="N",
    help="Of results with several files only the Nth.",
)
@all_of(*SELECTION)
def pick(manifest: Path, names: tuple[str, ...], position: int | None, **asked: Any) -> int:
    """Keep or reject results.

    JOB is the id of a job with a result, or a glob for several. `watch` does it in a page.
    """
    from batchgen.commands.pick import pick_asked as command  # noqa: PLC0415 - as above

    chosen = [asked.pop(option) for option in ("jobs", "models", "tags", "states")]
    selection = Selection((*names, *chosen[0]), *chosen[1:])
    return command(manifest, selection, position, **asked)


@cli.command()
@MANIFEST
@ONLY_JOBS
@click.option("--quick", is_flag=True, help="Compare sizes only; read no file.")
@JSON
def verify(manifest: Path, jobs: tuple[str, ...], quick: bool, as_json: bool) -> int:
    """Compare the files on disk with the state.

    It changes nothing, also while a run goes on. Exit code 0: all sound; 1: something is wrong.
    """
    from batchgen.commands.verify import verify as command  # noqa: PLC0415 - as above

    return command(manifest, Selection(jobs), quick=quick, as_json=as_json)


@cli.command()
@MANIFEST
@all_of(EMULATOR, ONLY_JOBS, ACCEPT_COPY)
def repair(manifest: Path, jobs: tuple[str, ...], **asked: Any) -> int:
    """Fetch missing and damaged files again; never pays.

    Exit code 0: all files are sound now; 1: some could not be fetched.
    """
    from batchgen.commands.repair import repair as command  # noqa: PLC0415 - as above

    return command(manifest, RunOptions(selection=Selection(jobs), **asked))


@cli.command(epilog=KINDS)
@MANIFEST
@all_of(*CHECK, *SELECTION)
@click.option("--dry-run", is_flag=True, help="Show what is found; the state stays as it is.")
@JSON
def check(
    manifest: Path,
    jobs: tuple[str, ...],
    models: tuple[str, ...],
    tags: tuple[str, ...],
    states: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **asked: Any,
) -> int:
    """Find results that are blank, damaged, wrong or there twice.

    Looks at the results of done jobs, also while a run goes on, and writes what it finds to the
    state. A second check looks only at what is new. Exit code 0: nothing found; 1: flaws found.
    """
    from batchgen.commands.check import check as command  # noqa: PLC0415 - as above

    selection = Selection(jobs, models, tags, states)
    return command(manifest, selection, check_asked(**asked), dry_run=dry_run, as_json=as_json)


@cli.command()
@MANIFEST
@click.argument("folder", metavar="DEST", type=click.Path(path_type=Path))
@all_of(*EXPORT, *SELECTION, JSON)
def export(manifest: Path, folder: Path, as_json: bool, **asked: Any) -> int:
    """Make a dataset of the results in the folder DEST.

    Only done jobs count, unless --state says otherwise. The same command continues what was
    interrupted, and takes up what came since.
    """
    from batchgen.commands.export import export as command  # noqa: PLC0415 - as above

    return command(manifest, folder, export_asked(**asked), as_json=as_json)


@cli.command()
@click.argument(
    "model",
    required=False,
    shell_complete=lambda _context, _param, word: [i for i in catalog() if i.startswith(word)],
)
@JSON
def models(model: str | None, as_json: bool) -> int:
    """Show the models, or every field of one."""
    from batchgen.commands.models import list_models, show_model  # noqa: PLC0415 - as above

    return show_model(model, as_json=as_json) if model else list_models(as_json=as_json)


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--latency", type=click.FloatRange(0), help="Seconds that a request takes.")
@click.option("--state", type=click.Path(path_type=Path), help="File that remembers requests.")
@click.option("--token", help="The only token to take; without it, any.")
def emulator(port: int, latency: float | None, state: Path | None, token: str | None) -> int:
    """Serve the vendor's API on this machine.

    The first line says where; Ctrl-C ends it.
    """
    from batchgen.commands.emulator import emulate  # noqa: PLC0415 - as above

    return emulate(port=port, latency=latency, state=state, token=token)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: the only place where errors become one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has not every character shows an escape instead of ending the run.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(
            args=argv, prog_name="batchgen", complete_var=COMPLETION, standalone_mode=False
        )
    except ManifestError as exc:
        say_problems(exc)
        return exc.exit_code
    except BatchgenError as exc:
        print_error(exc)
        return exc.exit_code
    except click.ClickException as exc:
        exc.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.SIGINT
    except OSError as exc:
        if exc.errno not in OUTPUT_FAILED:
            return _bug()
        # The rooms translate theirs; this one is stdout's or stderr's own: a full disk behind it.
        with contextlib.suppress(OSError):
            say(f"batchgen: cannot write what is to be said: {exc.strerror}", to_stderr=True)
        sys.stdout = None  # else Python tries once more at its exit, and changes the exit code
        return ExitCode.IO_ERROR
    except SystemExit:
        # click leaves by itself after a completion, and where the reader of a pipe left, as
        # `| head` does: with 1, which would mean failed jobs.
        if COMPLETION in os.environ:
            raise
        return ExitCode.IO_ERROR
    except Exception:  # noqa: BLE001 - the one at the very top
        return _bug()
    return int(code or 0)


def _bug() -> int:
    traceback.print_exc()
    say("batchgen: this is a bug; the state is safe: the same command continues", to_stderr=True)
    return ExitCode.BUG
