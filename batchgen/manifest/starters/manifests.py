"""Manifests to start from: a general one, or one for a model and a data file or own files."""

from __future__ import annotations

import json
import textwrap
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml

from batchgen.errors import InputError
from batchgen.manifest.matrix import is_variable_name
from batchgen.manifest.starters.preview import ID_NAMES, find_column
from batchgen.models.fields import SHORT_KEY, SIZE_KEY, short_size
from batchgen.models.file_rules import file_keys_of
from batchgen.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from batchgen.jobs import JsonValue
    from batchgen.manifest.starters.preview import Column, DataFile, FoundFiles
    from batchgen.models.catalog import Model
    from batchgen.models.fields import Field


MOST_COLUMNS_LISTED = 12
WIDTH = 92
INPUT = " " * 6

_SYNONYMS = {
    "prompt": ("text", "caption", "description"),
    "image_urls": ("image_url", "images", "image", "urls", "url"),
    SIZE_KEY: (SHORT_KEY,),
}
_HEAD = """\
# A manifest: what to generate, and how. `batchgen guide manifest` explains every key.
#
#   batchgen validate FILE          lists every problem at once; sends nothing
#   batchgen run FILE --emulator    rehearses on this machine: no token, no money
#   batchgen run FILE               the real run; run it again to continue after a stop

version: 1
name: {name}

defaults:
  model: {model}

run:
  retries: 0                    # a retry of a failed job may cost
  # budget: 5.00                # USD; a job that would exceed it is not submitted

output:
  name: "{{{{ id }}}}"              # file names

"""
_OWN_FILES = """\
inputs:
  send: data                    # inside the request; or a bucket for large files: s3://bucket/prefix
  fit: true                     # a picture that is too large, or is no JPEG or PNG, is sent as a
                                # smaller copy, and your file stays as it is; false: it is a problem

"""
_VARIABLES = """\
    # Variables: {{ path }}, {{ name }}, {{ stem }}, {{ folder }} and {{ caption }}, the text of
    # boat.txt beside boat.jpg; a default is for files without one.
    # where: {folder: red}     # only files that have it; then offset, then limit
    # limit: 10
    # bad_rows: skip           # leave out, and count, files that cannot be used"""
EXAMPLE_EDIT = "as an oil painting"


def model_manifest(name: str, model: Model) -> str:
    """Return a manifest with one job of the model, and every key that it takes."""
    lines = [f"  - id: {model.alias}-1", "    input:", *_input_lines(model, {})]
    return _head(name, model) + _text(lines)


def rows_manifest(name: str, model: Model, source: str, data: DataFile) -> str:
    """Return a manifest with a job for each row; `source` is the path to write under `from`.

    Raises InputError if no column fits a text that the model requires: nobody wants to pay for the
    same prompt once per row.
    """
    fitted = fitting_columns(model, data.columns)
    for field in model.fields:
        if field.required and field.type == "string" and field.name not in fitted:
            raise _no_column(field.name, source, data)
    values = {
        key: _value(data, field, column)
        for field in model.fields
        for key, column in ((_key(model, field), fitted.get(field.name)),)
        if column is not None
    }
    used = {column.name for column in fitted.values()}
    used |= {data.id_column.name} if data.id_column else set()
    lines = [
        *_id_lines(source, data),
        f"    from: {_quoted(source)}",
        "    # where: {column: value}   # only rows that have it; then offset, then limit",
        "    # limit: 10",
        "    # bad_rows: skip           # leave out, and count, rows that the model refuses",
        *_other_columns(column for column in data.columns if column.name not in used),
        "    input:",
        *_input_lines(model, values, missing="no column has its name; this is an example"),
    ]
    return _head(name, model) + _text(lines)


def files_manifest(name: str, model: Model, source: str, found: FoundFiles) -> str:
    """Return a manifest with a job for each file; `source` is the path or pattern of `from`."""
    values: dict[str, str] = {}
    for key in file_keys_of(model)[:1]:
        values[key.name] = '["{{ path }}"]' if key.lists else '"{{ path }}"'
    if any(field.name == "prompt" for field in model.fields):
        values["prompt"] = _quoted(_caption(found))
    lines = [
        *_comment(
            f"A job for each file: {found.files} today, {found.captions} with a caption. Ids come"
            f" from the files' names, as in {model.alias}-{_printable(found.first)}.",
            2,
        ),
        f"  - id: {model.alias}",
        f"    from: {_quoted(source)}",
        *_VARIABLES.splitlines(),
        "    input:",
        *_input_lines(model, values),
    ]
    return _head(name, model, _OWN_FILES) + _text(lines)


def _caption(found: FoundFiles) -> str:
    if not found.captions:
        return EXAMPLE_EDIT
    if found.captions < found.files:
        return f"{{{{ caption | default('{EXAMPLE_EDIT}') }}}}"
    return "{{ caption }}"


def fitting_columns(model: Model, columns: Sequence[Column]) -> dict[str, Column]:
    """Find the column for each of the model's keys, by its name or a synonym."""
    found = {
        field.name: find_column(columns, (field.name.lower(), *_SYNONYMS.get(field.name, ())))
        for field in model.fields
    }
    return {key: column for key, column in found.items() if column is not None}


