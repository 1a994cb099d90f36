"""Jobs one by one: before a run what each would send, after it what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import CaptureFixture

from batchgen.cli import main
from batchgen.jobs import Job, canonical_json
from batchgen.state.reviews import Pick, pick
from tests.runs.run_world import Place, bring_home, open_place
from tests.shell import EDIT, T2I, Shell

PLAIN = {"defaults": {"model": T2I}}
PAINTED = {"prompt": "paint it", "image_urls": ["{{ jobs.still.image }}"]}
CHAIN = (
    {"id": "still", "input": {"prompt": 'a "fox" überall'}, "tags": ["hero"]},
    {"id": "painted", "model": EDIT, "input": PAINTED},
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Without a token; nobody can be asked either."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNCOMFY_MODEL_API_BASE", "https://nobody.invalid/v1")
    return tmp_path


def said(capsys: CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(words) == code
    out, err = capsys.readouterr()
    return str(out or err)


def jobs(capsys: CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    document: dict[str, list[dict[str, Any]]] = json.loads(said(capsys, *words, "--json"))
    return document["jobs"]


def test_before_any_run_each_job_is_listed_with_the_exact_body(
    folder: Path, capsys: CaptureFixture[str]
) -> None:
    Shell(folder).manifest(CHAIN)
    assert said(capsys, "plan", "m.yaml", "--jobs") == (
        f"still · {T2I} · to submit\n"
        '  prompt   a "fox" überall\n'
        "  tags     hero\n"
        "  from     m.yaml:13\n"
        '  body     {"prompt":"a \\"fox\\" überall","width\u00d7height":"1024x1024(1:1)"}\n'
        "\n"
        f"painted · {EDIT} · to submit once its needs are met\n"
        "  prompt   paint it\n"
        "  needs    still\n"
        "  from     m.yaml:22\n"
        '  body     {"image_urls":["{{ jobs.still.image }}"],"prompt":"paint it",'
        '"width\u00d7height":"1024x1024(1:1)"}\n'
        "\n"
        "2 jobs · 2 to submit · nothing was sent, nothing was written\n"
    )
    assert [path.name for path in folder.iterdir()] == ["m.yaml"]
    still, painted = jobs(capsys, "plan", "m.yaml", "--jobs")
    assert (still["prompt"], still["to_do"], still["waiting"]) == (
        'a "fox" überall',
        True,
        False,
    )
    assert painted["body"]["image_urls"] == ["{{ jobs.still.image }}"]
    assert (painted["model"], painted["needs"], painted["waiting"]) == (EDIT, ["still"], True)


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("--job=still",), ["still"]),
        (("--model=edit",), ["painted"]),
        (("--tag=!hero",), ["painted"]),
        (("--limit=1",), ["still"]),
        (("--limit=1", "--model=edit"), ["painted"]),
    ],
)
def test_the_listing_honours_the_selection(
    folder: Path, capsys: CaptureFixture[str], words: tuple[str, ...], ids: list[str]
) -> None:
    Shell(folder).manifest(CHAIN)
    assert [job["id"] for job in jobs(capsys, "plan", "m.yaml", "--jobs", *words)] == ids


def test_a_selection_of_nothing_and_an_unknown_id_are_mistakes_of_usage(
    folder: Path, capsys: CaptureFixture[str]
) -> None:
    Shell(folder).manifest(CHAIN)
    assert "no job of the manifest" in said(capsys, "plan", "m.yaml", "--jobs", "--job=x", code=64)
    assert "did you mean 'still'?" in said(capsys, "show", "m.yaml", "stil", code=64)
    assert "no job is called '!still'" in said(capsys, "show", "m.yaml", "!still", code=64)
    has_all = "batchgen plan m.yaml --jobs has all"
    assert has_all in said(capsys, "show", "m.yaml", "zebra", code=64)


def test_problems_of_the_manifest_are_told_as_ever(
    folder: Path, capsys: CaptureFixture[str]
) -> None:
    Shell(folder).manifest([{"id": "a", "input": {"prompt": "p", "scale": 7}}])
    for words in (("plan", "m.yaml", "--jobs"), ("show", "m.yaml", "a")):
        assert "scale must be between" in said(capsys, *words, code=65)


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    """`kept` is done; `gone` too, and is no longer in the manifest; `later` is yet to go."""
    place = open_place(folder / "out", [_known(name) for name in ("kept", "gone", "later")])
    bring_home(place, "kept", "gone")
    Shell(folder).manifest([_job("kept"), _job("later")], **PLAIN)
    with closing(place.db):
        yield place


def _known(job_id: str) -> Job:
    return Job(job_id, T2I, canonical_json({"prompt": job_id}), job_id)


def _job(job_id: str, **more: Any) -> Mapping[str, Any]:
    return {"id": job_id, "input": {"prompt": job_id}, **more}


def test_a_job_that_ran_is_shown_with_attempts_files_and_costs(
    place: Place, capsys: CaptureFixture[str]
) -> None:
    pick(place.db, place.seq("kept"), None, Pick.KEEP)
    shown = said(capsys, "show", "m.yaml", "kept")
    assert shown.startswith(f"kept · {T2I} · done\n  prompt   kept\n")
    assert " · request r-kept-1 · succeeded · 0.1 s · 0.03 USD\n" in shown
    assert "    out/files/kept.png · image/png · 64x48 · 1,234 bytes · kept\n" in shown
    (job,) = jobs(capsys, "show", "m.yaml", "kept")
    (attempt,) = job["attempts"]
    assert (attempt["request_id"], attempt["cost_usd"]) == ("r-kept-1", 0.03)
    assert attempt["files"][0]["path"] == str(place.folder.root / "files/kept.png")


def test_of_a_job_that_failed_the_vendors_sentence_is_shown(
    place: Place, capsys: CaptureFixture[str]
) -> None:
    place.db.execute(
        "UPDATE job SET state = 'failed', error_code = 'policy', error = 'no \x1b[31mfaces'"
        " WHERE id = 'later'"
    )
    shown = said(capsys, "show", "m.yaml", "later")
    assert shown.startswith(f"later · {T2I} · failed\n")
    assert shown.endswith("  error    policy: no faces\n")
    (job,) = jobs(capsys, "show", "m.yaml", "later")
    assert job["error"]["code"] == "policy"


def test_a_job_with_another_input_now_is_shown_with_both(
    place: Place, folder: Path, capsys: CaptureFixture[str]
) -> None:
    Shell(folder).manifest([_job("kept", input={"prompt": "another"})], **PLAIN)
    shown = said(capsys, "show", "m.yaml", "kept")
    assert f"kept · {T2I} · done, changed since it was submitted\n" in shown
    assert '  body     {"prompt":"another"}\n' in shown
    assert '    sent {"prompt":"kept"}\n' in shown


def test_globs_find_also_what_has_left_the_manifest(
    place: Place, capsys: CaptureFixture[str]
) -> None:
    found = jobs(capsys, "show", "m.yaml", "*")
    assert [(job["id"], job["listed"]) for job in found] == [
        ("kept", True),
        ("later", True),
        ("gone", False),
    ]
    assert "done, no longer in the manifest" in said(capsys, "show", "m.yaml", "gone")
