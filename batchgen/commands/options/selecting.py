"""Which jobs a command is about, as options."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import click

from batchgen.commands.options.completing import (
    complete_causes,
    complete_jobs,
    complete_tags,
    complete_words,
)
from batchgen.errors import UsageError
from batchgen.jobs import JobState, model_alias
from batchgen.models.catalog import model_ids
from batchgen.state.causes import KEY_DIGITS
from batchgen.state.selection import JUDGED, NAMES
from batchgen.text import did_you_mean

CAUSE = re.compile(rf"!?[0-9a-f]{{{KEY_DIGITS}}}")


def read_causes(
    _context: click.Context, _option: click.Parameter, keys: tuple[str, ...]
) -> tuple[str, ...]:
    """Pass on what may be a cause. Raises UsageError for what no report shows."""
    for key in keys:
        if not CAUSE.fullmatch(key):
            raise UsageError(
                f"'{key}' is no cause",
                where="--cause",
                next_step="batchgen status MANIFEST shows causes, each with its key",
            )
    return keys


def read_states(
    _context: click.Context, _option: click.Parameter, globs: tuple[str, ...]
) -> tuple[str, ...]:
    """Pass on what names a state at all. Raises UsageError for a typing error."""
    for glob in globs:
        name = glob.removeprefix("!")
        if name not in JUDGED and not any(fnmatchcase(state, name) for state in JobState):
            raise UsageError(
                f"there is no state '{name}'",
                where="--state",
                next_step=did_you_mean(name, NAMES),
            )
    return globs


def models_and_short_names() -> list[str]:
    return sorted({name for model in model_ids() for name in (model, model_alias(model))})


SELECTION = (
    click.option(
        "--job",
        "jobs",
        multiple=True,
        metavar="GLOB",
        shell_complete=complete_jobs(),
        help="Only jobs with these ids; !GLOB excludes.",
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="GLOB",
        shell_complete=complete_words(models_and_short_names),
        help="Only these models, by id or short name (t2i, edit, i2v); !GLOB excludes.",
    ),
    click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="GLOB",
        shell_complete=complete_tags(),
        help="Only jobs with these tags; !GLOB excludes.",
    ),
    click.option(
        "--state",
        "states",
        multiple=True,
        metavar="GLOB",
        callback=read_states,
        shell_complete=complete_words(lambda: NAMES),
        help="Only jobs in these states, or kept or rejected ones; !GLOB excludes.",
    ),
)
ONLY_JOBS = SELECTION[0]
JOBS = (
    *SELECTION,
    click.option(
        "--cause",
        "causes",
        multiple=True,
        metavar="KEY",
        callback=read_causes,
        shell_complete=complete_causes(),
        help="Only jobs that failed with this cause, as `status` shows it; !KEY excludes.",
    ),
)
"""What chooses among all jobs; SELECTION chooses among results, too."""
