"""Data files: rows, their places and their problems."""

from __future__ import annotations

import csv
import errno
import gc
import hashlib
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from batchgen.errors import BatchgenError, InputError, MissingFileError, StorageError
from batchgen.manifest.rows import (
    BadRow,
    FilteredRows,
    Row,
    Rows,
    fingerprint,
    open_rows,
    where_problems,
)
from batchgen.manifest.rows import json_rows as json_rows_module
from batchgen.manifest.rows.base import Lines, text_rows
from batchgen.manifest.rows.csv_rows import csv_rows, tsv_rows
from batchgen.manifest.rows.json_rows import json_rows

Values = dict[str, Any]
ON_A_BUSY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(path: Path) -> list[Row | BadRow]:
    with open_rows(path) as rows:
        return list(rows)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_text(folder: Path, name: str, content: str | bytes) -> list[Row | BadRow]:
    return read(write(folder, name, content))


def picked(path: Path, **how: Any) -> list[int]:
    with open_rows(path) as rows:
        return [row.number for row in FilteredRows(rows, **how) if isinstance(row, Row)]


# CSV and TSV


def test_a_csv_gives_text_with_the_line_where_each_row_begins(tmp_path: Path) -> None:
    text = 'id,prompt\na,"A fox, ""red"",\nin grass"\n\nb,\n'
    assert read_text(tmp_path, "p.csv", text) == [
        Row({"id": "a", "prompt": 'A fox, "red",\nin grass'}, 1, 2),
        Row({"id": "b", "prompt": ""}, 2, 5),
    ]


def test_a_tsv_is_separated_by_tabs(tmp_path: Path) -> None:
    rows = read_text(tmp_path, "P.TSV", "id\tprompt\r\na\tfox, red\r\nb\tfox; blue\r\n")
    assert [row.values for row in rows if isinstance(row, Row)] == [
        {"id": "a", "prompt": "fox, red"},
        {"id": "b", "prompt": "fox; blue"},
    ]


def test_in_a_tsv_a_quote_is_a_character_like_any_other(tmp_path: Path) -> None:
    text = (
        "prompt\tcategory\n"
        '"Hello, he said\tsigns\n'
        'a 6" nail\tthings\n'
        'and said goodbye"\tsigns\n'
        '"Hello"\tsigns\n'
        '"STOP" painted on a wall\t""\n'
    )
    rows = read_text(tmp_path, "p.tsv", text)
    assert [row.values["prompt"] for row in rows if isinstance(row, Row)] == [
        '"Hello, he said',
        'a 6" nail',
        'and said goodbye"',
        '"Hello"',
        '"STOP" painted on a wall',
    ]


def test_a_tsv_with_a_spreadsheets_quotes_is_refused_rather_than_sent_with_them(
    tmp_path: Path,
) -> None:
    (bad,) = read_text(tmp_path, "p.tsv", 'id\tprompt\n1\t"a ""STOP"" sign, red"\n')
    assert isinstance(bad, BadRow)
    assert "quoted as by a spreadsheet" in bad.message
    assert "save it as .csv in UTF-8" in (bad.hint or "")


def test_excels_unicode_text_is_read_with_the_quotes_that_excel_put_round_fields(
    tmp_path: Path,
) -> None:
    text = 'id\tprompt\r\n1\t"a ""STOP"" sign, red"\r\n2\t"a\tb"\r\n3\t"a\nb"\r\n4\tc\r\n'
    first, tab, line_break, last = read_text(tmp_path, "p.tsv", text.encode("utf-16"))
    assert first == Row({"id": "1", "prompt": 'a "STOP" sign, red'}, 1, 2)
    for bad, line in ((tab, 3), (line_break, 4)):
        assert isinstance(bad, BadRow)
        assert (bad.line, bad.message) == (
            line,
            "a field in quotes has a tab or a line break in it",
        )
    assert last == Row({"id": "4", "prompt": "c"}, 4, 6)


TSV_FIELDS = st.text('"ab ,;é\U0001f98a\u2028', max_size=12)


