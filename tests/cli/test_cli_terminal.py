"""Progress on a real terminal, and where there is none."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout

import pytest

from batchgen.cli import main
from tests.shell import EDIT, PICTURE, Shell, boat

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(shell: Shell, columns: int, *words: str) -> tuple[int, str]:
    """Run with stderr on a terminal of so many columns; the exit code and what was shown."""
    screen, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with ThreadPoolExecutor(1) as pool:
        shown = pool.submit(read_all, screen)
        with (
            os.fdopen(terminal, "w") as stderr,
            shell.having(TERM="xterm").at_home(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(stderr),
        ):
            code = main(words)
    os.close(screen)
    return code, shown.result().decode()


def read_all(screen: int) -> bytes:
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(screen, 65536)
        except OSError:
            # Linux says EIO where the last writer has left.
            piece = b""
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_bars_fit_the_terminal(shell: Shell, columns: int) -> None:
    edit = {"prompt": "p", "image_urls": [PICTURE]}
    shell.manifest([*map(boat, range(6)), {"id": "edit", "model": EDIT, "input": edit}])
    words = ("run", "m.yaml", "--emulator", "--latency", "0.1", "--concurrency", "2")
    code, shown = on_a_terminal(shell, columns, *words)
    assert code == 0, shown
    assert "Traceback" not in shown
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", ESCAPES.sub("", shown))]
    assert max(map(len, lines)) <= columns, lines
    assert any(line.startswith("all") and "100%" in line for line in lines)
    assert any(line.startswith("edit") for line in lines)
    assert any("7/7" in line and "USD" in line for line in lines)


def test_without_a_terminal_there_are_few_lines_and_no_escapes(shell: Shell) -> None:
    shell.manifest(6)
    done = shell.expect(0, "run", "m.yaml", "--emulator", "--latency", "0")
    assert done.err == ""
    assert len(done.out.splitlines()) == 1
    assert "m: 6 done · 0.18 USD spent" in done.out
    assert "\r" not in done.said
    assert "\x1b" not in done.said
