"""Help and mistakes of the command line."""

from __future__ import annotations

import pytest

from batchgen.cli import main

SELECTION = ("--job", "--model", "--tag", "--state")
RUN = ("--emulator", *SELECTION, "--concurrency", "--rate", "--limit", "--changed", "--latency")
OPTIONS = {
    "init": (),
    "validate": ("--json",),
    "run": (*RUN, "--retry-failed", "--dry-run", "--quiet", "--json"),
    "retry": (*RUN, "--quiet", "--json"),
    "plan": ("--emulator", *SELECTION, "--offline", "--json"),
    "watch": ("--port", "--open"),
    "status": (*SELECTION, "--json", "--watch"),
    "cancel": ("--emulator", *SELECTION),
    "resolve": ("--adopt", "--resubmit", "--write-off", *SELECTION),
    "approve": ("--all",),
    "pick": ("--keep", "--reject", "--unpick", "--file", *SELECTION, "--json"),
    "export": (
        *("--to", "--split", "--shard-size", "--shard-count", "--bytes", "--copy"),
        *(*SELECTION, "--json"),
    ),
    "models": ("--json",),
    "emulator": (
        *("--port", "--latency", "--state", "--token", "--workers", "--parallel", "--rate"),
        *("--images", "--url-lifetime", "--balance", "--faults"),
    ),
}


@pytest.mark.parametrize("verb", OPTIONS)
def test_the_help_of_a_command_names_its_options(
    capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    for option in OPTIONS[verb]:
        assert option in said


def test_the_help_of_retry_says_how_rejected_results_are_made_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["retry", "--help"])
    assert "--state rejected" in capsys.readouterr().out


def test_the_help_of_all_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for verb in OPTIONS:
        assert f"\n  {verb} " in said
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("batchgen, version ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("rnu", "m.yaml"), "No such command 'rnu'"),
        (("run",), "Missing argument 'MANIFEST'"),
        (("run", "m.yaml", "--concurency", "3"), "--concurrency"),
        (("run", "m.yaml", "--concurrency", "0"), "auto, or a number from 1 to 1000"),
        (("run", "m.yaml", "--rate", "fast"), "60/min"),
        (("run", "m.yaml", "--changed", "refuse"), "rerun"),
        (("resolve", "m.yaml", "a"), "--adopt REQUEST_ID, --resubmit and --write-off"),
        (("resolve", "m.yaml", "a", "--resubmit", "--write-off"), "give one of"),
        (("status", "m.yaml", "--watch", "--json"), "give only one"),
        (("plan", "m.yaml", "--state", "faild"), "there is no state 'faild'"),
        (("status", "m.yaml", "--state", "!dnoe"), "did you mean 'done'?"),
        (("approve", "m.yaml", "a", "--all"), "name jobs or give --all, not both"),
        (("export", "m.yaml", "d", "--to", "hf", "--kept", "--with-rejected"), "give only one"),
        (("models", "t2x"), "batchgen: unknown model 't2x'"),
        (("emulator", "--latency", "nan"), "latency"),
    ],
)
def test_a_wrong_command_line_is_64_with_a_hint(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], hint: str
) -> None:
    assert main(words) == 64
    shown = capsys.readouterr()
    assert hint in shown.err
    assert "Traceback" not in shown.err
    assert not shown.out
