"""What a browser is given: no key on its command line, and nothing of our environment."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from batchgen.cli.browser import (
    browser_environment,
    open_in_browser,
    private_page,
    reads_our_files,
)
from tests.report.night_world import small_night
from tests.shell import Shell, ended, wait_until
from tests.watch.watch_process import watching

ADDRESS = "http://127.0.0.1:4000/a-key/?a=b&c"
SECRETS = {
    "RUNCOMFY_TOKEN": "s3cret-token",
    "MY_COPY": "s3cret-token",
    "XDG_COPY": "s3cret-token",
    "MAIL_PASSWORD": "another s3cret",
}
RECORDER = """#!/bin/sh
printf '%s\\n' "$@" > "$HOME/argv"
env > "$HOME/env"
cat "${1#file://}" > "$HOME/page"
stat -c %a "${1#file://}" > "$HOME/mode.new"
mv "$HOME/mode.new" "$HOME/mode"
"""


@pytest.fixture
def browser(tmp_path: Path) -> Shell:
    """A command whose browser writes down how it was started."""
    script = tmp_path / "browser"
    script.write_text(RECORDER)
    script.chmod(0o700)
    return Shell(tmp_path, {**SECRETS, "BROWSER": f"{script} %s", "HOME": str(tmp_path)})


def recorded(folder: Path) -> dict[str, str]:
    wait_until((folder / "mode").exists, "the browser")
    return {name: (folder / name).read_text() for name in ("argv", "env", "page", "mode")}


@pytest.mark.parametrize("ran", [True, False])
def test_the_key_of_the_live_page_is_on_no_command_line(browser: Shell, ran: bool) -> None:
    browser.manifest(1)
    if ran:
        small_night(browser.folder / "out")
    with watching(browser, "--open") as watcher:
        key = watcher.url.split("/")[-2]
        found = recorded(browser.folder)
        assert found["argv"].startswith("file:///")
        assert key not in found["argv"]
        assert watcher.url in found["page"]
        assert found["mode"] == "600\n"
        # Beside the run, where a browser in a sandbox may read it, as soon as there is a folder.
        assert ("/out/batchgen-watch-" in found["argv"]) is ran
        watcher.process.terminate()
        done = ended(watcher.process)
    assert done.code == 0
    assert "if the browser cannot read /" in done.err
    assert not list(browser.folder.glob("out/batchgen-watch-*"))
    assert (browser.folder / "out").exists() is ran


@pytest.mark.parametrize("verb", ["watch", "report"])
def test_a_browser_inherits_no_secret(browser: Shell, verb: str) -> None:
    browser.manifest(1)
    small_night(browser.folder / "out")
    if verb == "report":
        browser.expect(0, "report", "m.yaml", "--open")
        found = recorded(browser.folder)
        assert found["argv"] == (browser.folder / "out/report/index.html").as_uri() + "\n"
    else:
        with watching(browser, "--open"):
            found = recorded(browser.folder)
    assert "s3cret" not in found["env"]
    assert f"HOME={browser.folder}\n" in found["env"]


def test_what_a_browser_needs_of_the_environment_stays() -> None:
    desktop = {
        "DISPLAY": ":0",
        "WAYLAND_DISPLAY": "wayland-0",
        "XDG_RUNTIME_DIR": "/run/user/1000",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
        "PATH": "/usr/bin",
        "LC_ALL": "C.UTF-8",
        "https_proxy": "http://proxy.example:3128",
    }
    assert browser_environment({**desktop, **SECRETS, "LD_PRELOAD": "x"}) == desktop


def test_the_page_is_the_owners_alone_and_follows_no_link(tmp_path: Path) -> None:
    with private_page(ADDRESS, tmp_path) as page:
        assert page is not None
        assert page.parent == tmp_path
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        assert 'url=http://127.0.0.1:4000/a-key/?a=b&amp;c"' in page.read_text()
    assert not page.exists()


def test_what_a_killed_watcher_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "batchgen-watch-old.html").touch()
    with private_page(ADDRESS, tmp_path):
        assert not (tmp_path / "batchgen-watch-old.html").exists()


def test_a_folder_without_permissions_holds_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    # As FAT shows all files.
    monkeypatch.setattr("os.fstat", lambda _file: (tmp_path / "any").stat())
    (tmp_path / "any").touch(0o644)
    with private_page(ADDRESS, tmp_path) as page:
        assert page is None
        assert not list(tmp_path.rglob("batchgen-watch-*"))


def test_where_there_is_no_browser_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER", "/nowhere/browser %s")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DISPLAY", raising=False)
    assert not open_in_browser("file:///nothing")


def test_a_browser_of_windows_is_not_sent_to_a_file_of_linux() -> None:
    assert reads_our_files({})
    assert not reads_our_files({"WSL_DISTRO_NAME": "Debian"})
    assert reads_our_files({"WSL_DISTRO_NAME": "Debian", "BROWSER": "firefox"})
