"""A person's word reaches the jobs that were meant, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.cli import main
from batchgen.cli.resolve import resolve_jobs
from batchgen.errors import UsageError
from batchgen.runs.decision_log import Verb
from batchgen.state import manual_actions, transitions
from tests.runs.run_world import Place, make_place, write_header


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A run in which `a` is paid and its result is not home yet, and `b` is unknown."""
    place = make_place(tmp_path / "out", ("a", "b"))
    for job_id in ("a", "b"):
        assert transitions.begin_attempt(place.db, place.seq(job_id), "h", 0.03, 1.0) == 1
    transitions.accepted(place.db, place.seq("a"), 1, "r1", "raw", 1.0)
    assert transitions.delivered(place.db, place.seq("a"), 1, ["https://x/a.png"], 0.03, "raw", 2.0)
    assert transitions.unclear(place.db, place.seq("b"), 1, "no_answer", "reset", "")
    return place


@pytest.fixture
def manifest(tmp_path: Path, place: Place) -> Path:
    return write_header(tmp_path, place)


def test_a_glob_never_gives_up_what_is_paid(place: Place, manifest: Path) -> None:
    assert resolve_jobs(manifest, ["*"], Verb.WRITE_OFF, None) == 0
    assert (place.state("a"), place.state("b")) == ("fetching", "failed")


def test_a_result_that_never_comes_home_is_written_off_by_its_very_id(
    place: Place, manifest: Path
) -> None:
    assert resolve_jobs(manifest, ["a"], Verb.WRITE_OFF, None) == 0
    assert (place.state("a"), place.state("b")) == ("failed", "unknown")


def test_a_name_with_an_exclamation_mark_means_itself_and_not_the_rest(
    place: Place, manifest: Path
) -> None:
    with pytest.raises(UsageError, match="in a JOB, ! excludes nothing"):
        resolve_jobs(manifest, ["!a"], Verb.RESUBMIT, None)
    assert place.state("b") == "unknown"
    place.db.execute("UPDATE job SET id = '!a' WHERE id = 'a'")
    assert resolve_jobs(manifest, ["!a"], Verb.WRITE_OFF, None) == 0
    assert (place.state("!a"), place.state("b")) == ("failed", "unknown")


def test_a_set_aside_request_is_asked_first_by_a_resubmit_and_only_by_its_very_id(
    place: Place, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manual_actions.adopt(place.db, place.seq("b"), "r2", 1.0) is None
    assert transitions.set_aside(place.db, place.seq("b"), 1, "no_files", "no file", 0.03, "{}")
    with pytest.raises(UsageError, match="no job is unknown"):
        resolve_jobs(manifest, ["*"], Verb.RESUBMIT, None)
    assert resolve_jobs(manifest, ["b"], Verb.RESUBMIT, None) == 0
    assert place.state("b") == "queued"
    words = capsys.readouterr().out
    assert "only if that request has ended without files" in words


def test_a_set_aside_request_can_be_adopted_again_or_written_off(
    place: Place, manifest: Path
) -> None:
    assert manual_actions.adopt(place.db, place.seq("b"), "r2", 1.0) is None
    assert transitions.set_aside(place.db, place.seq("b"), 1, "timeout", "late")
    assert resolve_jobs(manifest, ["b"], Verb.ADOPT, "r2") == 0
    assert place.state("b") == "queued"
    assert transitions.set_aside(place.db, place.seq("b"), 1, "timeout", "late")
    assert resolve_jobs(manifest, ["b"], Verb.WRITE_OFF, None) == 0
    assert place.state("b") == "failed"
    assert manual_actions.reopen(place.db) == 0
    assert manual_actions.retry(place.db, place.seq("b")) == "pending"


def test_a_name_that_no_unknown_job_has_is_refused(manifest: Path) -> None:
    with pytest.raises(UsageError, match="no unknown job is called 'zz'"):
        resolve_jobs(manifest, ["zz"], Verb.WRITE_OFF, None)


def test_what_is_no_request_id_is_refused_and_says_where_to_find_one(manifest: Path) -> None:
    with pytest.raises(UsageError) as raised:
        resolve_jobs(manifest, ["b"], Verb.ADOPT, "not an id!")
    assert "the page Generations on runcomfy.com" in str(raised.value)


def test_all_unknown_jobs_are_resubmitted_and_their_price_is_said(
    place: Place, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resolve", str(manifest), "--all", "--resubmit"]) == 0
    assert (place.state("a"), place.state("b")) == ("fetching", "pending")
    assert "1 decision recorded: resubmit · 0.03 USD\n" in capsys.readouterr().out


def test_a_price_that_nobody_knows_is_said_and_is_no_zero(
    place: Place, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.db.execute("UPDATE attempt SET price = NULL")
    assert resolve_jobs(manifest, ["b"], Verb.RESUBMIT, None) == 0
    assert "1 decision recorded: resubmit · 1 without a known price\n" in capsys.readouterr().out


def test_several_names_decide_about_each_job_once(
    place: Place, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert resolve_jobs(manifest, ["b", "*", "a"], Verb.WRITE_OFF, None) == 0
    assert (place.state("a"), place.state("b")) == ("failed", "failed")
    assert capsys.readouterr().out.count("b: ") == 1


def test_all_with_nothing_unknown_says_so(
    place: Place, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resolve_jobs(manifest, ["b"], Verb.WRITE_OFF, None)
    assert main(["resolve", str(manifest), "--all", "--write-off"]) == 64
    assert "no job is unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "objection"),
    [
        (["b"], "give one of"),
        (["b", "--resubmit", "--write-off"], "give one of"),
        (["b", "--all", "--resubmit"], "name the jobs, or give --all"),
        (["--resubmit"], "name the jobs, or give --all"),
        (["--all", "--adopt", "r9"], "a request belongs to one job"),
    ],
)
def test_an_incomplete_decision_is_refused(
    place: Place,
    manifest: Path,
    words: list[str],
    objection: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["resolve", str(manifest), *words]) == 64
    assert objection in capsys.readouterr().err
    assert place.state("b") == "unknown"


def test_a_selection_alone_names_the_jobs(
    place: Place, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resolve", str(manifest), "--write-off", "--model", "edit"]) == 64
    assert "none of the unknown jobs is selected" in capsys.readouterr().err
    assert place.state("b") == "unknown"
    assert main(["resolve", str(manifest), "--write-off", "--model", "t2i"]) == 0
    assert (place.state("a"), place.state("b")) == ("fetching", "failed")


def test_a_selection_leaves_named_jobs_out(place: Place, manifest: Path) -> None:
    assert main(["resolve", str(manifest), "a", "b", "--write-off", "--job", "!a"]) == 0
    assert (place.state("a"), place.state("b")) == ("fetching", "failed")
