"""Notifications when a run ends, pauses or has its first failure; and the command after it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.failures.failing import IN_A_HURRY
from tests.notify.receivers import SECRET, Receiver, dead_url, receiving
from tests.shell import Emulator, Shell, boat, ended, wait_until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def assert_discreet(shell: Shell, *said: str) -> None:
    """No secret of an address is in a file of the run, nor on the screen."""
    for file in (shell.folder / "out").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    for text in said:
        assert SECRET not in text
        assert "Traceback" not in text


def logged(shell: Shell) -> list[str]:
    lines = (shell.folder / "out/run.log").read_text("utf-8").splitlines()
    return [line for line in lines if '"Notified"' in line]


def failing(**header: Any) -> dict[str, Any]:
    return {"run": {"concurrency": 1}, **header}


def test_the_end_is_notified_with_counts_money_and_place(
    user: Shell, emulator: Emulator, receiver: Receiver
) -> None:
    user.manifest(2, name="boats", notify=[receiver.url])
    done = user.expect(0, "run", "m.yaml")
    word = receiver.next()
    assert word["title"] == "batchgen: boats"
    assert word["type"] == "success"
    assert word["message"].startswith("boats: all done · 2 done · ")
    assert " USD spent · " in word["message"]
    assert word["message"].endswith(str(user.folder / "out"))
    assert receiver.all() == []
    assert '"about": "end"' in logged(user)[0]
    assert_discreet(user, done.said)


def test_the_page_of_the_report_is_named_where_there_is_one(
    user: Shell, receiver: Receiver
) -> None:
    user.manifest(1, notify=receiver.url)
    user.expect(0, "run", "m.yaml")
    page = user.folder / "out/report/index.html"
    page.parent.mkdir()
    page.touch()
    user.expect(0, "run", "m.yaml", "--on-done", f'test "$BATCHGEN_REPORT" = {page}')
    assert "report: " not in receiver.next()["message"]
    assert receiver.next()["message"].endswith(f"report: {page}")


def test_the_first_failure_is_notified_once_and_so_is_the_end(
    user: Shell, emulator: Emulator, receiver: Receiver
) -> None:
    user.manifest(3, **failing(name="boats"))
    emulator.arm("submit", "vendor_failed", times=2)
    user.expect(1, "run", "m.yaml", "--notify", receiver.url)
    words = receiver.all()
    assert len(words) == 2
    first = next(word for word in words if "first failure: boat-00" in word)
    last = next(word for word in words if word != first)
    assert "1 failed" in first
    assert "ended, some jobs failed · 1 done, 2 failed" in last


def test_a_pause_is_notified_with_its_next_step(
    user: Shell, emulator: Emulator, receiver: Receiver
) -> None:
    user.manifest(2, notify={"to": receiver.url, "on": ["pause"]})
    emulator.arm("submit", "status", times=None, status=401, body='{"message": "revoked"}')
    user.expect(77, "run", "m.yaml")
    (word,) = receiver.all()
    assert ": paused: the API refused the token (revoked); set a valid RUNCOMFY_TOKEN" in word
    assert " USD spent" in word


def test_the_command_line_wins_and_only_chosen_occasions_are_notified(
    user: Shell, receiver: Receiver
) -> None:
    user.manifest(1, notify={"to": [dead_url()], "on": ["pause"]})
    assert "notified" not in user.expect(0, "run", "m.yaml", "--notify", receiver.url).err
    assert receiver.all() == []


def test_a_dead_address_changes_nothing_and_is_reported(user: Shell) -> None:
    user.manifest(1, notify=[dead_url()])
    done = user.expect(0, "run", "m.yaml", "--quiet")
    assert done.err.startswith("not notified (end): json://127.0.0.1: ")
    assert "Connection error" in logged(user)[0]
    assert_discreet(user, done.said)


def test_an_error_that_ends_a_run_is_notified_too(user: Shell, receiver: Receiver) -> None:
    user.manifest(1, notify=[receiver.url])
    user.expect(0, "run", "m.yaml", "--limit", "1")
    receiver.all()
    user.manifest([boat(0), boat(1)], notify=[receiver.url])
    done = user.having(RUNCOMFY_TOKEN="").expect(77, "run", "m.yaml")
    assert "no API token" in done.err
    assert "ended by an error: no API token" in receiver.next()["message"]


def test_a_wrong_address_is_a_problem_of_the_manifest_with_its_place(
    user: Shell, emulator: Emulator
) -> None:
    user.write(
        f"version: 1\nnotify:\n  - jsonn://u:{SECRET}@h\noutput: {{dir: out}}\n"
        "jobs:\n  - {model: bytedance/dreamina-4-0/text-to-image, input: {prompt: x}}\n"
    )
    for verb in ("run", "validate", "plan"):
        done = user.expect(65, verb, "m.yaml")
        assert "m.yaml:3:5: item 1 of notify begins with jsonn://" in done.err
        assert_discreet(user, done.said)
    assert emulator.charges() == []
    assert not (user.folder / "out").exists()


def test_ctrl_c_ends_the_wait_for_a_notification_and_not_the_run(user: Shell) -> None:
    with receiving(hanging=True) as receiver:
        user.manifest(1, notify=[receiver.url])
        with user.start("run", "m.yaml") as process:
            assert receiver.asked.wait(60)
            process.send_signal(signal.SIGINT)
            done = ended(process)
    assert done.code == 0
    assert "m: 1 done" in done.said
    assert "not notified (end): json://127.0.0.1: the run did not wait any longer" in done.err
    assert_discreet(user, done.said)


def test_sigterm_keeps_its_deadline_whatever_hangs(user: Shell, emulator: Emulator) -> None:
    """Row 57: a download, a word and the command at the end, all at once."""
    emulator.arm("file", "hang")
    with receiving(hanging=True) as receiver:
        user.manifest(1, notify=[receiver.url])
        command = ("run", "m.yaml", "--on-done", "sleep 60 & wait")
        with user.start(*command, prelude=IN_A_HURRY) as process:
            wait_until(lambda: user.states() == {"boat-000": "fetching"}, "fetching")
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            # The command goes on with these pipes in hand.
            code = process.wait(60)
            waited = time.monotonic() - asked
            assert process.stderr is not None
            left = next(line for line in process.stderr if "it continues as process" in line)
            os.killpg(int(left.split()[-1]), signal.SIGTERM)
    assert code == 143
    assert waited < 15


def test_a_hanging_service_never_holds_the_run_up(user: Shell, emulator: Emulator) -> None:
    """The word of the first failure hangs; the other jobs get done meanwhile."""
    emulator.arm("submit", "vendor_failed")
    with receiving(hanging=True) as receiver:
        user.manifest(3, **failing(notify={"to": [receiver.url], "on": ["first_failure"]}))
        with user.start("run", "m.yaml") as process:
            assert receiver.asked.wait(60)
            log = user.folder / "out/run.log"
            wait_until(lambda: "RunEnded" in log.read_text("utf-8"), "the end but for the word")
            assert list(user.states().values()).count("done") == 2
            process.send_signal(signal.SIGINT)
            done = ended(process)
    assert "not notified (first_failure)" in done.err


def said(user: Shell) -> str:
    """What the command wrote: it inherits the stdout of the process, which here is the test's."""
    return (user.folder / "said").read_text("utf-8")