def _no_column(key: str, source: str, data: DataFile) -> InputError:
    names = [_printable(column.name) for column in data.columns[:MOST_COLUMNS_LISTED]]
    more = ", …" if len(data.columns) > MOST_COLUMNS_LISTED else ""
    what = f"no column fits the required {key}; it has {', '.join(names)}{more}"
    known = ", ".join((key, *_SYNONYMS.get(key, ())))
    return InputError(
        what, where=source, next_step=f"call the column that holds it one of: {known}"
    )


def _head(name: str, model: Model, inputs: str = "") -> str:
    return _HEAD.format(name=_quoted(name), model=model.id) + inputs + "jobs:\n"


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _id_lines(source: str, data: DataFile) -> Iterator[str]:
    """An id is permanent: take it from the data if possible, otherwise from the row's place."""
    if data.id_column is not None:
        seen = plural(data.rows, "row") if data.whole else f"first {data.rows} rows"
        yield f"  # The values of this column are unique in the {seen}."
        yield f"  - id: {_quoted(_template(data.id_column))}"
        return
    stem = source.rpartition("/")[2].partition(".")[0].replace("{", "").replace("}", "")[:100]
    names = ", ".join(ID_NAMES)
    yield from _comment(f"No column of unique ids ({names}) was found.", 2)
    if any(column.name == "index" for column in data.columns):
        yield from _comment(
            "So each id ends in its row's number; add rows at the end: ids are permanent.", 2
        )
        yield f"  - id: {_quoted(stem or 'row')}"
    else:
        yield from _comment("So ids are row numbers; add rows at the end: ids are permanent.", 2)
        yield f"  - id: {_quoted((stem or 'row') + '-{{ index }}')}"


def _other_columns(columns: Iterable[Column]) -> Iterator[str]:
    names = [_template(column) for column in columns]
    if names:
        yield "    # Other columns, for use in any text here:"
        yield from (f"    #   {_printable(name)}" for name in names)


def _input_lines(
    model: Model, values: Mapping[str, str], missing: str | None = None
) -> Iterator[str]:
    for field in model.fields:
        key = _key(model, field)
        need = "required" if field.required else "optional"
        yield from _comment(", ".join(filter(None, (field.type, field.limits, need))), 6)
        if choices := _choices(model, field):
            yield from _comment(f"one of: {', '.join(choices)}", 6)
        if field.file_rules:
            rules = (f"{one.quantity} {one.operator} {one.limit:g}" for one in field.file_rules)
            yield from _comment(f"each file: {', '.join(rules)}", 6)
        if key in values:
            yield f"{INPUT}{key}: {values[key]}"
        elif field.required:
            yield from _comment(missing, 6) if missing else ()
            yield f"{INPUT}{key}: {_written(_example(model, field))}"
        else:
            yield f"{INPUT}# {key}: {_written(_example(model, field))}"


def _key(model: Model, field: Field) -> str:
    """The key as a manifest usually has it: `size` if the model has sizes."""
    return SHORT_KEY if model.sizes and field.name == SIZE_KEY else field.name


def _choices(model: Model, field: Field) -> list[str]:
    if model.sizes and field.name == SIZE_KEY:
        return list(model.sizes)
    return [str(choice) for choice in field.choices]


def _example(model: Model, field: Field) -> JsonValue:
    value = field.default if field.default is not None else next(iter(field.choices), "…")
    if model.sizes and field.name == SIZE_KEY and isinstance(value, str):
        return short_size(value)
    return value


def _value(data: DataFile, field: Field, column: Column) -> str:
    """Write the template of a key. An optional key is left out for rows without a value."""
    gaps = ""
    if not field.required:
        gaps += " | default(none)" if data.lacks_some(column) else ""
        gaps += " or none" if column.empty else ""
    template = _quoted(_template(column, gaps))
    takes_list = field.type.startswith("list of ")
    return f"[{template}]" if takes_list and not column.holds_lists else template


def _template(column: Column, more: str = "") -> str:
    name = column.name
    plain = name if is_variable_name(name) else f"row[{_jinja_text(name)}]"
    return f"{{{{ {plain}{more} }}}}"


def _jinja_text(text: str) -> str:
    # Jinja reads the escapes of Python strings, which include those of JSON.
    return f"'{text}'" if text.isprintable() and not {"'", "\\"} & set(text) else json.dumps(text)


def _written(value: JsonValue) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    """Write a text in YAML on one line, in quotes, so that it is always read as text."""
    document = yaml.dump(text, default_style='"', allow_unicode=True, width=10**9)
    return document.removesuffix("\n")


def _comment(text: str, indent: int) -> list[str]:
    start = f"{' ' * indent}# "
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False
    )


def _printable(text: str) -> str:
    """Replace control characters: a line break in a column's name would end the comment."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def starter_manifest(name: str = "my-batch") -> str:
    """Return a commented, valid manifest with one job of each model."""
    text = (files("batchgen.manifest.starters") / "starter.yaml").read_text(encoding="utf-8")
    # JSON's quotes are YAML's too, so any name is safe in them.
    return text.replace("MY-BATCH", json.dumps(name, ensure_ascii=False))
