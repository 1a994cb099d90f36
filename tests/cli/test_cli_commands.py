"""Options become what a run is asked, and errors become exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import time
from pathlib import Path

import pytest

from batchgen.cli import VERBS, load, main
from batchgen.errors import ApiUnreachableError, BatchgenError, ManifestError, Problem, TokenError
from batchgen.manifest.units import Rate
from batchgen.runs.cancel import Cancellation
from batchgen.runs.decision_log import Verb
from batchgen.runs.options import RunOptions
from batchgen.state.queries import Selection
from batchgen.state.reconcile import OnChanged


class FakeCommand:
    """A command that records its arguments, and ends with `ending`."""

    def __init__(self, ending: BaseException | int = 0) -> None:
        self.words: tuple[object, ...] = ()
        self.named: dict[str, object] = {}
        self._ending = ending

    def __call__(self, *words: object, **named: object) -> int:
        self.words, self.named = words, named
        if isinstance(self._ending, BaseException):
            raise self._ending
        return self._ending


def fake_run(patch: pytest.MonkeyPatch, ending: BaseException | int = 0) -> FakeCommand:
    command = FakeCommand(ending)
    for verb in ("run", "retry"):
        patch.setattr(f"batchgen.cli.{verb}.run_manifest", command)
    return command


def asked(patch: pytest.MonkeyPatch, *words: str) -> RunOptions:
    command = fake_run(patch)
    assert main(words) == 0
    _, options = command.words
    assert isinstance(options, RunOptions)
    return options


def test_a_plain_run_asks_for_nothing_special(monkeypatch: pytest.MonkeyPatch) -> None:
    command = fake_run(monkeypatch)
    assert main(["run", "m.yaml"]) == 0
    assert str(command.words[0]) == "m.yaml"
    assert command.words[1] == RunOptions()
    assert command.named == {"quiet": False, "as_json": False, "on_done": None}


def test_every_option_of_run_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "run m.yaml --emulator --latency 0.5 --concurrency 3 --rate 2/s --retry-failed --limit 7"
        " --budget 2.5 --max-duration 8h --start-at 22:00 --stop-at 07:00 --changed keep"
        " --job a* --job b --model *edit --tag hero --state !done"
    )
    assert asked(monkeypatch, *words.split()) == RunOptions(
        emulator=True,
        emulator_latency=0.5,
        concurrency=3,
        rate=Rate(2, 1.0),
        retry_failed=True,
        limit=7,
        budget=2.5,
        max_duration=28800.0,
        start_at=time(22),
        stop_at=time(7),
        on_changed=OnChanged.KEEP,
        selection=Selection(("a*", "b"), ("*edit",), ("hero",), ("!done",)),
    )


def test_retry_is_a_run_that_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    options = asked(monkeypatch, "retry", "m.yaml", "--job", "a")
    assert options == RunOptions(retry_failed=True, selection=Selection(("a",)))


def test_quiet_and_json_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    command = fake_run(monkeypatch)
    main(["run", "m.yaml", "-q", "--json"])
    assert command.named == {"quiet": True, "as_json": True, "on_done": None}


@pytest.mark.parametrize("verb", ["run", "retry"])
def test_who_is_told_and_what_is_done_at_the_end_arrive(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    command = fake_run(monkeypatch)
    words = ("--notify", "json://a.b", "--notify", "ntfy://c", "--on-done", "echo $BATCHGEN_DONE")
    assert main([verb, "m.yaml", *words]) == 0
    options = command.words[1]
    assert isinstance(options, RunOptions)
    assert options.notify == ("json://a.b", "ntfy://c")
    assert "json" not in repr(options)
    assert command.named["on_done"] == "echo $BATCHGEN_DONE"


def test_a_wrong_address_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run(monkeypatch)
    words = ("--notify", "json://a.b", "--notify", "jsonn://u:hunter2@h")
    assert main(["run", "m.yaml", *words]) == 64
    said = capsys.readouterr().err
    assert "--notify: address 2 begins with jsonn://" in said
    assert "did you mean 'json'?" in said
    assert "hunter2" not in said


def test_cancel_takes_a_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RunOptions] = []

    def cancel_jobs(_manifest: Path, options: RunOptions) -> Cancellation:
        asked.append(options)
        return Cancellation()

    monkeypatch.setattr("batchgen.runs.api.cancel_jobs", cancel_jobs)
    assert main(["cancel", "m.yaml", "--emulator", "--tag", "late"]) == 0
    assert asked == [RunOptions(emulator=True, selection=Selection(tags=("late",)))]


@pytest.mark.parametrize(
    ("words", "verb", "request_id"),
    [
        (["--adopt", "r-1"], Verb.ADOPT, "r-1"),
        (["--adopt", ""], Verb.ADOPT, ""),
        (["--resubmit"], Verb.RESUBMIT, None),
        (["--write-off"], Verb.WRITE_OFF, None),
    ],
)
def test_resolve_takes_one_verb(
    monkeypatch: pytest.MonkeyPatch, words: list[str], verb: Verb, request_id: str | None
) -> None:
    command = FakeCommand()
    monkeypatch.setattr("batchgen.cli.resolve.resolve_jobs", command)
    assert main(["resolve", "m.yaml", "boat", *words]) == 0
    assert command.words[1:] == (("boat",), verb, request_id, Selection())


@pytest.mark.parametrize(
    ("ending", "code", "words"),
    [
        (75, 75, ""),
        (ApiUnreachableError("no way", next_step="wait"), 69, "batchgen: no way\n  → wait\n"),
        (TokenError("no token"), 77, "batchgen: no token\n"),
        (BatchgenError("odd"), 70, "batchgen: odd\n"),
        (KeyboardInterrupt(), 130, "\n"),
    ],
)
def test_an_end_becomes_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: BaseException | int,
    code: int,
    words: str,
) -> None:
    fake_run(monkeypatch, ending)
    assert main(["run", "m.yaml"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == words


def test_problems_that_were_not_kept_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run(monkeypatch, ManifestError((Problem("m.yaml", 3, 1, "wrong"),), 1001))
    assert main(["run", "m.yaml"]) == 65
    first, last = capsys.readouterr().err.splitlines()
    assert first == "m.yaml:3:1: wrong"
    assert last == "batchgen: 1001 problems in the manifest; nothing was sent (1000 not shown)"


def test_a_bug_is_called_one_and_shows_its_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run(monkeypatch, ZeroDivisionError("oh"))
    assert main(["run", "m.yaml"]) == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in err
    assert "this is a bug; the state is safe" in err


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_shows_the_first_line_of_each_verbs_help(verb: str) -> None:
    command = load(verb)
    assert command.name == verb
    assert str(command.help).splitlines()[0] == VERBS[verb]


def test_the_list_of_verbs_needs_none_of_them() -> None:
    script = "import sys; from batchgen.cli import main; main(['--help'])\n"
    script += f"print({{f'batchgen.cli.{{verb}}' for verb in {list(VERBS)}}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("\nset()\n")


def test_a_misspelt_verb_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["statis"]) == 64
    assert "'status'" in capsys.readouterr().err


def test_help_needs_nothing_that_is_slow_to_load() -> None:
    slow = {"aiohttp", "av", "jinja2", "jsonschema", "PIL", "rich", "tqdm", "batchgen.runs.api"}
    script = f"import sys; from batchgen.cli import load; [*map(load, {list(VERBS)})]\n"
    script += f"print({slow} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 64
    assert "Usage: batchgen" in capsys.readouterr().err


def test_a_bad_rate_is_a_mistake_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tmp_path / "m.yaml"), "--rate", "60"]) == 64
    assert capsys.readouterr().err.startswith("batchgen: --rate: a rate looks like 60/min")


SCRIPT = Path(sys.executable).parent / "batchgen"
INTERRUPTED = """
import os, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED"]:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
"""


@pytest.mark.parametrize(
    "way", [("-m", "batchgen"), (str(Path(sys.executable).parent / "batchgen"),)]
)
@pytest.mark.parametrize(
    "module",
    [
        "batchgen.cli",
        "batchgen.errors",
        "click",
        "batchgen.text",
        "batchgen.cli.models",
    ],
)
def test_ctrl_c_while_modules_are_imported_ends_without_a_traceback(
    tmp_path: Path, module: str, way: tuple[str, ...]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, *way, "models"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "INTERRUPTED": module},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")


def test_nothing_is_imported_before_somebody_listens_for_ctrl_c() -> None:
    shown = "import sys; before = set(sys.modules); import batchgen.__main__; "
    shown += "print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert done.stdout == "['batchgen', 'batchgen.__main__']\n"
