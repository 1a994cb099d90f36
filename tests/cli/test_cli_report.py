"""`batchgen report` says where the page is, and opens it where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _pytest.capture import CaptureFixture

from batchgen.cli import main
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
    assert main(["report", str(manifest)]) == 0
    page = tmp_path / "out/report/index.html"
    assert f"{page} · 18 jobs, 13 files, 13 new thumbnails · " in capsys.readouterr().out
    assert page.is_file()
    assert main(["report", str(manifest)]) == 0
    assert "13 files, 0 new thumbnails" in capsys.readouterr().out


def test_open_hands_the_page_to_a_browser(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def browser(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("batchgen.cli.browser.open_in_browser", browser)
    assert main(["report", str(manifest), "--open", "--out", str(tmp_path / "my page")]) == 0
    assert opened == [(tmp_path / "my page/index.html").as_uri()]


def test_without_a_browser_the_page_is_left_to_the_person(
    manifest: Path, capsys: CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.cli.browser.open_in_browser", lambda _url: False)
    assert main(["report", str(manifest), "--open"]) == 0
    assert "open the page yourself" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_told(
    manifest: Path, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    (tmp_path / "out/files/hostile-0.png").unlink()
    assert main(["report", str(manifest)]) == 0
    assert (
        f"1 file could not be read: batchgen verify {manifest} shows why" in capsys.readouterr().out
    )


def test_before_the_first_run_there_is_nothing_to_look_at(
    tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text('{"version": 1, "output": {"dir": "nowhere"}, "jobs": [{"id": "a"}]}')
    assert main(["report", str(path)]) == 66
    assert "nothing has been run in this folder yet" in capsys.readouterr().err
