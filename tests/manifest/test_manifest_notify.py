"""`notify` in the header: what is accepted, and that no message shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import ProblemLog
from batchgen.notify import NO_NOTIFICATIONS, Occasion
from tests.manifest.manifest_reading import HEAD, T2I, read, read_file, with_jobs

ALL = frozenset(Occasion)
JOB = "{id: a, input: {prompt: x}}"


def manifest_with(notify: str) -> str:
    return with_jobs(JOB, head=f"{HEAD}notify: {notify}\n")


@pytest.mark.parametrize(
    ("notify", "shown", "on"),
    [
        ("json://u:hunter2@a.b/x", ["json://a.b"], ALL),
        ("[json://a.b, 'mailto://u:hunter2@c.org']", ["json://a.b", "mailto://c.org"], ALL),
        ("{to: json://a.b}", ["json://a.b"], ALL),
        ("{to: [json://a.b], on: [end, pause]}", ["json://a.b"], {Occasion.END, Occasion.PAUSE}),
        ("{on: [first_failure]}", [], {Occasion.FIRST_FAILURE}),
    ],
)
def test_addresses_can_be_a_text_a_list_or_given_with_occasions(
    notify: str, shown: list[str], on: frozenset[Occasion]
) -> None:
    reading = read(manifest_with(notify))
    assert reading.problems == []
    assert reading.manifest is not None
    assert [one.masked for one in reading.manifest.notify.to] == shown
    assert reading.manifest.notify.on == on
    assert "hunter2" not in repr(reading.manifest)


@pytest.mark.parametrize(
    ("notify", "problem", "hint"),
    [
        ("jsonn://u:hunter2@h", "3:9 notify begins with jsonn://", "did you mean 'json'?"),
        ("[json://a.b, hunter2]", "3:22 item 2 of notify is not an address", "service://"),
        ("{to: [slack://hunter2]}", "3:15 item 1 of notify.to is not a complete slack://", "shows"),
        ("[{hunter2: json://a.b}]", "3:10 item 1 of notify must be text", ""),
        ("{to: {hunter2: hunter2}}", "3:14 notify.to must be text or a list", ""),
        ("{json://u:hunter2@h: end}", "3:10 unknown key in notify", "write its keys (on, to)"),
        ("{too: json://a.b}", "3:10 unknown key 'too' in notify", "did you mean 'to'?"),
        ("{on: [hunter2]}", "3:15 item 1 of notify.on must be one of end, pause", ""),
        ("[]", "3:9 notify: 0 items given; at least 1", ""),
        ("'json://{{ hunter }}'", "no variable 'hunter'", ""),
        ("'json://u:hunter2@{{ env.NO }}'", "env has no 'NO'", "env: [NO]"),
        ("'json://hunter2{{'", "the '{{' is never closed", ""),
    ],
)
def test_problems_are_reported_with_their_place_and_without_the_value(
    notify: str, problem: str, hint: str
) -> None:
    reading = read(manifest_with(notify))
    assert len(reading.problems) == 1
    assert problem in reading.problems[0]
    assert hint in (reading.hints[0] or "")
    assert "hunter2" not in f"{reading.problems} {reading.hints}"


def test_a_secret_may_come_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    head = HEAD + "env: [HOOK]\nvars: {host: a.b}\n"
    path.write_text(with_jobs(JOB, head=head + "notify: 'json://{{ host }}/{{ env.HOOK }}'\n"))
    reading = read_file(path, env={"HOOK": "hunter2"})
    assert reading.problems == []
    assert reading.manifest is not None
    assert repr(reading.manifest.notify.to) == "(<Address json://a.b>,)"


def test_reading_the_status_of_a_run_needs_no_address(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(manifest_with("jsonn://hunter2"))
    problems = ProblemLog()
    manifest = read_manifest(path, problems)
    assert not problems
    assert manifest is not None
    assert manifest.notify == NO_NOTIFICATIONS


def test_the_including_manifest_decides_who_is_notified(tmp_path: Path) -> None:
    part = tmp_path / "part.yaml"
    part.write_text(manifest_with("json://part.example"))
    top = tmp_path / "top.yaml"
    job = f"{{id: b, model: {T2I}, input: {{prompt: y}}}}"
    top.write_text(
        with_jobs(job, head="version: 1\ninclude: part.yaml\nnotify: json://top.example\n")
    )
    reading = read_file(top)
    assert reading.problems == []
    assert reading.manifest is not None
    assert [one.masked for one in reading.manifest.notify.to] == ["json://top.example"]
    top.write_text(with_jobs(job, head="version: 1\ninclude: part.yaml\n"))
    silent = read_file(top).manifest
    assert silent is not None
    assert silent.notify == NO_NOTIFICATIONS