@ON_A_BUSY_MACHINE
@given(st.lists(st.tuples(TSV_FIELDS, TSV_FIELDS), max_size=8))
def test_what_a_tsv_holds_comes_back_letter_by_letter_or_is_refused(
    wanted: list[tuple[str, str]],
) -> None:
    text = "".join(f"{one}\t{two}\n" for one, two in [("one", "two"), *wanted])
    with TemporaryDirectory() as folder:
        rows = read_text(Path(folder), "p.tsv", text)
    filled = [pair for pair in wanted if "".join(pair).strip()]
    assert len(rows) == len(filled)
    for row, (one, two) in zip(rows, filled, strict=True):
        if isinstance(row, Row):
            assert row.values == {"one": one, "two": two}
        else:
            assert any(part.startswith('"') and '""' in part[1:-1] for part in (one, two))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_marks_of_encodings_and_all_line_breaks_are_understood(
    tmp_path: Path, encoding: str, ending: str
) -> None:
    text = f"prompt,n{ending}Käse 🦊,1{ending}x,2"
    assert read_text(tmp_path, "p.csv", text.encode(encoding)) == [
        Row({"prompt": "Käse 🦊", "n": "1"}, 1, 2),
        Row({"prompt": "x", "n": "2"}, 2, 3),
    ]


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@ON_A_BUSY_MACHINE
@given(
    st.lists(st.tuples(FIELDS, FIELDS), max_size=8),
    # With "\n" alone the writer leaves a "\r" in a field without quotes, unless it quotes all.
    st.sampled_from([("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]),
    st.sampled_from([",", ";"]),
)
def test_what_the_csv_writer_wrote_comes_back_from_its_line(
    wanted: list[tuple[str, str]], style: tuple[str, Literal[0, 1]], separator: str
) -> None:
    file = io.StringIO(newline="")
    ending, quoting = style
    writer = csv.writer(file, delimiter=separator, lineterminator=ending, quoting=quoting)
    lines = []
    for fields in [("one", "two"), *wanted]:
        before = file.getvalue().replace("\r\n", "\n").replace("\r", "\n")
        lines.append(before.count("\n") + 1)
        writer.writerow(fields)
    with TemporaryDirectory() as folder:
        rows = read_text(Path(folder), "p.csv", file.getvalue())
    # An empty row is skipped, and a field that begins with a space and a quote is refused.
    expected = [
        (number, pair) for number, pair in enumerate(wanted, start=1) if "".join(pair).strip()
    ]
    assert len(rows) == len(expected)
    for row, (number, (one, two)) in zip(rows, expected, strict=True):
        if isinstance(row, BadRow):
            assert row.line == lines[number]
            assert any(part[:1].isspace() and part.strip()[:1] == '"' for part in (one, two))
        else:
            assert row == Row({"one": one, "two": two}, number, lines[number])


@pytest.mark.parametrize(
    ("row", "message", "hint"),
    [
        ("a", "the row has 1 field; the header has 2", "keep its separator"),
        ("a,b,c", "the row has 3 fields; the header has 2", "in quotes"),
        ('"a"b,c', "there is text between the quote that closes a field", "twice"),
        ("a,\0", "there is a NUL character here", "remove it"),
        (b"a,\xff", "this is not UTF-8", "CSV UTF-8"),
        (f"a,{'x' * 200_000}", "a field is longer than 131072 characters", "quote"),
        (f"a,{'x' * 2_000_000}", "is longer than 1", "?"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_the_next_one_is_read(
    tmp_path: Path, row: str | bytes, message: str, hint: str
) -> None:
    raw = row.encode() if isinstance(row, str) else row
    first, bad, last = read_text(tmp_path, "p.csv", b"id,prompt\na,1\n" + raw + b"\nb,2\n")
    assert first == Row({"id": "a", "prompt": "1"}, 1, 2)
    assert isinstance(bad, BadRow)
    assert bad.line == 3
    assert message in bad.message
    assert hint in (bad.hint or "")
    # A bad row has a number, so that fixing it does not renumber the others.
    assert last == Row({"id": "b", "prompt": "2"}, 3, 4)


def test_a_quote_that_is_never_closed_is_reported_where_it_opens(tmp_path: Path) -> None:
    rows = read_text(tmp_path, "p.csv", 'id,prompt\na,1\nb,"x\nc,2\nd,3\n')
    assert [row.line for row in rows] == [2, 3]
    assert isinstance(rows[1], BadRow)
    assert "never closed" in rows[1].message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty: it has no header"),
        ("\n\n", "the file is empty: it has no header"),
        (",,\n\n", "the file is empty: it has no header"),
        ("id,x, id\n1,2,3\n", "duplicate column 'id': columns 1 and 3"),
        ("id\tprompt\n1\t2\n", "a comma must separate columns; the header has a tab"),
        ('id, "prompt"\n1,2\n', "a space before a quote"),
        (f"id,{'x' * 200_000}\n1,2\n", "the header: a field is longer"),
        ('id,"x\n1,2\n', "the header: a quote is opened here"),
        (b"id,\xff\n1,2\n", "the header: this is not UTF-8"),
    ],
)
def test_a_header_that_names_no_columns_is_refused(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    path = write(tmp_path, "p.csv", content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert message in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.next_step


# What spreadsheets make of a CSV


@pytest.mark.parametrize(
    "text",
    [
        'id;prompt;scale\n7;"a boat; at sea, early";0,5\n',
        'sep=;\r\nid;prompt;scale\r\n7;"a boat; at sea, early";0,5\r\n',
        '\ufeffSEP=,\r\nid,prompt,scale\r\n7,"a boat; at sea, early","0,5"\r\n',
        "sep=|\nid|prompt|scale\n7|a boat; at sea, early|0,5\n",
        ',,,,\nid,prompt,scale,,\n7,"a boat; at sea, early","0,5",,\n,,,,\n',
        'id,prompt,,scale\n7,"a boat; at sea, early",,"0,5"\n,, ,\n,,,\n',
        'id,prompt,scale,,\n7,"a boat; at sea, early","0,5"\n',
    ],
)
def test_what_excel_writes_is_read(tmp_path: Path, text: str) -> None:
    (row,) = read_text(tmp_path, "p.csv", text)
    assert isinstance(row, Row)
    assert row.values == {"id": "7", "prompt": "a boat; at sea, early", "scale": "0,5"}
    assert row.number == 1


def test_a_semicolon_in_a_row_or_beside_commas_is_text(tmp_path: Path) -> None:
    (row,) = read_text(tmp_path, "p.csv", "prompt\na boat; a harbour\n")
    assert row[0] == {"prompt": "a boat; a harbour"}
    (row,) = read_text(tmp_path, "q.csv", "id;no,prompt\n1;2,3\n")
    assert row[0] == {"id;no": "1;2", "prompt": "3"}


def test_empty_rows_are_passed_over_and_counted_so_that_no_other_row_is_renumbered(
    tmp_path: Path,
) -> None:
    rows = read_text(tmp_path, "p.csv", "sep=,\nid,prompt\na,1\n,\n , \nb,2\n,,,\n")
    assert rows == [Row({"id": "a", "prompt": "1"}, 1, 3), Row({"id": "b", "prompt": "2"}, 4, 6)]


def test_a_value_in_a_column_without_a_name_is_reported_in_its_row(tmp_path: Path) -> None:
    first, bad = read_text(tmp_path, "p.csv", "id,,prompt\n1,,a\n2,lost,b\n")
    assert first == Row({"id": "1", "prompt": "a"}, 1, 2)
    assert isinstance(bad, BadRow)
    assert bad.line == 3
    assert bad.message == "column 2 has no name, but holds something; got 'lost'"
    assert bad.hint


@pytest.mark.parametrize("row", ['1, "a boat, at sea", ink', '1, "a boat", ink'])
def test_a_space_before_a_quote_is_named(tmp_path: Path, row: str) -> None:
    (bad,) = read_text(tmp_path, "p.csv", f"id, prompt, look\n{row}\n")
    assert isinstance(bad, BadRow)
    assert "a space before a quote" in bad.message
    assert "remove the space" in (bad.hint or "")


def test_a_file_in_a_windows_code_page_gets_a_hint_what_excel_calls_utf_8(tmp_path: Path) -> None:
    (bad,) = read_text(tmp_path, "p.csv", "id;prompt\r\n1;früh\r\n".encode("cp1252"))
    assert isinstance(bad, BadRow)
    assert (bad.message, bad.hint) == (
        "this is not UTF-8",
        "save the file as UTF-8 (Excel calls it 'CSV UTF-8')",
    )


# JSON Lines


def test_json_lines_keep_their_types_and_have_keys_of_their_own(tmp_path: Path) -> None:
    text = ' {"a": 1, "b": [0.5, null, {"c": true}]}\r\n\n{"ä": "\\u00e4\u2028\\ud83e\\udd8a"}'
    path = write(tmp_path, "p.jsonl", text)
    assert read(path) == [
        Row({"a": 1, "b": [0.5, None, {"c": True}]}, 1, 1),
        Row({"ä": "ä\u2028🦊"}, 2, 3),
    ]
    with open_rows(path) as rows:
        assert rows.columns is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "the line must be an object; got a list"),
        ('{"a": 1} {"a": 2}', "there is more text after the value; got '{\"a\": 2}'"),
        ('{"a": }', "the line is not JSON: expecting value (column 7)"),
        ('  {"a": tru}', "the line is not JSON: expecting value (column 9)"),
        ('{"a": 1, "a": 2}', "duplicate key 'a' in one object"),
        ('{"a": 9223372036854775808}', "must fit in 64 bits; got '9223372036854775808'"),
        (f'{{"a": {"9" * 5000}}}', "must fit in 64 bits"),
        ('{"a": 1e999}', "a number must be finite"),
        ('{"a": NaN}', "JSON has no number NaN"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": "\0"}', "there is a NUL character here"),
        (b'{"a": "\xe9"}', "this is not UTF-8"),
        ('{"a": ["\\ud83d"]}', "half a character"),
        (f'{{"a": "{"x" * 1_100_000}"}}', "the line is longer than 1048576 characters"),
    ],
)
def test_a_bad_line_of_json_is_reported_and_the_next_one_is_read(
    tmp_path: Path, line: str | bytes, message: str
) -> None:
    raw = line.encode() if isinstance(line, str) else line
    rows = read_text(tmp_path, "p.ndjson", b'{"n": 1}\n\n' + raw + b'\n{"n": 2}\n')
    assert rows[0] == Row({"n": 1}, 1, 1)
    assert isinstance(rows[1], BadRow)
    assert rows[1].line == 3
    assert message in rows[1].message
    assert rows[2:] == [Row({"n": 2}, 3, 4)]


# A list of JSON


def test_a_list_of_json_has_objects_or_prompts_with_the_lines_where_they_begin(
    tmp_path: Path,
) -> None:
    text = (
        '\ufeff[\n  {"a": 1,\n   "b": [0.5]},\r\n  "a boat"\n , {"ä": "\\u00e4\\ud83e\\udd8a"}]\n'
    )
    path = write(tmp_path, "p.JSON", text)
    assert read(path) == [
        Row({"a": 1, "b": [0.5]}, 1, 2),
        Row({"prompt": "a boat"}, 2, 4),
        Row({"ä": "ä🦊"}, 3, 5),
    ]
    with open_rows(path) as rows:
        assert rows.columns is None


@pytest.mark.parametrize("text", ["", " \n", "[]", " [ \n ] "])
def test_an_empty_list_of_json_has_no_rows(tmp_path: Path, text: str) -> None:
    assert read_text(tmp_path, "p.json", text) == []


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("[1]", "an item must be an object or text; got a list"),
        ("null", "an item must be an object or text; got null"),
        ("12", "an item must be an object or text; got 12"),
        ('{"a": 1, "a": 2}', "duplicate key 'a' in one object"),
        ('{"a": 9223372036854775808}', "must fit in 64 bits; got '9223372036854775808'"),
        (f'{{"a": {"9" * 5000}}}', "must fit in 64 bits"),
        (f'{{"a": {"9" * 100_000}}}', "must fit in 64 bits"),
        ('{"a": 1e999}', "a number must be finite"),
        ('{"a": NaN}', "JSON has no number NaN"),
        (b'{"a": "\xe9"}', "this is not UTF-8"),
        ('{"a": ["\\ud83d"]}', "half a character"),
        ('"\\ud83d"', "half a character"),
    ],
)
def test_a_bad_item_of_a_list_is_reported_and_the_next_one_is_read(
    tmp_path: Path, item: str | bytes, message: str
) -> None:
    raw = item.encode() if isinstance(item, str) else item
    rows = read_text(tmp_path, "p.json", b'[{"n": 1},\n\n' + raw + b',\n{"n": 2}]\n')
    assert rows[0] == Row({"n": 1}, 1, 1)
    assert isinstance(rows[1], BadRow)
    assert (rows[1].line, rows[1].hides_rows) == (3, False)
    assert message in rows[1].message
    assert rows[2:] == [Row({"n": 2}, 3, 4)]


@pytest.mark.parametrize(
    ("rest", "line", "message"),
    [
        ('{"a": }]', 3, "this is not JSON: expecting value"),
        ('{"a": "\0"}]', 3, "this is not JSON: invalid control character"),
        ('{"a": 1}\n{"b": 2}]', 4, "a comma or ']' is missing before this"),
        ('{"a": 1}', 3, "a comma or ']' is missing before this"),
        ('{"a": 1},]', 3, "this is not JSON: expecting value"),
        ('{"a": 1}] x', 3, "there is more text after the list"),
        ('{"a": "never closed', 3, "this is not JSON: unterminated string"),
        ("[" * 100_000, 3, "this item is nested too deeply"),
        (f'{{"a": "{"x" * 1_300_000}"}}]', 3, "an item is longer than 1048576 characters"),
    ],
)
def test_an_error_that_ends_the_reading_of_a_list_is_marked_as_such(
    tmp_path: Path, rest: str, line: int, message: str
) -> None:
    *_, last = read_text(tmp_path, "p.json", '[{"n": 1},\n\n' + rest)
    assert isinstance(last, BadRow)
    assert (last.line, last.hides_rows) == (line, True)
    assert message in last.message


def test_a_json_file_that_is_not_a_list_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a \.json file must be one list") as caught:
        read_text(tmp_path, "p.json", '{"prompt": "a"}\n{"prompt": "b"}\n')
    assert "one object per line is .jsonl" in (caught.value.next_step or "")


SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    FIELDS,
)
OBJECTS = st.dictionaries(FIELDS, SCALARS | st.lists(SCALARS) | st.dictionaries(FIELDS, SCALARS))


@ON_A_BUSY_MACHINE
@given(st.lists(OBJECTS, max_size=5), st.booleans())
def test_what_json_wrote_comes_back(objects: list[Values], ascii_only: bool) -> None:
    text = "".join(json.dumps(one, ensure_ascii=ascii_only) + "\n" for one in objects)
    with TemporaryDirectory() as folder:
        assert read_text(Path(folder), "p.jsonl", text) == [
            Row(one, number, number) for number, one in enumerate(objects, start=1)
        ]


@ON_A_BUSY_MACHINE
@given(st.lists(OBJECTS | FIELDS, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_a_list_can_be_read_in_pieces_of_any_size(
    items: list[Values | str], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(items, ensure_ascii=ascii_only, indent=indent)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows_module, "PIECE", 7)
        rows = read_text(Path(folder), "p.json", text)
    wanted = [one if isinstance(one, dict) else {"prompt": one} for one in items]
    assert [(row.number, row.values) for row in rows if isinstance(row, Row)] == list(
        enumerate(wanted, start=1)
    )


# One prompt per line


def test_a_text_has_a_prompt_a_line_and_its_number_is_that_of_the_line(tmp_path: Path) -> None:
    text = '\ufeffa boat, at sea\r\n\r\n  \t\r\n "a car" \r\n{{ braces }}; #x'
    path = write(tmp_path, "p.txt", text)
    prompts = [(1, "a boat, at sea"), (4, '"a car"'), (5, "{{ braces }}; #x")]
    assert read(path) == [
        Row({"prompt": prompt, "line": prompt}, line, line) for line, prompt in prompts
    ]
    with open_rows(path) as rows:
        assert rows.columns == ("prompt", "line")


def test_a_bad_line_of_prompts_is_reported_and_the_next_one_is_read(tmp_path: Path) -> None:
    bad, good = read_text(tmp_path, "p.txt", b"\xff\na car\n")
    assert bad[:2] == (1, "this is not UTF-8")
    assert good == Row({"prompt": "a car", "line": "a car"}, 2, 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_that_is_called_txt_is_refused_with_the_name_that_it_should_have(
    tmp_path: Path, encoding: str
) -> None:
    with pytest.raises(InputError, match="the first one has a tab in it") as caught:
        read_text(tmp_path, "p.txt", "id\tprompt\r\n1\ta boat\r\n".encode(encoding))
    assert "'Unicode Text', is read as .tsv: rename the file" in (caught.value.next_step or "")


# Parquet


def write_parquet(folder: Path, columns: Values, schema: Any = None) -> Path:
    path = folder / "p.parquet"
    parquet.write_table(pa.table(columns, schema=schema), path)
    return path


def test_parquet_gives_json_values_and_exact_ones_as_text(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
    columns = {
        "prompt": ["fox", None],
        "n": [1, 2],
        "scale": [0.5, 1.0],
        "urls": [["u1", "u2"], []],
        "inner": [{"price": Decimal("1.50")}, None],
        "at": pa.array([moment, moment], pa.timestamp("ns", "UTC")),
        "day": [moment.date(), None],
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "uuid": pa.array([bytes(16), None], pa.uuid()),
    }
    path = write_parquet(tmp_path, columns)
    first, second = read(path)
    assert first == Row(
        {
            "prompt": "fox",
            "n": 1,
            "scale": 0.5,
            "urls": ["u1", "u2"],
            "inner": {"price": "1.50"},
            "at": "2026-11-21T07:30:00+00:00",
            "day": "2026-11-21",
            "kind": "a",
            "uuid": "00000000-0000-0000-0000-000000000000",
        },
        1,
        1,
    )
    assert isinstance(second, Row)
    assert (second.number, second.values["prompt"], second.values["inner"]) == (2, None, None)
    with open_rows(path) as rows:
        assert rows.columns == tuple(columns)


def test_parquet_without_a_value_gives_none_and_an_infinite_number_is_a_bad_row(
    tmp_path: Path,
) -> None:
    nan, infinity = float("nan"), float("inf")
    rows = read(write_parquet(tmp_path, {"x": [nan, infinity, 0.5], "y": [[nan], [], [1.0]]}))
    assert rows[0] == Row({"x": None, "y": [None]}, 1, 1)
    assert isinstance(rows[1], BadRow)
    assert rows[1][:2] == (2, "the row holds an infinite number")
    assert rows[2] == Row({"x": 0.5, "y": [1.0]}, 3, 3)


def test_parquet_rows_of_many_batches_count_on(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, {"n": list(range(2500))})
    assert [(row.values["n"], row.number) for row in read(path) if isinstance(row, Row)] == [
        (n, n + 1) for n in range(2500)
    ]


@pytest.mark.parametrize("kind", [pa.binary(), pa.list_(pa.large_binary()), pa.binary(4)])
def test_parquet_columns_of_bytes_are_refused(tmp_path: Path, kind: Any) -> None:
    path = write_parquet(tmp_path, {"prompt": ["x"], "blob": pa.array([None], kind)})
    with pytest.raises(InputError, match="the column 'blob' holds bytes"):
        read(path)


def test_parquet_with_two_columns_of_a_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    parquet.write_table(
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path
    )
    with pytest.raises(InputError, match="duplicate column 'a'"):
        read(path)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_text(tmp_path, "p.parquet", "id,prompt\n")


def test_without_the_extra_parquet_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path, {"n": [1]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError) as caught:
        read(path)
    assert "pip install 'batchgen[parquet]'" in (caught.value.next_step or "")


# Any file


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("absent.csv", MissingFileError, "there is no such file"),
        ("folder.csv", MissingFileError, "this is a folder"),
        ("p.xlsx", InputError, "a data file cannot end in '.xlsx'"),
        ("prompts", InputError, "its name has no extension"),
        ("pipe.csv", InputError, "this is not a regular file"),
        ("nul\0.csv", MissingFileError, "the file cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_named(
    tmp_path: Path, name: str, kind: type[BatchgenError], message: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(kind) as caught:
        read(tmp_path / name)
    assert message in caught.value.what
    assert caught.value.where == str(tmp_path / name)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("name", "hint"),
    [("p.xlsx", "save the sheet as .csv in UTF-8"), ("p.toml", "known: .csv, .tsv, .txt, .json")],
)
def test_another_kind_of_file_gets_a_hint_what_to_save_it_as(
    tmp_path: Path, name: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_text(tmp_path, name, "x")
    assert (caught.value.next_step or "").startswith(hint)


def test_an_error_of_the_reader_of_the_rows_is_not_taken_for_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "n\n1\n")
    with pytest.raises(PermissionError), open_rows(path):
        raise PermissionError


class BreakingFile(io.BytesIO):
    """A disk that fails after the first bytes."""

    def read1(self, size: int | None = -1) -> bytes:
        if self.tell() > 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().read1(size)


@pytest.mark.parametrize("make", [csv_rows, tsv_rows, json_rows, text_rows])
def test_a_disk_that_fails_while_rows_are_read_is_an_io_error(
    make: Callable[[Lines], Rows],
) -> None:
    file = BreakingFile(b'{"a": 1}\n{"b": ')
    message = r"p\.csv: the file cannot be read to its end: Input/output error"
    with (
        closing(Lines(file, Path("p.csv"), "\n")) as lines,
        pytest.raises(StorageError, match=message),
    ):
        list(make(lines))


def test_a_fingerprint_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "n\r\n1\n")
    assert fingerprint(path) == hashlib.sha256(b"n\r\n1\n").hexdigest()
    with pytest.raises(MissingFileError):
        fingerprint(tmp_path / "absent.csv")


# Which rows are taken


@pytest.fixture
def split(tmp_path: Path) -> Path:
    text = "split,n,ok\ntrain,1,True\ntest,2,false\ntrain,3,\nval,1.0,TRUE\ntrain,04,x\n"
    return write(tmp_path, "p.csv", text)


@pytest.mark.parametrize(
    ("how", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"where": {"split": "train"}}, [1, 3, 5]),
        ({"where": {"split": ["test", "val"]}}, [2, 4]),
        ({"where": {"split": "train", "n": 3}}, [3]),
        ({"where": {"n": 1}}, [1, 4]),
        ({"where": {"n": "1"}}, [1]),
        ({"where": {"n": 4}}, []),
        ({"where": {"n": "04"}}, [5]),
        ({"where": {"ok": True}}, [1, 4]),
        ({"where": {"ok": None}}, [3]),
        ({"where": {"split": "train"}, "offset": 1}, [3, 5]),
        ({"where": {"split": "train"}, "offset": 1, "limit": 1}, [3]),
        ({"limit": 2}, [1, 2]),
        ({"limit": 0}, []),
        ({"offset": 9}, []),
    ],
)
def test_where_offset_and_limit_choose_rows_of_a_csv(
    split: Path, how: Values, numbers: list[int]
) -> None:
    assert picked(split, **how) == numbers


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ({"n": 3}, [1, 2, 3]),
        ({"n": "3"}, [1, 2]),
        ({"ok": True}, [1, 4]),
        ({"ok": "true"}, [1, 4]),
        ({"tag": None}, [1, 2, 3, 4]),
        ({"tag": "x"}, [5]),
        ({"n": ["x", 4]}, [4]),
    ],
)
def test_where_compares_json_by_type_or_text(
    tmp_path: Path, where: Values, numbers: list[int]
) -> None:
    rows: list[Values] = [
        {"n": 3, "ok": True},
        {"n": "3", "ok": False},
        {"n": 3.0},
        {"n": 4, "ok": "true"},
        {"n": [3], "tag": "x"},
    ]
    path = write(tmp_path, "p.jsonl", "\n".join(map(json.dumps, rows)))
    assert picked(path, where=where) == numbers


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ({"score": {"minimum": 0.5}}, [1, 2, 5]),
        ({"score": {"exclusiveMinimum": 0.5}}, [1, 5]),
        ({"score": {"maximum": 0.5}}, [2, 3]),
        ({"score": {"exclusiveMaximum": 0.5}}, [3]),
        ({"score": {"minimum": 0.1, "exclusiveMaximum": 0.8}}, [2, 3]),
        ({"prompt": {"maxLength": 3}}, [1, 4, 5]),
        ({"prompt": {"minLength": 4}}, [2, 3]),
        ({"prompt": {"minLength": 1, "maxLength": 3}}, [1, 5]),
        ({"split": {"not": "test"}}, [1, 3, 5]),
        ({"split": {"not": ["train", "val"]}}, [2, 4]),
        ({"score": {"not": None}}, [1, 2, 3, 5]),
        ({"split": "train", "score": {"minimum": 0.5}}, [1]),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_where_compares_numbers_and_lengths(
    tmp_path: Path, ending: str, where: Values, numbers: list[int]
) -> None:
    rows = [
        ("fox", 0.8, "train"),
        ("a heron", 0.5, "test"),
        ("badger", 0.1, "train"),
        ("", None, "test"),
        ("🦊x", 1e3, "val"),
    ]
    if ending == "csv":
        lines = [
            f"{prompt},{'' if score is None else score},{split}" for prompt, score, split in rows
        ]
        lines.insert(0, "prompt,score,split")
    else:
        keys = ("prompt", "score", "split")
        lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
    assert picked(write(tmp_path, f"p.{ending}", "\n".join(lines)), where=where) == numbers


