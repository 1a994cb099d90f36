"""A person keeps and rejects results in the shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from _pytest.capture import CaptureFixture

from batchgen.cli import main
from batchgen.cli.pick import pick_results
from batchgen.errors import ExitCode, UsageError
from batchgen.runs.decision_log import Verb
from batchgen.runs.folder import locked
from batchgen.state.queries import Selection
from tests.runs.run_world import Place, apply_new, bring_home, make_place, write_header


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """`boat` and `clip` are done, `later` is not."""
    place = make_place(tmp_path / "out", ["boat", "clip", "later"])
    bring_home(place, "boat", "clip")
    with closing(place.db):
        yield place


@pytest.fixture
def manifest(tmp_path: Path, place: Place) -> str:
    return str(write_header(tmp_path, place))


def picks(place: Place) -> dict[str, str | None]:
    rows = place.db.execute("SELECT job.id, pick FROM file JOIN job ON job.seq = file.job")
    return dict(rows.fetchall())


def test_globs_keep_and_reject_what_has_a_result(
    place: Place, manifest: str, capsys: CaptureFixture[str]
) -> None:
    assert main(["pick", manifest, "*", "--keep"]) == 0
    assert picks(place) == {"boat": "keep", "clip": "keep"}
    assert "2 results kept\n" in capsys.readouterr().out
    assert main(["pick", manifest, "b*", "--reject"]) == 0
    assert picks(place) == {"boat": "reject", "clip": "keep"}
    out = capsys.readouterr().out
    assert "1 result rejected\n" in out
    assert f"batchgen retry {manifest} --state rejected\n" in out
    assert main(["pick", manifest, "--state", "rejected", "--unpick"]) == 0
    assert picks(place) == {"boat": None, "clip": "keep"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["boat"], "choose one: --keep, --reject or --unpick"),
        (["boat", "--keep", "--reject"], "choose one: --keep"),
        (["--keep"], "name the jobs"),
        (["later", "--keep"], "none of the selected jobs has a result to pick"),
        (["boat", "--keep", "--file", "2"], "has a file 2 to pick"),
        (["boat", "--keep", "--file", "99999999999999999999"], "--file: no result has more"),
        (["--keep", "--", "!boat"], "in a JOB, ! excludes nothing"),
        (["boot", "--keep"], "no job is selected\n  → did you mean 'boat'?"),
    ],
)
def test_what_cannot_be_picked_is_said(
    place: Place, manifest: str, capsys: CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["pick", manifest, *words]) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert picks(place) == {"boat": None, "clip": None}


def test_a_runner_at_work_takes_the_picks_up(
    place: Place, manifest: str, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    with locked(place.folder):
        assert pick_results(tmp_path / "m.yaml", Selection(("boat",)), Verb.KEEP) == 0
    assert "1 pick handed to the run in progress\n" in capsys.readouterr().out
    assert picks(place)["boat"] is None
    apply_new(place.db, place.folder.decisions)
    assert picks(place)["boat"] == "keep"


def test_a_pick_that_comes_too_late_is_an_objection(
    place: Place, manifest: str, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    """Another command rejected and resubmitted it between the look and the word."""
    place.folder.decisions.write_text("")
    with locked(place.folder):
        pick_results(tmp_path / "m.yaml", Selection(("boat",)), Verb.KEEP)
    place.db.execute("UPDATE job SET state = 'pending' WHERE id = 'boat'")
    bring_home(place, "boat")
    (applied,) = apply_new(place.db, place.folder.decisions)
    assert applied.objection == "job boat was submitted again after that decision"
    assert place.one("SELECT count(pick) FROM file") == 0


def test_a_name_that_begins_with_an_exclamation_mark_means_itself_and_not_the_rest(
    tmp_path: Path, manifest: str
) -> None:
    """An older state may have such an id."""
    place = make_place(tmp_path / "old", ["!neg", "!n*", "!nag", "other"])
    bring_home(place, "!neg", "!n*", "!nag", "other")
    header = {"version": 1, "output": {"dir": str(tmp_path / "old")}}
    Path(manifest).write_text(json.dumps({**header, "jobs": [{"id": "a"}]}))
    with closing(place.db):
        assert main(["pick", manifest, "--reject", "--", "!neg", "!n*"]) == 0
        assert picks(place) == {"!neg": "reject", "!n*": "reject", "!nag": None, "other": None}
        assert main(["pick", manifest, "--keep", "--job", "!!neg"]) == 0
        assert picks(place) == {"!neg": "reject", "!n*": "keep", "!nag": "keep", "other": "keep"}


def test_programs_are_told_what_became_of_the_picks(
    place: Place, manifest: str, capsys: CaptureFixture[str]
) -> None:
    assert main(["pick", manifest, "*", "--reject", "--json"]) == 0
    said = {"verb": "reject", "picked": 2, "handed": 0, "objections": []}
    assert json.loads(capsys.readouterr().out) == said
    with locked(place.folder):
        assert main(["pick", manifest, "boat", "--keep", "--json"]) == 0
    said = {"verb": "keep", "picked": 0, "handed": 1, "objections": []}
    assert json.loads(capsys.readouterr().out) == said


def test_a_selection_of_nothing_is_no_way_to_mean_all(manifest: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no job is selected"):
        pick_results(tmp_path / "m.yaml", Selection(("zzz",)), Verb.KEEP)
