"""How a run stands: what failed by which cause, and what was said of results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import CaptureFixture

from batchgen.cli import main
from batchgen.runs.ownership import provider_name
from batchgen.state.meta import Meta, set_meta
from batchgen.state.reviews import Pick, find_flaws, pick
from tests.runs.run_world import Place, bring_home, make_place, write_header


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """`kept`, `odd` and `plain` are done; `a`, `b` and `c` are yet to go."""
    place = make_place(tmp_path / "out", ["kept", "odd", "plain", "a", "b", "c"])
    bring_home(place, "kept", "odd", "plain")
    with closing(place.db):
        yield place


@pytest.fixture
def manifest(tmp_path: Path, place: Place) -> str:
    return str(write_header(tmp_path, place))


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
    assert f"2 failed · policy: job a: no, 17 (e.g. a) · {option}\n" in capsys.readouterr().out


def test_only_in_a_real_run_is_an_unknown_outcome_looked_up_at_the_vendors(
    place: Place, manifest: str, capsys: CaptureFixture[str]
) -> None:
    place.db.execute("UPDATE job SET state = 'unknown' WHERE id = 'a'")
    assert main(["status", manifest]) == 0
    assert "look it up on runcomfy.com" in capsys.readouterr().out
    set_meta(place.db, Meta.PROVIDER, provider_name("", emulator=True))
    assert main(["status", manifest]) == 0
    said = capsys.readouterr().out
    assert "runcomfy.com" not in said
    assert f"batchgen resolve {manifest} JOB --resubmit" in said


def test_two_sentences_of_one_code_are_two_causes_each_with_its_key(
    place: Place, manifest: str, capsys: CaptureFixture[str]
) -> None:
    fail(place, a="job a: no faces", b="job b: no faces", c="the prompt names a brand")
    assert main(["status", manifest]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "policy" in line]
    shown, keys = zip(*(line.split(" · --cause=") for line in lines), strict=True)
    assert shown == (
        "  2 failed · policy: job a: no faces (e.g. a)",
        "  1 failed · policy: the prompt names a brand (c)",
    )
    chosen = [document(manifest, capsys, f"--cause={key}")["jobs"] for key in keys]
    assert [[job["id"] for job in jobs] for jobs in chosen] == [["a", "b"], ["c"]]
    assert document(manifest, capsys)["causes"] == [
        {
            "key": keys[0],
            "state": "failed",
            "code": "policy",
            "message": "job a: no faces",
            "jobs": 2,
            "example": "a",
        },
        {
            "key": keys[1],
            "state": "failed",
            "code": "policy",
            "message": "the prompt names a brand",
            "jobs": 1,
            "example": "c",
        },
    ]


def test_more_causes_than_are_shown_are_counted(
    place: Place, manifest: str, capsys: CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(place, a="no faces", b="no brands", c="no names")
    monkeypatch.setattr("batchgen.cli.status.SHOWN", 1)
    assert main(["status", manifest]) == 0
    assert f"  and 2 more causes of 2 jobs: batchgen report {manifest}\n" in capsys.readouterr().out


def test_of_too_many_jobs_a_watch_does_not_read_each_message(
    place: Place, manifest: str, capsys: CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(place, a="no faces", b="no brands", c="no names")
    monkeypatch.setattr("batchgen.cli.status.MOST_READ", 2)
    assert main(["status", manifest, "--watch"]) == 0
    assert (
        f"  3 failed · policy: no faces (e.g. a) · its causes: batchgen report {manifest}\n"
        in capsys.readouterr().out
    )


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
