"""Every command takes the state of an older batchgen, not only `run`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import tests.state
from batchgen.cli import main
from batchgen.state.database import APPLICATION_ID, SCHEMA_VERSION

T2I = "bytedance/dreamina-4-0/text-to-image"
SCHEMA_1 = (Path(tests.state.__path__[0]) / "schema_1.sql").read_text("utf-8")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest, and a version-1 state with a pending job and one of unknown outcome."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.yaml"
    jobs = "".join(f"  - {{id: {name}, input: {{prompt: {name}}}}}\n" for name in ("boat", "clip"))
    path.write_text(
        f"version: 1\ndefaults: {{model: {T2I}}}\noutput: {{dir: out}}\njobs:\n{jobs}", "utf-8"
    )
    (tmp_path / "out/files").mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / "out/state.db")) as db:
        db.executescript(
            f"{SCHEMA_1} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
            f"INSERT INTO job (id, model, body, name, name_key, tags, state, attempts) VALUES"
            f" ('boat', '{T2I}', '{{\"prompt\":\"boat\"}}', 'boat', 'boat', '[]', 'unknown', 1),"
            f" ('clip', '{T2I}', '{{\"prompt\":\"clip\"}}', 'clip', 'clip', '[]', 'pending', 0);"
            "INSERT INTO attempt (job, number, body_sha256, price, submitted_at)"
            " VALUES (1, 1, 'h', 0.5, 1);"
        )
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path.parent / "out/state.db")) as db:
        (found,) = db.execute("PRAGMA user_version").fetchone()
    return int(found)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status", "m.yaml"], 0),
        (["status", "m.yaml", "--json"], 0),
        (["plan", "m.yaml", "--offline"], 0),
        (["approve", "m.yaml"], 0),
        (["verify", "m.yaml"], 0),
    ],
)
def test_who_only_reads_shows_it_and_leaves_it_as_it_is(
    old: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    before = (old.parent / "out/state.db").read_bytes()
    assert main(arguments) == code
    assert "version" not in capsys.readouterr().err
    assert (old.parent / "out/state.db").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "after"),
    [
        (["cancel", "m.yaml", "--job", "clip"], {"cancelled": 1, "unknown": 1}),
        (["resolve", "m.yaml", "boat", "--write-off"], {"failed": 1, "pending": 1}),
    ],
)
def test_who_decides_brings_it_up_to_date_under_the_lock(
    old: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    after: dict[str, int],
) -> None:
    assert main(arguments) == 0
    assert version(old) == SCHEMA_VERSION
    capsys.readouterr()
    assert main(["status", "m.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == after
