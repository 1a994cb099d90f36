"""Every reason for a pause has a row, and every pause gets the facts that its row needs."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Formatter

import pytest

import batchgen
from batchgen.errors import ExitCode
from batchgen.pauses import PAUSES, PauseReason, PauseRow

HOW = {"lets_go", "where"}
VENDOR = (PauseReason.TOKEN_REFUSED, PauseReason.NO_BALANCE, PauseReason.REDIRECTED)
ROOT = Path(batchgen.__file__).parent


def facts_of(row: PauseRow) -> set[str]:
    texts = (row.sentence, row.next_step)
    return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name}


def calls() -> list[tuple[str, ast.Call]]:
    """Each call of `pause_for` in the product, with its place."""
    return [
        (f"{path.name}:{node.lineno}", node)
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "pause_for"
    ]


@pytest.mark.parametrize("reason", list(PauseReason))
def test_every_reason_has_a_row_that_is_no_success(reason: PauseReason) -> None:
    assert PAUSES[reason].exit_code is not ExitCode.DONE


def test_every_pause_is_made_with_the_facts_of_its_row() -> None:
    made = set()
    for place, call in calls():
        given = {str(one.arg) for one in call.keywords} - HOW
        reason = call.args[0]
        if isinstance(reason, ast.Attribute) and reason.attr in PauseReason.__members__:
            made.add(PauseReason[reason.attr])
            assert given == facts_of(PAUSES[PauseReason[reason.attr]]), place
        else:
            # What the vendor's client reports: the reason is known when it happens.
            assert given == {"reason"}, place
    assert {*PauseReason} - made <= {*VENDOR, PauseReason.BAD_CERTIFICATE}


@pytest.mark.parametrize("reason", [*VENDOR, PauseReason.BAD_CERTIFICATE])
def test_what_the_client_reports_needs_no_more_than_the_vendors_reason(reason: PauseReason) -> None:
    assert facts_of(PAUSES[reason]) == {"reason"}
