"""`batchgen report` says where the page is, and opens it where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _pytest.capture import CaptureFixture

from batchgen.commands.report import report
from batchgen.errors import MissingFileError
from tests.report.night_world import small_night


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    small_night(tmp_path / "out")
    path = tmp_path / "m.yaml"
    header = {"version": 1, "output": {"dir": str(tmp_path / "out")}}
    path.write_text(json.dumps({**header, "jobs": [{"id": "a"}]}))
    return path


def test_the_page_and_what_is_on_it_are_named(
    manifest: Path, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    assert report(manifest, None, show=False) == 0
    page = tmp_path / "out/report/index.html"
    assert f"{page} · 18 jobs, 13 files, 13 new thumbnails · " in capsys.readouterr().out
    assert page.is_file()
    assert report(manifest, None, show=False) == 0
    assert "13 files, 0 new thumbnails" in capsys.readouterr().out


def test_open_hands_the_page_to_a_browser(manifest: Path, tmp_path: Path) -> None:
    opened: list[str] = []

    def browser(url: str) -> bool:
        opened.append(url)
        return True

    assert report(manifest, tmp_path / "my page", show=True, open_page=browser) == 0
    assert opened == [(tmp_path / "my page/index.html").as_uri()]


def test_without_a_browser_the_page_is_left_to_the_person(
    manifest: Path, capsys: CaptureFixture[str]
) -> None:
    assert report(manifest, None, show=True, open_page=lambda _url: False) == 0
    assert "open the page by hand" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_told(
    manifest: Path, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    (tmp_path / "out/files/hostile-0.png").unlink()
    assert report(manifest, None, show=False) == 0
    assert "1 file could not be read: batchgen verify says why" in capsys.readouterr().out


def test_before_the_first_run_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text('{"version": 1, "output": {"dir": "nowhere"}, "jobs": [{"id": "a"}]}')
    with pytest.raises(MissingFileError, match="nothing was run into this folder yet"):
        report(path, None, show=False)
