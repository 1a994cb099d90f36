"""Messages and exit codes of errors."""

from __future__ import annotations

import re

import pytest

from batchgen import errors
from batchgen.errors import BatchgenError, ExitCode, InputError, ManifestError, Problem, UsageError


def every_error(root: type[BatchgenError] = BatchgenError) -> list[type[BatchgenError]]:
    """Those of errors.py: a room may derive its own, for itself."""
    children = [one for one in root.__subclasses__() if one.__module__ == errors.__name__]
    return [root, *(one for child in children for one in every_error(child))]


def test_an_error_has_where_what_and_a_next_step() -> None:
    error = UsageError("no such job", where="m.yaml", next_step="batchgen status")
    assert str(error) == "m.yaml: no such job\n  → batchgen status"
    assert str(UsageError("no such job")) == "no such job"
    assert str(UsageError("no such job", next_step="look")) == "no such job\n  → look"


def test_a_problem_has_the_place_as_editors_know_it() -> None:
    problem = Problem("m.yaml", 3, 7, "unknown key 'promt'", "did you mean 'prompt'?", "boat")
    assert str(problem) == "m.yaml:3:7: job boat: unknown key 'promt'\n  → did you mean 'prompt'?"


def test_a_problem_without_a_place_names_the_file() -> None:
    assert str(Problem("m.yaml", 0, 0, "it is empty")) == "m.yaml: it is empty"


@pytest.mark.parametrize(
    ("total", "words"), [(None, "1 problem in"), (1, "1 problem in"), (9000, "9000 problems in")]
)
def test_a_manifest_error_counts_all_problems(total: int | None, words: str) -> None:
    error = ManifestError((Problem("m.yaml", 1, 1, "wrong"),), total)
    assert str(error).startswith(words)
    assert "nothing was sent" in str(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = dict.fromkeys(re.findall(r"\b([A-Z]\w+Error)\b", errors.__doc__ or ""))
    assert set(drawn) == {one.__name__ for one in every_error()}
    codes = re.findall(r"(\w+Error) +(\d\d) ", errors.__doc__ or "")
    by_name = {one.__name__: one for one in every_error()}
    assert len(codes) == 12
    for name, code in codes:
        assert by_name[name].exit_code == int(code)


def test_a_subclass_has_the_exit_code_of_its_parent() -> None:
    for one in every_error(InputError):
        assert one.exit_code == ExitCode.BAD_INPUT


def test_the_exit_codes_are_those_of_sysexits_and_signals() -> None:
    assert {code.value for code in ExitCode} == {
        0, 1, 64, 65, 66, 69, 70, 73, 74, 75, 76, 77, 129, 130, 143
    }  # fmt: skip
