"""A rehearsal, and the morning after: the page of what came out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.shell import Emulator, Shell


def test_a_run_has_a_report_that_agrees_with_its_status(user: Shell, emulator: Emulator) -> None:
    emulator.arm("submit", "vendor_failed", message="the picture shows a person")
    manifest = user.manifest(6)
    user.expect(1, "run", manifest, "--quiet")
    done = user.expect(0, "report", manifest)
    assert done.out.startswith("out/report/index.html · 6 jobs, 5 files, 5 new thumbnails")
    report = user.folder / "out/report"
    (chunk,) = (report / "data").glob("jobs-*.js")
    data = json.loads(chunk.read_text().removeprefix("batchgen.take(").removesuffix(");\n"))
    shown = {row[1]: data["texts"][row[3]] for row in data["rows"]}
    assert shown == user.states()
    assert len(list((report / "thumbs").rglob("*.webp"))) == 5
    # The command of the one cause runs just what failed.
    (head,) = (report / "data").glob("head-*.js")
    document = json.loads(head.read_text().removeprefix("batchgen.begin(").removesuffix(");\n"))
    (cause,) = document["causes"]
    assert cause["command"] == "batchgen retry m.yaml --state=failed"
    user.expect(0, *cause["command"].split()[1:], "--quiet")
    again = user.expect(0, "report", manifest)
    assert "6 jobs, 6 files, 1 new thumbnail ·" in again.out
