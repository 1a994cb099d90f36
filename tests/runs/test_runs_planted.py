"""What somebody else put into the run's folder, and who may read what is there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from batchgen.cli import main
from batchgen.errors import ExitCode, OutputError
from batchgen.runs import api
from batchgen.runs.options import RunOptions
from tests.runs.run_world import write_manifest

REHEARSAL = RunOptions(emulator=True, emulator_latency=0.0)


@pytest.mark.parametrize(
    "name", ["receipts.jsonl", "run.log", "decisions.jsonl", "metadata.jsonl", "files"]
)
def test_a_link_in_the_runs_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    manifest, out = write_manifest(tmp_path, 1), tmp_path / "out"
    victim = tmp_path / "victim"
    if name == "files":
        victim.mkdir()
    else:
        victim.write_text("precious\n")
    out.mkdir()
    (out / name).symlink_to(victim)
    with pytest.raises(OutputError, match="symbolic link") as caught:
        api.run(manifest, REHEARSAL)
    assert name in str(caught.value)
    assert caught.value.exit_code is ExitCode.CANNOT_WRITE
    if name == "files":
        assert list(victim.iterdir()) == []
    else:
        assert victim.read_text() == "precious\n"


def test_the_runs_folder_itself_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, 1)
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    assert api.run(manifest, REHEARSAL).exit_code is ExitCode.DONE


@pytest.mark.parametrize("name", ["report", "report/data", "report/batchgen-report.txt"])
def test_a_report_is_not_written_through_a_link(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, out, victim = write_manifest(tmp_path, 1), tmp_path / "out", tmp_path / "victim"
    api.run(manifest, REHEARSAL)
    if name.endswith(".txt"):
        victim.write_text("precious\n")
    else:
        victim.mkdir()
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).symlink_to(victim)
    if name.endswith(".txt"):
        assert main(["report", str(manifest)]) == 0
        assert victim.read_text() == "precious\n"
        return
    assert main(["report", str(manifest)]) == 73
    assert "symbolic link" in capsys.readouterr().err
    assert list(victim.iterdir()) == []


def test_what_names_prompts_is_its_owners_alone(tmp_path: Path) -> None:
    manifest, out = write_manifest(tmp_path, 1), tmp_path / "out"
    os.umask(0o022)
    api.run(manifest, REHEARSAL)
    assert main(["report", str(manifest)]) == 0
    private = [out / "metadata.jsonl", out / "run.log", out / "receipts.jsonl", out / "state.db"]
    private += [path for path in (out / "report").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    folders = [out / "report", *(path for path in (out / "report").rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    (out / "metadata.jsonl").unlink()
    api.run(manifest, REHEARSAL)
    assert stat.S_IMODE((out / "metadata.jsonl").stat().st_mode) == 0o600