@pytest.mark.parametrize(
    ("value", "hint"), [("0,6", "a decimal comma?"), ("n/a", None), ("1_0", None)]
)
def test_a_value_that_is_compared_and_is_no_number_is_a_bad_row(
    tmp_path: Path, value: str, hint: str | None
) -> None:
    path = write(tmp_path, "p.csv", f'score\n0.6\n"{value}"\n0.7\n')
    with open_rows(path) as rows:
        first, bad, last = FilteredRows(rows, {"score": {"minimum": 0.5}})
    assert (first[1], last[1]) == (1, 3)
    assert bad[:2] == (3, f"where compares score with a number; got '{value}'")
    assert isinstance(bad, BadRow)
    assert (bad.hint or "").startswith(hint or "")


def test_it_is_known_how_many_rows_were_chosen(split: Path) -> None:
    with open_rows(split) as rows:
        taken = FilteredRows(rows, {"split": "train"}, offset=3)
        assert list(taken) == []
        assert (taken.count, taken.matching) == (0, 3)


def test_bad_rows_are_reported_whether_chosen_or_not_until_the_limit_is_reached(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "p.csv", "a,b\n1\nx,1\ny,2\n3\n")
    with open_rows(path) as rows:
        assert [row.line for row in FilteredRows(rows, {"a": "z"})] == [2, 5]
    with open_rows(path) as rows:
        assert [row.line for row in FilteredRows(rows, {}, limit=1)] == [2, 3]


