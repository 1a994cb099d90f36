"""The report's folder: complete, incremental, with nothing foreign, and text that stays text."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from batchgen.errors import OutputError
from tests.report.night_world import (
    HOSTILE,
    begin,
    chunks,
    done,
    head,
    job,
    make,
    picture,
    small_night,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small_night(tmp_path / "out")
    return tmp_path / "out"


def rows(report: Path) -> dict[str, list[Any]]:
    """Each job's row, with its texts put in, by id."""
    found: dict[str, list[Any]] = {}
    for chunk in chunks(report):
        texts = chunk["texts"]
        for row in chunk["rows"]:
            assert isinstance(row, list)
            places = {2, 3, 4, 6, 8, 9}
            found[row[1]] = [texts[v] if at in places else v for at, v in enumerate(row)]
    return found


def test_every_job_is_in_the_data_with_its_state_message_and_file(root: Path) -> None:
    made = make(root)
    assert (made.jobs, made.files, made.new, made.without) == (18, 13, 13, 0)
    found = rows(root / "report")
    assert len(found) == 18
    assert found["harbour-dusk-ink"][3:5] == ["done", "harbour"]
    assert found["late"][9] == "timeout: the vendor gave up after 30 s"
    ((path, thumb, media_type, *size, _, seconds, _, position, pick, flaws),) = found["clip"][14]
    assert (position, pick, flaws) == (1, "", [])
    assert (path, media_type, size, seconds) == ("files/clip #1.mp4", "video/mp4", [64, 48], 1.2)
    with Image.open(root / f"report/thumbs/{thumb[:2]}/{thumb}.webp") as poster:
        assert poster.size == (64, 48)


def test_causes_have_counts_messages_and_commands(root: Path) -> None:
    make(root)
    policy, timeout, lost = head(root / "report")["causes"]
    assert (policy["jobs"], policy["words"]) == (3, "policy <b>violation</b> in request 000")
    assert policy["command"] == ("batchgen retry night.yaml --job=bad-0 --job=bad-1 --job=bad-2")
    assert timeout["command"] == "batchgen retry night.yaml --job=late"
    assert lost["command"] == "batchgen resolve night.yaml --resubmit -- lost"
    assert rows(root / "report")["bad-1"][8] == policy["key"]


def test_hostile_prompts_are_data_and_never_markup(root: Path) -> None:
    make(root)
    report = root / "report"
    found = rows(report)
    assert tuple(found[f"hostile-{n}"][6] for n in range(len(HOSTILE))) == HOSTILE
    html = (report / "index.html").read_text("utf-8")
    assert "owned" not in html
    # No inline code: the policy would refuse it.
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", html)
    assert "default-src 'none'" in html
    assert not re.search(r"https?://", html)
    for script in (report / "data").iterdir():
        script.read_text("ascii")


def test_a_second_report_makes_only_what_is_new(root: Path) -> None:
    make(root)
    thumbs = {p: p.stat().st_mtime_ns for p in (root / "report/thumbs").rglob("*.webp")}
    data = sorted((root / "report/data").iterdir())
    made = make(root)
    assert (made.new, sorted((root / "report/data").iterdir())) == (0, data)
    assert {p: p.stat().st_mtime_ns for p in thumbs} == thumbs


def test_what_is_no_longer_shown_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    db = begin(out, [job("a", "x"), job("b", "y")])
    for number, name in enumerate(("a", "b")):
        picture(out / f"files/{name}.png", number + 1)
        done(db, out, name, f"files/{name}.png", 1000.0)
    make(out)
    assert len(list((out / "report/thumbs").rglob("*.webp"))) == 2
    db.execute("UPDATE job SET listed = 0 WHERE id = 'b'")
    make(out)
    db.close()
    assert len(list((out / "report/thumbs").rglob("*.webp"))) == 1
    assert list(rows(out / "report")) == ["a"]


def test_a_file_that_is_gone_or_damaged_has_no_thumbnail_and_stops_nothing(root: Path) -> None:
    (root / "files/harbour-dawn-ink.png").unlink()
    (root / "files/harbour-dawn-oil.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (root / "files/clip #1.mp4").write_bytes(b"\0\0\0\x20ftypisom and then nothing")
    made = make(root)
    assert (made.files, made.new, made.without) == (13, 10, 3)
    found = rows(root / "report")
    assert [found[name][14][0][1] for name in ("harbour-dawn-ink", "clip")] == ["", ""]
    assert found["harbour-noon-ink"][14][0][1]


def test_results_that_arrive_while_thumbnails_are_made_are_fully_on_the_page(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    with closing(begin(out, [job("a", "x"), job("b", "y")])) as db:
        for number, name in enumerate(("a", "b")):
            picture(out / f"files/{name}.png", number + 1)
        done(db, out, "a", "files/a.png", 1000.0)

        def heard(_made: int, _total: int) -> None:
            if db.execute("SELECT state FROM job WHERE id = 'b'").fetchone() == ("pending",):
                done(db, out, "b", "files/b.png", 1010.0)

        made = make(out, on_progress=heard)
    assert (made.files, made.new, made.without) == (2, 2, 0)
    found = rows(out / "report")
    assert [(row[3], bool(row[14][0][1])) for row in found.values()] == [("done", True)] * 2
    assert "<b>2</b> done" in made.page.read_text("utf-8")


def test_a_folder_of_somebody_else_is_refused_untouched(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "data").mkdir(parents=True)
    (mine / "data/thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="something other than a report"):
        make(root, mine)
    assert [path.name for path in mine.rglob("*")] == ["data", "thesis.txt"]


def test_the_way_to_the_originals_fits_where_the_report_is(root: Path, tmp_path: Path) -> None:
    make(root)
    assert head(root / "report")["files"] == "../"
    make(root, tmp_path / "elsewhere/my report")
    assert head(tmp_path / "elsewhere/my report")["files"] == "../../out/"


def test_a_run_of_which_nothing_was_sent_has_a_report_too(tmp_path: Path) -> None:
    begin(tmp_path / "out", [job("a", "x")]).close()
    made = make(tmp_path / "out")
    assert (made.jobs, made.files) == (1, 0)
    assert "Nothing has been sent yet" in made.page.read_text("utf-8")
