"""`python -m tests.kills`: a few kills here, hundreds by hand."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pytest

from tests.kills.__main__ import main


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_six_kills_charge_nothing_twice_and_lose_nothing(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--kills", "6", "--seed", "3", "--jobs-in-parallel", "2")
    monkeypatch.setattr(sys, "argv", ["kills", *words])
    code = main()
    done = capsys.readouterr()
    assert code == 0, done.out + done.err
    shown = dict(re.split(r" {2,}", line) for line in done.out.splitlines())
    assert (shown["seed"], shown["kills"]) == ("3", "6")
    assert shown["duplicate charges"] == shown["lost results"] == shown["other violations"] == "0"
    jobs, charges, files = (int(shown[key]) for key in ("jobs", "charges", "files compared"))
    assert int(shown["rounds"]) >= 2
    # A round has at most two jobs that the vendor fails, and in a chain two others need each.
    rounds = int(shown["rounds"])
    remade = int(shown["of these made again"])
    assert 0 < remade <= int(shown["results rejected"])
    assert jobs - 4 * rounds <= charges <= jobs + int(shown["resubmits approved"]) + remade
    assert jobs - 6 * rounds <= files <= jobs + remade
    assert re.fullmatch(r"mean \d+\.\d\d, max \d+", shown["unknown per kill"])
    assert list(scratch.iterdir()) == [], "what went well is tidied up"


def test_kills_beside_a_bucket_lose_nothing_and_leave_nothing_over(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--kills", "2", "--seed", "3", "--jobs-in-parallel", "1", "--store")
    monkeypatch.setattr(sys, "argv", ["kills", *words])
    code = main()
    done = capsys.readouterr()
    assert code == 0, done.out + done.err
    shown = dict(re.split(r" {2,}", line) for line in done.out.splitlines())
    assert shown["duplicate charges"] == shown["lost results"] == shown["other violations"] == "0"
    assert int(shown["files compared"]) > 30
    assert list(scratch.iterdir()) == []


def test_no_kills_at_all_are_refused(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kills", "--kills", "0"])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 2
    assert "0 is not 1 or more" in capsys.readouterr().err
    assert list(scratch.iterdir()) == []
