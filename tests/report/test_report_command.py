"""A rehearsal, and `batchgen report` the morning after."""

from __future__ import annotations

import json

from tests.shell import Emulator, Shell


def test_a_run_has_a_report_that_agrees_with_its_status(user: Shell, emulator: Emulator) -> None:
    emulator.arm("submit", "vendor_failed", times=4, message="the picture shows a person")
    emulator.arm("submit", "vendor_failed", message="out of memory")
    manifest = user.manifest(10)
    user.expect(1, "run", manifest, "--quiet")
    done = user.expect(0, "report", manifest)
    assert done.out.startswith("out/report/index.html · 10 jobs, 5 files, 5 new thumbnails")
    report = user.folder / "out/report"
    (chunk,) = (report / "data").glob("jobs-*.js")
    data = json.loads(chunk.read_text().removeprefix("batchgen.take(").removesuffix(");\n"))
    shown = {row[1]: data["texts"][row[3]] for row in data["rows"]}
    assert shown == user.states()
    assert len(list((report / "thumbs").rglob("*.webp"))) == 5
    # The command of a cause runs just what failed by it.
    (head,) = (report / "data").glob("head-*.js")
    document = json.loads(head.read_text().removeprefix("batchgen.begin(").removesuffix(");\n"))
    people, memory = document["causes"]
    assert (people["jobs"], memory["jobs"]) == (4, 1)
    assert people["command"] == f"batchgen retry m.yaml --cause={people['key']}"
    planned = user.expect(0, "plan", manifest, "--offline", f"--cause={people['key']}", "--json")
    assert sum(model["failed"] for model in planned.document["models"].values()) == 4
    retried = user.expect(1, *people["command"].split()[1:], "--json")
    assert retried.document["submitted"] == 4
    again = user.expect(0, "report", manifest)
    assert "10 jobs, 9 files, 4 new thumbnails ·" in again.out
    nobody = user.expect(64, *people["command"].split()[1:])
    assert "no job of the manifest is selected" in nobody.err
    assert "is not a cause" in user.expect(64, "retry", manifest, "--cause", "policy").err
