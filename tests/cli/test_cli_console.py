"""Words and numbers for people, and the one document for programs."""

from __future__ import annotations

import json

import pytest

from batchgen.cli.console import print_error, print_json
from batchgen.errors import UsageError
from batchgen.jobs import JobState, JsonObject, counts_line
from batchgen.state.costs import money_line
from batchgen.state.records import Money
from batchgen.text import plural


def test_json_is_one_document_that_any_terminal_can_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document: JsonObject = {"size": "Größe", "list": [1, None]}
    print_json(document)
    shown = capsys.readouterr()
    assert shown.out.isascii()
    assert json.loads(shown.out) == document
    assert shown.err == ""


def test_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(UsageError("wrong", next_step="right"))
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "batchgen: wrong\n  → right\n")


def test_done_comes_first_and_empty_states_are_left_out() -> None:
    counts = {JobState.PENDING: 2, JobState.FAILED: 0, JobState.UNKNOWN: 1, JobState.DONE: 6}
    assert counts_line(counts) == "6 done, 2 pending, 1 unknown"
    assert counts_line({}) == "no jobs"


def test_money_names_what_is_not_certain() -> None:
    assert money_line(Money(1.5, 0.0, 0)) == "1.50 USD spent"
    words = "1.50 USD spent, 0.30 USD reserved, 0.10 USD unknown (counted as spent)"
    assert money_line(Money(1.5, 0.3, 2, 0.1)) == f"{words}, + 2 without a known price"


def test_one_is_singular() -> None:
    assert [plural(count, "job") for count in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
