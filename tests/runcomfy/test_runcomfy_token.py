"""Where the token is found (row 12), and that it never shows itself (row 66)."""

from __future__ import annotations

import copy
import json
import os
import pickle
import traceback
from pathlib import Path

import pytest

from batchgen.errors import ExitCode, TokenError
from batchgen.runcomfy.token import TOKEN_VARIABLES, Token, find_token

SECRET = "rc-secret/4f9b0a77"


def write_login(folder: Path, content: str = json.dumps({"access_token": SECRET})) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "token.json"
    path.write_text(content)
    return path


def test_the_variables_are_asked_in_the_order_of_the_contract(tmp_path: Path) -> None:
    env = {name: f"from-{name}" for name in TOKEN_VARIABLES}
    for name in TOKEN_VARIABLES:
        assert find_token(env, tmp_path).header_value() == f"Bearer from-{name}"
        del env[name]


def test_a_variable_outweighs_the_login_file(tmp_path: Path) -> None:
    write_login(tmp_path / ".config" / "runcomfy")
    assert find_token({"YOUR_API_TOKEN": "t"}, tmp_path).header_value() == "Bearer t"


def test_an_empty_variable_is_no_token(tmp_path: Path) -> None:
    env = {"RUNCOMFY_TOKEN": "  ", "RUNCOMFY_API_TOKEN": "", "RUNCOMFY_API_KEY": " key\n"}
    assert find_token(env, tmp_path).header_value() == "Bearer key"


@pytest.mark.parametrize("folder", ["own", "xdg/runcomfy", "home/.config/runcomfy"])
def test_the_login_file_is_read_where_the_vendor_writes_it(tmp_path: Path, folder: str) -> None:
    env = {
        "own": {"RUNCOMFY_CONFIG_DIR": str(tmp_path / "own"), "XDG_CONFIG_HOME": "/nowhere"},
        "xdg/runcomfy": {"RUNCOMFY_CONFIG_DIR": "", "XDG_CONFIG_HOME": str(tmp_path / "xdg")},
        "home/.config/runcomfy": {"XDG_CONFIG_HOME": "relative/is/ignored"},
    }[folder]
    path = write_login(tmp_path / folder)
    token = find_token(env, tmp_path / "home")
    assert token.header_value() == f"Bearer {SECRET}"
    assert token.source == str(path)


def test_row_12_without_a_token_all_places_and_the_way_to_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(TokenError) as caught:
        find_token({}, tmp_path)
    said = str(caught.value)
    assert caught.value.exit_code is ExitCode.NO_TOKEN
    for place in (*TOKEN_VARIABLES, str(tmp_path / ".config" / "runcomfy" / "token.json")):
        assert place in said
    assert "runcomfy login" in said


@pytest.mark.parametrize("bad", ["a b", "a\r\nX-Evil: 1", "Bearer abc", "tökén", "a\x00b"])
def test_a_token_that_no_header_can_hold_is_refused_without_being_shown(
    tmp_path: Path, bad: str
) -> None:
    with pytest.raises(TokenError) as caught:
        find_token({"RUNCOMFY_API_TOKEN": bad}, tmp_path)
    assert "RUNCOMFY_API_TOKEN" in str(caught.value)
    assert bad not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        f'{{"access_token": "{SECRET}"',
        f'["{SECRET}"]',
        "{}",
        '{"access_token": 5}',
        '{"access_token": " "}',
        "[" * 60_000,
        " " * 70_000,
    ],
)
def test_a_broken_login_file_is_named(tmp_path: Path, content: str) -> None:
    path = write_login(tmp_path, content)
    with pytest.raises(TokenError) as caught:
        find_token({"RUNCOMFY_CONFIG_DIR": str(tmp_path)}, tmp_path)
    assert str(path) in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_login_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_bytes(b'{"access_token": "\xff\xfe"}')
    with pytest.raises(TokenError, match="not JSON"):
        find_token({"RUNCOMFY_CONFIG_DIR": str(tmp_path)}, tmp_path)


def test_a_folder_in_the_place_of_the_login_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "token.json").mkdir()
    with pytest.raises(TokenError, match="cannot be read"):
        find_token({"RUNCOMFY_CONFIG_DIR": str(tmp_path)}, tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs a path through a file to be 'not a folder'")
def test_a_path_through_a_file_is_no_login(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TokenError, match="no API token"):
        find_token({"RUNCOMFY_CONFIG_DIR": str(tmp_path / "file")}, tmp_path)


def test_row_66_no_way_of_printing_shows_the_token() -> None:
    token = Token(SECRET, "RUNCOMFY_TOKEN")
    texts = [repr(token), str(token), f"{token}", f"{token!r:>60}", repr([token]), f"{{{token}}}"]
    assert all(SECRET not in text and "RUNCOMFY_TOKEN" in text for text in texts)


def test_row_66_a_token_is_not_pickled_or_copied() -> None:
    token = Token(SECRET, "RUNCOMFY_TOKEN")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(token)


def test_row_66_the_token_is_taken_out_of_a_text_also_as_json_writes_it() -> None:
    token = Token(SECRET, "x")
    escaped = SECRET.replace("/", "\\/")
    assert token.redact(f"a {SECRET} b {escaped} c") == "a [token] b [token] c"


def test_a_token_too_short_to_be_secret_spoils_no_text() -> None:
    assert Token("a", "x").redact("a banana") == "a banana"
