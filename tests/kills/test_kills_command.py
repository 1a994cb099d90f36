"""`python -m tests.kills`, as a person gives it: a few kills here, hundreds by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def command(scratch: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.kills", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_six_kills_charge_nothing_twice_and_lose_nothing(tmp_path: Path) -> None:
    done = command(tmp_path, "--kills", "6", "--seed", "3", "--jobs-in-parallel", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = dict(re.split(r" {2,}", line) for line in done.stdout.splitlines())
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
    assert list(tmp_path.iterdir()) == [], "what went well is tidied up"


def test_no_kills_at_all_are_refused(tmp_path: Path) -> None:
    done = command(tmp_path, "--kills", "0")
    assert done.returncode == 2
    assert "0 is not 1 or more" in done.stderr
    assert list(tmp_path.iterdir()) == []