def test_the_command_runs_when_all_is_closed_and_its_exit_code_changes_nothing(
    user: Shell,
) -> None:
    user.manifest(1, name="boats")
    out = "echo $BATCHGEN_NAME $BATCHGEN_EXIT_CODE $BATCHGEN_DONE $BATCHGEN_FAILED"
    done = user.expect(0, "run", "m.yaml", "--on-done", f"{out} $BATCHGEN_FOLDER > said; exit 3")
    assert said(user) == f"boats 0 1 0 {user.folder / 'out'}\n"
    assert done.err.endswith("--on-done ended with exit code 3\n")


def test_the_lock_is_free_for_the_command(user: Shell) -> None:
    user.manifest(1)
    command = "flock --nonblock out/run.lock echo free > said"
    user.expect(0, "run", "m.yaml", "--on-done", command)
    assert said(user) == "free\n"


def test_the_token_is_not_given_to_the_command(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    secret = user.using(emulator, "a-secret-token").having(COPY="a-secret-token", KEPT="kept")
    secret.expect(0, "run", "m.yaml", "--on-done", "env > said")
    assert "KEPT=kept" in said(user)
    assert "BATCHGEN_SPENT_USD=0.03" in said(user)
    assert "a-secret-token" not in said(user)


def test_with_json_stdout_has_one_document_whatever_the_command_prints(user: Shell) -> None:
    user.manifest(1)
    with user.start("run", "m.yaml", "--json", "--on-done", "echo noise") as process:
        done = ended(process)
    assert done.code == 0
    assert done.document["exit_code"] == 0
    assert "noise" in done.err


def test_the_command_also_runs_after_failures_but_not_if_nothing_began(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    emulator.arm("submit", "vendor_failed")
    told = ("--on-done", "echo $BATCHGEN_EXIT_CODE $BATCHGEN_FAILED >> told")
    user.expect(1, "run", "m.yaml", *told)
    user.write("version: 2\n", "wrong.yaml")
    user.expect(65, "run", "wrong.yaml", *told)
    user.expect(0, "retry", "m.yaml", *told)
    assert (user.folder / "told").read_text() == "1 1\n0 0\n"


def test_ctrl_c_reaches_the_command_once_and_the_run_keeps_its_code(user: Shell) -> None:
    user.manifest(1)
    command = "trap 'echo caught >> told; exit 9' INT; touch ready; while :; do sleep 0.05; done"
    with user.start("run", "m.yaml", "--on-done", command) as process:
        wait_until((user.folder / "ready").exists, "the command")
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 0
    assert "--on-done ended with exit code 9" in done.err
    assert (user.folder / "told").read_text() == "caught\n"


def test_sigterm_reaches_all_of_the_command(user: Shell) -> None:
    """The shell and what it started: neither is left behind."""
    user.manifest(1)
    command = "touch ready; sleep 60 & wait; wait"
    with user.start("run", "m.yaml", "--on-done", command) as process:
        wait_until((user.folder / "ready").exists, "the command")
        process.send_signal(signal.SIGTERM)
        # The pipes are closed only when the last of them has ended.
        done = ended(process)
    assert done.code == 0
    assert "--on-done was ended by SIGTERM" in done.err
