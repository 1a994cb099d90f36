"""Rows 66 to 69: the token stays at home, and so does everything that others name."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from batchgen.downloads.allowed_hosts import AllowedHosts, HostNotAllowed
from batchgen.downloads.fetch import open_downloader
from batchgen.downloads.outcomes import DownloadSettings, Target
from batchgen.engine import decisions
from tests.failures.broken_disks import assert_whole, charged, plain_files
from tests.shell import Emulator, Shell, emulating, ended

SECRET = "s3cr3t/0f-th3-h0us3-d0-n0t-sh0w"


@dataclass
class Stranger:
    """A server that is not the vendor's, and all that ever came to it."""

    base: str = ""
    heard: list[str] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Stranger]:
    shell = Stranger()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(length).decode()
            shell.heard.append(f"{self.requestline}\n{self.headers}{body}")
            self.send_error(404)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shell.base = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, name="shell")
        serving.start()
        try:
            yield shell
        finally:
            server.shutdown()
            serving.join()


def assert_nowhere(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"state.db", "run.log", "receipts.jsonl"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert SECRET.replace("/", "\\/").encode() not in content, path


def test_row_66_the_token_is_nowhere_but_in_requests_to_the_api(shell: Shell) -> None:
    with emulating(token=SECRET) as emulator, listening() as other:
        user = shell.using(emulator, SECRET)
        user.manifest(6, run={"concurrency": 1, "rate": "20/s"})
        echo = f'{{"error_message": "no {SECRET}"}}'
        emulator.arm("submit", "status", status=422, body=echo)
        emulator.arm("submit", "vendor_failed", message=f"failed for {SECRET}")
        emulator.arm("submit", "status", status=500, body=SECRET)
        emulator.arm("submit", "redirect", url=f"{other.base}/submit")
        emulator.arm("file", "redirect", url=f"{other.base}/file.png")
        told = [user.run("run", "m.yaml"), user.run("run", "m.yaml", "--json")]
        told += [user.run("retry", "m.yaml"), user.run("status", "m.yaml")]
        told += [user.run("status", "m.yaml", "--json"), user.run("cancel", "m.yaml")]
        told += [user.run("resolve", "m.yaml", "*", "--write-off")]
        assert emulator.ledger()["token_leaks"] == 0
        assert [done.code for done in told if SECRET in done.said] == []
        assert any("[token]" in done.said for done in told), "the vendor never repeated it"
        assert other.heard, "no redirect was followed"
        for request in other.heard:
            assert request.startswith("GET /file.png"), "a submit was sent elsewhere"
            assert "authorization" not in request.lower()
            assert SECRET not in request
    assert_nowhere(shell.folder)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_row_66_the_token_is_not_on_the_command_line(shell: Shell) -> None:
    with emulating(token=SECRET) as emulator:
        user = replace(shell, fresh=True).using(emulator, SECRET)
        shell.manifest(1)
        emulator.arm("submit", "hang")
        with user.start("run", "m.yaml") as process:
            charged(emulator, process)
            line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            process.kill()
            done = ended(process)
    assert b"m.yaml" in line
    assert SECRET.encode() not in line
    assert SECRET not in done.said
    assert_nowhere(shell.folder)


AWKWARD = ("../x", "/x", "../../etc/x", "CON", "con.png", "x" * 200, "Boat", "boat", "a\\b", "-rf")


def test_row_67_awkward_ids_become_safe_names(user: Shell, emulator: Emulator) -> None:
    jobs = [{"id": name, "input": {"prompt": name[:50]}} for name in AWKWARD]
    user.manifest(jobs)
    before = set(user.folder.parent.iterdir())
    user.expect(0, "run", "m.yaml")
    assert set(user.folder.parent.iterdir()) == before
    assert {path.name for path in user.folder.iterdir()} <= {"m.yaml", "out", ".local"}
    assert_whole(user, emulator, len(AWKWARD))
    names = plain_files(user)
    assert len({name.casefold() for name in names}) == len(AWKWARD)
    for name in names:
        assert "\\" not in name
        for part in name.split("/"):
            assert len(part.encode()) <= 255
            assert not part.startswith(("-", "."))
            assert part.split(".")[0].casefold() != "con"


def test_row_67_an_id_of_300_characters_is_refused_with_its_place(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest([{"id": "x" * 300, "input": {"prompt": "a boat"}}])
    err = user.expect(65, "run", "m.yaml").err
    assert "m.yaml:" in err
    assert "200" in err
    assert emulator.charges() == []


def test_row_68_names_from_the_server_are_ignored(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    disposition = 'attachment; filename="../../evil.sh"'
    emulator.arm("file", "headers", headers={"Content-Disposition": disposition})
    user.expect(0, "run", "m.yaml")
    assert user.files() == ["boat-000.png"]
    assert not list(user.folder.rglob("*evil*"))
    assert not list(user.folder.parent.glob("evil*"))
    assert_whole(user, emulator)


PRIVATE = (
    "127.0.0.2", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]", "[fd00::1]",
    "[::ffff:10.0.0.1]", "0.0.0.0", "100.64.0.1",
)  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_row_69_a_private_address_as_result_url_is_refused(
    user: Shell, emulator: Emulator, host: str
) -> None:
    user.manifest(1)
    emulator.arm("submit", "foreign_host", url=f"https://{host}/latest/meta-data")
    done = user.expect(75, "run", "m.yaml")
    assert "is an address of a private network" in done.said
    assert user.files() == []
    assert user.states() == {"boat-000": "fetching"}
    assert len(emulator.charges()) == 1


def test_row_69_a_file_url_is_no_result(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paid failure, as a success without any URL is (row 37)."""
    monkeypatch.setattr(decisions, "FILES_PATIENCE", 0.3)
    user.manifest(1)
    emulator.arm("submit", "foreign_host", url="file:///etc/passwd")
    assert "names no file" in user.expect(1, "run", "m.yaml").said
    assert user.files() == []


@dataclass
class Lying(AbstractResolver):
    """A name server that leads a name of the vendor's to an address of its choice."""

    address: str

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=self.address, port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"])
async def test_row_69_a_name_that_leads_to_a_private_address_is_refused_at_connect(
    tmp_path: Path, address: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"https://cdn.runcomfy.net:{listener.getsockname()[1]}/boat.png"
        settings = DownloadSettings(AllowedHosts.of())
        async with open_downloader(settings, resolver=Lying(address)) as downloader:
            outcome = await downloader.fetch(url, Target(tmp_path / "files", "boat"))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert isinstance(outcome, HostNotAllowed)
    assert outcome.reason == f"cdn.runcomfy.net leads to {address}, a private address"
