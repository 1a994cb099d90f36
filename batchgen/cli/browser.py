"""Opening a page in a browser: without its key on a command line, and without our environment.

Every user of a machine may read the command lines of all processes. So a page whose address is a
secret is opened through a small file that only its owner can read, and that redirects to it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from batchgen.cli.on_done import without_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PREFIX, ENDING = "batchgen-watch-", ".html"
PERMISSIONS_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_KEPT = re.compile(
    "HOME|PATH|USER|LOGNAME|SHELL|LANG|LANGUAGE|TZ|TERM|COLORTERM|TMPDIR|BROWSER|DISPLAY"
    "|WAYLAND_DISPLAY|XAUTHORITY|ICEAUTHORITY|SESSION_MANAGER|DESKTOP_SESSION|GDMSESSION"
    "|(HTTP|HTTPS|ALL|NO)_PROXY|(http|https|all|no)_proxy"
    "|(LC|XDG|DBUS|GTK|GDK|QT|KDE|GNOME|MOZ|WSL)_.*"
)
"""What a browser needs of the environment. Everything else may be a secret of the user's."""

# The first line: Ctrl-C reaches this process, too, which should end without a traceback.
_OPEN = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
)


def open_in_browser(address: str) -> bool:
    """Whether a browser was found; returns when the browser does, a text browser once it is left.

    In a process of its own, since the browser inherits the environment of the one that starts it.
    """
    try:
        done = subprocess.run(  # noqa: S603 - Python itself, and an address of ours
            [sys.executable, "-I", "-S", "-c", _OPEN, address],
            env=browser_environment(os.environ),
            # A text browser needs the terminal; a pipe must not stay open as long as a browser.
            stdout=None if _is_terminal(sys.stdout) else subprocess.DEVNULL,
            stderr=None if _is_terminal(sys.stderr) else subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def browser_environment(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in without_tokens(env).items() if _KEPT.fullmatch(name)}


def reads_our_files(env: Mapping[str, str]) -> bool:
    """Whether the browser belongs to this system: in WSL, that of Windows cannot read our files."""
    return "WSL_DISTRO_NAME" not in env or bool(env.get("BROWSER"))


@contextmanager
def private_page(address: str, folder: Path) -> Iterator[Path | None]:
    """A file that redirects to the address while the block lasts; None if it cannot be private.

    It is made in `folder`, if that exists: a browser in a sandbox (snap, flatpak) sees the user's
    own folders, and only a /tmp of its own. What a killed watcher left behind is removed.
    """
    with suppress(OSError):
        for left in folder.glob(f"{PREFIX}*{ENDING}"):
            left.unlink(missing_ok=True)
    page = _written(address, folder) if folder.is_dir() else None
    elsewhere = None
    if page is None:
        elsewhere = Path(tempfile.mkdtemp(prefix="batchgen-"))
        page = _written(address, elsewhere)
    try:
        yield page
    finally:
        if elsewhere is not None:
            shutil.rmtree(elsewhere, ignore_errors=True)
        elif page is not None:
            with suppress(OSError):
                page.unlink(missing_ok=True)


def _written(address: str, folder: Path) -> Path | None:
    """None if the folder cannot be written, or its files cannot be kept from other users."""
    try:
        # Made by this call, under an unpredictable name: no link is followed.
        descriptor, name = tempfile.mkstemp(ENDING, PREFIX, folder)
    except OSError:
        return None
    path = Path(name).absolute()
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # Some disks, such as FAT or one of Windows, have no permissions.
            if os.fstat(descriptor).st_mode & PERMISSIONS_OF_OTHERS == 0:
                file.write(_leading_to(address))
                return path
    except OSError:
        pass
    with suppress(OSError):
        path.unlink()
    return None


def _leading_to(address: str) -> str:
    url = escape(address, quote=True)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>batchgen watch</title>'
        '<meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="0; url={url}"></head>'
        f'<body><p><a href="{url}">Open the page</a></p></body></html>\n'
    )


async def opened(open_page: Callable[[str], bool], address: str) -> bool:
    """Whether a browser was found. A text browser, or a command in BROWSER, may end much later.

    In a daemon thread: one of asyncio's own would hold the process until the browser ends.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[bool] = loop.create_future()

    def set_result(is_found: bool) -> None:
        if not found.done():
            found.set_result(is_found)

    def work() -> None:
        is_found = open_page(address)
        # The loop may be closed by now: then nobody waits for the result any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(set_result, is_found)

    threading.Thread(target=work, name="open the page", daemon=True).start()
    return await found