def test_a_where_without_such_a_column_is_reported_with_the_nearest(split: Path) -> None:
    with open_rows(split) as rows:
        (problem,) = where_problems(rows, {"splt": "train", "n": 1})
    assert (problem.path, problem.hint) == (("splt",), "did you mean 'split'?")
    assert "'splt', which is not a column" in problem.message


def test_json_lines_know_at_the_end_which_key_no_row_had(tmp_path: Path) -> None:
    path = write(tmp_path, "p.jsonl", '{"split": 1}\n{"other": 2}\n')
    with open_rows(path) as rows:
        assert where_problems(rows, {"splt": 1}) == []
        taken = FilteredRows(rows, {"splt": 1, "other": 2})
        assert list(taken) == []
        assert [(one.path, one.hint) for one in taken.problems()] == [
            (("splt",), "did you mean 'split'?")
        ]


def test_a_file_without_rows_reports_nothing_about_keys(tmp_path: Path) -> None:
    with open_rows(write(tmp_path, "p.jsonl", "\n")) as rows:
        taken = FilteredRows(rows, {"split": 1})
        assert (list(taken), taken.problems()) == ([], [])


# Size


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.json", "p.txt"])
def test_memory_is_flat_however_many_rows_there_are(tmp_path: Path, name: str) -> None:
    few, many = (
        peak_of(write_rows(tmp_path / f"{count}{name}", count)) for count in (2000, 20_000)
    )
    assert many < few + 100_000


def write_rows(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.write({".csv": "id,prompt\n", ".json": '["first"\n'}.get(path.suffix, ""))
        for number in range(count):
            prompt = f"A fox, number {number}, {'x' * 100}"
            row = {
                ".csv": f'{number},"{prompt}"',
                ".txt": prompt,
                ".json": f",{json.dumps({'p': prompt})}",
                ".jsonl": json.dumps({"p": prompt}),
            }
            file.write(f"{row[path.suffix]}\n")
        file.write("]" if path.suffix == ".json" else "")
    return path


def peak_of(path: Path) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        with open_rows(path) as rows:
            assert all(isinstance(row, Row) for row in FilteredRows(rows, {}))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
