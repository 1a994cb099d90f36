"""`status --watch` without a runner says so, and ends where nothing is under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.capture import CaptureFixture

from batchgen.cli.status import keep_showing
from batchgen.runs.folder import locked
from batchgen.state.queries import Selection
from tests.runs.run_world import Place, bring_home, make_gated, write_header


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = make_gated(tmp_path / "out")
    with closing(place.db):
        yield place


@pytest.fixture
def manifest(tmp_path: Path, place: Place) -> Path:
    return write_header(tmp_path, place)


@dataclass
class Rest:
    """Between two looks all stills come home: then only approvals are missing."""

    place: Place
    times: int = 0

    def __call__(self, _seconds: float) -> None:
        self.times += 1
        bring_home(self.place, "still-1", "still-2", "still-3", "sketch")


def test_without_a_runner_it_says_so_and_how_to_go_on(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    rest = Rest(place)
    assert keep_showing(manifest, Selection(), rest) == 0
    first, _, last = capsys.readouterr().out.rpartition("m · ")
    assert f"no run is in progress\n  → batchgen run {manifest}\n" in first
    # What waits for a person is not watched for ever.
    assert "no runner" not in last
    assert "3 jobs wait for approval" in last
    assert rest.times == 1


def test_of_a_runner_at_work_nothing_is_said(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    rest = Rest(place)
    with locked(place.folder):
        assert keep_showing(manifest, Selection(), rest) == 0
    assert "no runner" not in capsys.readouterr().out
    assert rest.times == 1
