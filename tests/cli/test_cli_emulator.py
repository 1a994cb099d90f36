"""`batchgen emulator` as a user starts it: flags, faults from a file, the command to copy."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchgen.cli import main
from batchgen.cli.emulator import read_faults
from batchgen.emulator import Fault
from batchgen.errors import InputError, MissingFileError

TEXT_TO_IMAGE = "bytedance/dreamina-4-0/text-to-image"
PATIENCE = 60


@contextmanager
def served(*options: str, token: str = "any") -> Iterator[tuple[str, list[str]]]:
    """Give the base URL and, once the block is left, what was said on stderr."""
    words = (sys.executable, "-m", "batchgen", "emulator", *options)
    said: list[str] = []
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1], said
        finally:
            process.send_signal(signal.SIGTERM)
            said += process.communicate(timeout=PATIENCE)[1].splitlines()


def submit(base: str, token: str = "any") -> tuple[int, dict[str, str], Any]:
    request = urllib.request.Request(
        f"{base}/models/{TEXT_TO_IMAGE}",
        data=b'{"prompt": "x"}',
        headers={"Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, dict(answer.headers), json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, dict(exc.headers), json.load(exc)


def test_the_flags_set_the_limits_the_wallet_and_the_faults(tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("- {on: submit, kind: no_funds}\n")
    options = ("--latency", "3600", "--parallel", "2", "--balance", "1", "--faults", str(faults))
    with served(*options, "--token", "the key") as (base, said):
        assert submit(base, "the key")[2]["error_code"] == 10001
        assert submit(base)[0] == 401
        assert [submit(base, "the key")[0] for _ in range(3)] == [200, 200, 429]
    (hint,) = said
    assert hint.endswith(
        f" RUNCOMFY_MODEL_API_BASE={base} RUNCOMFY_TOKEN='the key' batchgen run MANIFEST"
    )


def test_the_command_to_copy_finds_the_balance_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text(
        "version: 1\njobs:\n  - {id: boat, model: t2i, input: {prompt: a boat}}\n"
    )
    with served() as (first, said):
        pass
    variables = [word.split("=", 1) for word in said[0].split() if word.startswith("RUNCOMFY_")]
    with served("--balance", "7.25") as (base, _said):
        for name, value in variables:
            here = value.replace(first.removesuffix("/v1"), base.removesuffix("/v1"))
            monkeypatch.setenv(name, here)
        assert main(["plan", "m.yaml"]) == 0
    assert "  balance   7.25 USD: enough\n" in capsys.readouterr().out


def test_a_rate_is_told_with_the_time_to_wait() -> None:
    with served("--rate", "1/h", "--images", "3", "--workers", "1", "--url-lifetime", "15m") as (
        base,
        said,
    ):
        assert submit(base)[0] == 200
        status, headers, _document = submit(base)
        assert status == 429
        assert 3500 < int(headers["Retry-After"]) <= 3600
    assert "RUNCOMFY_TOKEN=any batchgen" in said[0]


@pytest.mark.parametrize(
    "text",
    [
        "- {on: submit, kind: html, status: 403, times: null}",
        "faults:\n  - on: submit\n    kind: html\n    status: 403\n    times: null\n",
        '[{"on": "submit", "kind": "html", "status": 403, "times": null}]',
        '{"faults": [{"on": "submit", "kind": "html", "status": 403, "times": null}]}',
    ],
)
def test_a_list_of_faults_is_yaml_or_json(tmp_path: Path, text: str) -> None:
    file = tmp_path / "faults"
    file.write_text(text)
    assert read_faults(file) == (Fault(on="submit", kind="html", status=403, times=None),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- on: submit\n  kind: htm\n", "2:9: there is no 'htm'; did you mean 'html'?"),
        ("- on: file\n  kind: no_funds\n", "2:9: 'no_funds' does not apply to 'file'"),
        ("- on: submit\n  kind: html\n  tims: 2\n", "1:3: Additional properties"),
        ("- {on: submit\n", "2:1"),
        ("- on: submit\n  on: submit\n  kind: html\n", "duplicate key"),
        ("", "the file is empty"),
        ("just text", "1:1"),
        ("- {on: submit, kind: html}\n---\n- 1\n", "second document"),
    ],
)
def test_a_wrong_list_of_faults_is_told_with_its_line(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        read_faults(file)
    assert words in str(raised.value)
    assert str(file) in str(raised.value)


def test_all_that_is_wrong_with_a_list_of_faults_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("- {on: submit, kind: htm}\n- {on: flie, kind: html}\n")
    with pytest.raises(InputError) as raised:
        read_faults(file)
    assert "did you mean 'html'" in raised.value.what
    assert "did you mean 'file'" in raised.value.what


def test_a_list_of_faults_that_is_not_there_is_66(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MissingFileError):
        read_faults(tmp_path)
    assert main(["emulator", "--faults", str(tmp_path / "none.yaml")]) == 66
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--workers", "0"), "--workers"),
        (("--parallel", "0"), "--parallel"),
        (("--rate", "often"), "--rate"),
        (("--images", "0"), "--images"),
        (("--url-lifetime", "soon"), "--url-lifetime"),
        (("--balance", "-1"), "--balance"),
        (("--balance", "nan"), "balance"),
    ],
)
def test_a_setting_that_makes_no_sense_is_64(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    assert main(["emulator", *options]) == 64
    assert words in capsys.readouterr().err
