"""One mistake is one message: with its first places and a count; a warning stops nothing."""

from __future__ import annotations

import pytest

from batchgen.errors import ManifestError, Problem, Spot
from batchgen.manifest.problems import KEPT, ProblemLog, Tally


def row(line: int, message: str = "prompt is 900 characters long") -> tuple[Problem, Spot]:
    return Problem("prompts.csv", line, 1, message), Spot("prompts.csv", line)


def test_the_same_problem_of_many_rows_is_reported_once_with_the_first_lines_and_a_count() -> None:
    log = ProblemLog()
    for line in range(2, 10_002):
        log.add_alike(*row(line, f"prompt is {line + 900} characters long"))
    assert log.total == 1
    (problem,) = log.problems
    assert problem.place == ("prompts.csv", 2, 1)
    assert problem.count == 10_000
    assert problem.message == (
        "prompt is 902 characters long (in 10,000 rows: lines 2, 3, 4, 5, 6, …)"
    )


def test_the_problem_of_one_row_is_reported_unchanged() -> None:
    log = ProblemLog()
    log.add_alike(*row(7))
    assert [str(one) for one in log.problems] == ["prompts.csv:7:1: prompt is 900 characters long"]


def test_jobs_of_one_row_count_as_one() -> None:
    log = ProblemLog()
    for line in (2, 2, 2, 3, 3):
        log.add_alike(*row(line))
    assert log.problems[0].count == 2


def test_a_problem_of_most_rows_is_reported_at_its_cause() -> None:
    log, tally = ProblemLog(), Tally()
    cause = Problem("m.yaml", 7, 15, "no variable 'style'")
    for line in range(2, 5):
        tally.checked += 1
        log.add_alike(*row(line), common=cause, tally=tally)
    assert str(log.problems[0]) == (
        "m.yaml:7:15: no variable 'style' (in 3 rows: prompts.csv lines 2, 3, 4)"
    )
    tally.checked += 10
    assert log.problems[0].file == "prompts.csv"


def test_other_names_are_other_problems_and_other_values_are_not() -> None:
    log = ProblemLog()
    log.add_alike(*row(2, "no variable 'style'"))
    log.add_alike(*row(3, "no variable 'mood'"))
    log.add_alike(*row(4, "size must be text; got 3"))
    log.add_alike(*row(5, "size must be text; got 'x'"))
    assert [(one.line, one.count) for one in log.problems] == [(2, 1), (3, 1), (4, 2)]


def test_a_million_different_problems_are_counted_and_not_kept() -> None:
    log = ProblemLog()
    for number in range(3 * KEPT):
        log.add_alike(*row(number + 2), key=number)
    assert log.total == 3 * KEPT
    assert len(log.problems) == KEPT


def test_a_warning_stops_nothing_unless_it_is_taken_for_a_problem() -> None:
    warning = Problem("m.yaml", 3, 1, "odd", is_warning=True)
    lenient, strict = ProblemLog(), ProblemLog(strict=True)
    for log in (lenient, strict):
        log.add(warning)
        log.add(warning)
        assert log.warnings == (warning,)
        assert not log.problems
    lenient.raise_if_any()
    with pytest.raises(ManifestError) as caught:
        strict.raise_if_any()
    assert caught.value.what == "--strict: 1 warning in the manifest; nothing was sent"
    assert str(warning) == "m.yaml:3:1: warning: odd"
