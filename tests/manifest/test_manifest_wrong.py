"""The messages about more than a hundred mistakes. `wrong_manifests` renews them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchgen.errors import ExitCode
from tests.manifest.wrong_manifests import FOLDER, printed_by_validate, wrong_manifests

MANIFESTS = wrong_manifests()

PLACE = re.compile(r"(?P<file>[^:\s]+\.[a-z]+):(?P<line>\d+):(?P<column>\d+): \S")
OWN_FILE = re.compile(r"(?P<file>[^:\s]+\.(?:jpg|png|webp|mp4)): \S", re.IGNORECASE)
"""A job that a picture makes has no line."""
NEEDS_NO_HINT = re.compile(
    r"must (be|have|look|fit|begin|not)\b|is required$|at (most|least) \d+|is empty$"
    r"|name its output"
)
"""A message that states what is allowed, or which key is missing, needs no hint."""


def printed_problems(text: str) -> list[str]:
    """Each problem with the hint below it; the last line only counts them."""
    *lines, count = text.splitlines()
    assert re.fullmatch(r"batchgen: \d+ problems? in the manifest; nothing was sent", count)
    problems: list[str] = []
    for line in lines:
        if line.startswith("  "):
            problems[-1] += f"\n{line}"
        else:
            problems.append(line)
    return problems


def test_there_are_more_than_a_hundred_mistakes() -> None:
    assert len(MANIFESTS) > 100


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_mistake_gets_the_messages_that_were_reviewed(manifest: Path) -> None:
    code, text = printed_by_validate(manifest)
    assert code == ExitCode.BAD_INPUT
    assert text == manifest.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_mistake_is_reported_with_its_place_and_a_hint(manifest: Path) -> None:
    problems = printed_problems(manifest.with_suffix(".txt").read_text(encoding="utf-8"))
    assert problems
    for problem in problems:
        message = problem.partition("\n")[0]
        assert "\n  → " in problem or NEEDS_NO_HINT.search(message), problem
        if not manifest.read_bytes():
            continue  # an empty file has no line to name
        if picture := OWN_FILE.match(problem):
            assert (FOLDER / picture["file"]).is_file()
            continue
        place = PLACE.match(problem)
        assert place, problem
        assert not place["file"].startswith("/")
        lines = (FOLDER / place["file"]).read_bytes().splitlines()
        assert 1 <= int(place["line"]) <= len(lines) + 1
