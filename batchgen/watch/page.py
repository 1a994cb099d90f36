"""A state → the page, its head, its chunks: as the report's, but made when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.report.chunks import JOBS_IN_CHUNK, chunk_document, take_script
from batchgen.report.making import head_script
from batchgen.report.page import ICON, LIVE_SCRIPTS, SCRIPTS, STYLE, page_html
from batchgen.state.looking import shown_among, shown_between

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from batchgen.jobs import JsonValue
    from batchgen.watch.watching import View

ASSETS = frozenset({STYLE, ICON, *SCRIPTS, *LIVE_SCRIPTS})


def html(view: View) -> str:
    scripts = [f"assets/{name}" for name in (*SCRIPTS, *LIVE_SCRIPTS)]
    style = f"assets/{STYLE}"
    return page_html(view.figures.facts, style, [*scripts, "data/head.js"], live=True)


def head(view: View, last: int) -> str:
    """`last`: the highest number of a job. The page's stream goes on after this very moment."""
    chunks: list[JsonValue] = [
        f"data/jobs-{number}.js" for number in range((last + JOBS_IN_CHUNK - 1) // JOBS_IN_CHUNK)
    ]
    live: JsonValue = {"instance": view.instance, "moment": view.moment}
    return head_script({**view.figures.head, "files": "", "chunks": chunks, "live": live})


def chunk(db: sqlite3.Connection, number: int, moment: int) -> str:
    """`moment`: of a look before this reading, so that what changes from now on is told again."""
    first = number * JOBS_IN_CHUNK + 1
    jobs = shown_between(db, first, first + JOBS_IN_CHUNK - 1)
    return take_script({**chunk_document(jobs, _has_thumb), "moment": moment})


def rows_document(db: sqlite3.Connection, seqs: Sequence[int], moment: int) -> dict[str, JsonValue]:
    """These jobs as they are; `gone` are those that are shown no more."""
    jobs = shown_among(db, seqs)
    shown = {job.seq for job in jobs}
    gone: list[JsonValue] = [seq for seq in seqs if seq not in shown]
    return {**chunk_document(jobs, _has_thumb), "gone": gone, "moment": moment}


def _has_thumb(_sha256: str) -> bool:
    """It is made when it is asked for."""
    return True
