"""The token: asked for first, refused without harm, and shown nowhere (rows 12, 13, 17, 66)."""

from __future__ import annotations

from tests.shell import Emulator, Shell, emulating

SECRET = "s3cr3t-0f-th3-h0us3-d0-n0t-sh0w"


def test_without_a_token_nothing_begins(shell: Shell, emulator: Emulator) -> None:
    """Row 12."""
    shell.manifest(1)
    done = shell.having(RUNCOMFY_MODEL_API_BASE=emulator.base).expect(77, "run", "m.yaml")
    assert "RUNCOMFY_TOKEN" in done.err
    assert not (shell.folder / "out").exists()
    assert emulator.charges() == []


def test_a_refused_token_fails_no_job_and_the_right_one_continues(shell: Shell) -> None:
    """Rows 13 and 17."""
    shell.manifest(3)
    with emulating(token=SECRET) as emulator:
        done = shell.using(emulator, "a-wrong-one").expect(77, "run", "m.yaml")
        assert "the API refused the token" in done.said
        assert shell.status()["counts"] == {"pending": 3}
        assert emulator.charges() == []
        shell.using(emulator, SECRET).expect(0, "run", "m.yaml")
        assert shell.status()["counts"] == {"done": 3}
        assert len(emulator.charges()) == 3


def test_the_token_stands_in_no_file_and_on_no_screen(shell: Shell) -> None:
    """Row 66. Also where the vendor itself repeats it, and where things fail."""
    shell.manifest(4)
    with emulating(token=SECRET, state=shell.folder / "emulator.db") as emulator:
        user = shell.using(emulator, SECRET)
        emulator.arm("submit", "status", status=422, body=f'{{"error_message": "no {SECRET}"}}')
        emulator.arm("submit", "html")
        emulator.arm("file", "expired")
        ended = [user.run("run", "m.yaml")]
        ended += [user.run("status", "m.yaml"), user.run("status", "m.yaml", "--json")]
        ended += [user.run("retry", "m.yaml", "--json")]
        ended += [user.run("resolve", "m.yaml", "*", "--write-off")]
        assert emulator.ledger()["token_leaks"] == 0
    for done in ended:
        assert SECRET not in done.said
    files = [path for path in shell.folder.rglob("*") if path.is_file()]
    assert any(path.name == "state.db" for path in files)
    # Its own memory knows how it was started, not who came.
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
