"""How a run stands: what failed by which cause, and what was said of results."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from batchgen.cli import main
from batchgen.commands import status
from batchgen.state.marks import Pick, find_flaws, pick
from tests.runs.run_world import Place, bring_home, make_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest.capture import CaptureFixture


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """`kept`, `odd` and `plain` are done; `a`, `b` and `c` are yet to go."""
    place = make_place(tmp_path / "out", ["kept", "odd", "plain", "a", "b", "c"])
    bring_home(place, "kept", "odd", "plain")
    with closing(place.db):
        yield place


@pytest.fixture
def manifest(tmp_path: Path, place: Place) -> str:
    path = tmp_path / "m.yaml"
    header = {"version": 1, "output": {"dir": str(place.folder.root)}}
    path.write_text(json.dumps({**header, "jobs": [{"id": "a"}]}))
    return str(path)


def fail(place: Place, **words: str) -> None:
    for job_id, error in words.items():
        place.db.execute(
            "UPDATE job SET state = 'failed', error_code = 'policy', error = ? WHERE id = ?",
            (error, job_id),
        )


def document(manifest: str, capsys: CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["status", manifest, "--json", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_one_cause_is_shown_as_the_option_that_chooses_it(
    place: Place, manifest: str, capsys: CaptureFixture[str]
) -> None:
    fail(place, a="job a: no, 17", b="job b: no, 18")
    assert main(["status", manifest]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "policy" in line]
    assert line.startswith("  2 failed · policy: job a: no, 17 (e.g. a) · --cause=")
    option = line.rpartition(" · ")[2]
    chosen = document(manifest, capsys, option)
    assert [job["id"] for job in chosen["jobs"]] == ["a", "b"]
    assert chosen["counts"] == {"failed": 2}
    assert main(["status", manifest, option]) == 0
    assert "2 failed · policy: job a: no, 17 (e.g. a)\n" in capsys.readouterr().out


def test_several_causes_of_one_code_are_counted(
    place: Place, manifest: str, capsys: CaptureFixture[str]
) -> None:
    fail(place, a="no", b="job b: no", c="something else")
    assert main(["status", manifest]) == 0
    assert f"(e.g. a) · 3 causes: batchgen report {manifest}\n" in capsys.readouterr().out
    assert main(["status", manifest, "--job=a"]) == 0
    assert "(e.g. a) · --cause=" in capsys.readouterr().out


def test_of_too_many_jobs_the_causes_are_not_sought(
    place: Place, manifest: str, capsys: CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(place, a="no", b="no")
    monkeypatch.setattr(status, "MOST_KEYED", 1)
    assert main(["status", manifest]) == 0
    assert f"(e.g. a) · its causes: batchgen report {manifest}\n" in capsys.readouterr().out


def test_programs_are_told_what_was_said_of_results(
    place: Place, manifest: str, capsys: CaptureFixture[str]
) -> None:
    pick(place.db, place.seq("kept"), None, Pick.KEEP)
    pick(place.db, place.seq("odd"), None, Pick.REJECT)
    find_flaws(place.db, place.seq("odd"), None, {"blank": "one colour", "wrong_size": "64 of 99"})
    found = document(manifest, capsys)
    assert (found["kept"], found["rejected"]) == (1, 1)
    assert found["flaws"] == {"blank": 1, "wrong_size": 1}
    marks = {
        job["id"]: [(file["pick"], file["flaws"]) for file in job["files"]] for job in found["jobs"]
    }
    assert marks == {
        "kept": [("keep", {})],
        "odd": [("reject", {"blank": "one colour", "wrong_size": "64 of 99"})],
        "plain": [(None, {})],
        "a": [],
        "b": [],
        "c": [],
    }
    assert document(manifest, capsys, "--job=kept")["rejected"] == 0


def test_before_the_first_run_programs_are_told_the_same_keys(
    place: Place, manifest: str, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    path = tmp_path / "new.yaml"
    header = {"version": 1, "output": {"dir": str(tmp_path / "new")}}
    path.write_text(json.dumps({**header, "jobs": [{"id": "a"}]}))
    assert document(str(path), capsys).keys() == document(manifest, capsys).keys()
