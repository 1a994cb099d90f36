"""Machines that lack something: it works all the same, or one sentence names the cause."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tests.shell import Shell, boat

REHEARSED = ("--emulator", "--latency", "0", "-q")
RUN_AS_A_PROGRAM = """
import batchgen
try:
    batchgen.run("m.yaml", batchgen.RunOptions(emulator=True, emulator_latency=0.0))
except batchgen.errors.BatchgenError as error:
    print(int(error.exit_code), ascii(error.what))
"""


@pytest.fixture
def latin(shell: Shell) -> Shell:
    """A shell whose locale has no UTF-8."""
    if not (localedef := shutil.which("localedef")):
        pytest.skip("needs localedef")
    place = shell.folder / "locales"
    place.mkdir()
    words = [localedef, "-f", "ISO-8859-1", "-i", "en_US", str(place / "en_US.ISO-8859-1")]
    if subprocess.run(words, capture_output=True, check=False).returncode > 1:
        pytest.skip("this system has no sources of locales")
    return replace(shell, fresh=True).having(LOCPATH=str(place), LC_ALL="en_US.ISO-8859-1")


def test_every_name_is_written_whatever_the_locale(latin: Shell) -> None:
    names = ["été-日本", "plain"]
    latin.manifest([boat(1) | {"id": name} for name in names])
    latin.expect(0, "run", "m.yaml", *REHEARSED)
    files = os.listdir(bytes(latin.folder / "out/files"))  # noqa: PTH208 - bytes are the point
    assert sorted(files) == sorted(f"{name}.png".encode() for name in names)
    assert latin.status()["counts"] == {"done": 2}
    latin.expect(0, "verify", "m.yaml")


def test_a_program_is_told_of_a_name_that_it_cannot_write_before_anything_is_paid(
    latin: Shell,
) -> None:
    latin.manifest([boat(1) | {"id": "日本"}])
    done = subprocess.run(
        [sys.executable, "-c", RUN_AS_A_PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        cwd=latin.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(latin.folder), **latin.env},
    )
    assert done.stdout.startswith("65 ")
    assert "iso8859-1 here; nothing was sent" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "m.yaml", *REHEARSED), 0, ""),
        (("run", "m.yaml"), 77, "~/.config/runcomfy/token.json (there is no home folder"),
        (("validate", "home.yaml"), 65, "you have no home folder here"),
    ],
)
def test_a_user_without_a_home_and_a_name(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    shell.manifest(1, output={"dir": "~/out"})
    (shell.folder / "m.yaml").rename(shell.folder / "home.yaml")
    shell.manifest(1)

    def nobody(_: int) -> NoReturn:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(Shell, "environment", {"PATH": os.environ["PATH"]})
    done = shell.expect(code, *words)
    assert said in done.err


@pytest.mark.parametrize("verb", ["validate", "plan", "run", "status"])
def test_a_manifest_from_a_pipe_is_refused_with_its_cause(shell: Shell, verb: str) -> None:
    os.mkfifo(shell.folder / "pipe.yaml")
    done = shell.expect(65, verb, "pipe.yaml")
    assert "a manifest is read again whenever the run continues" in done.err
    assert "pipe.yaml" in done.err


@pytest.mark.parametrize("folder", ["ftp://host/boats", "S3:/bucket", "file://host/x", "s3://a//b"])
def test_an_address_that_is_no_bucket_is_no_place_for_results(
    shell: Shell, tmp_path: Path, folder: str
) -> None:
    shell.manifest(1, output={"dir": folder})
    done = shell.expect(65, "run", "m.yaml", *REHEARSED)
    assert "m.yaml:" in done.err
    assert "address" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


def test_an_address_that_is_no_bucket_is_no_place_for_a_dataset_or_a_report(shell: Shell) -> None:
    shell.manifest(1)
    shell.expect(0, "run", "m.yaml", *REHEARSED)
    done = shell.expect(65, "export", "m.yaml", "ftp://host/ds", "--to", "hf")
    assert "results cannot be written to ftp:// addresses" in done.err
    done = shell.expect(65, "report", "m.yaml", "--out", "s3://bucket/r")
    assert "a folder of this machine is needed here, not a bucket" in done.err
    assert not list(shell.folder.glob("s3*"))
