"""The models in `schemas/` beside a manifest: their schemas as published, and the vendor's entries.

    schemas/OWNER/NAME.json        the input schema, exactly as published
    schemas/OWNER/NAME.about.json  what else the vendor says: categories, price, output schema

`batchgen models add` writes both. Files directly in `schemas/` are no models.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never

from batchgen.errors import InputError
from batchgen.models.catalog import (
    ABOUT_SUFFIX,
    Makes,
    Model,
    build_model,
    bundled,
    makes_from,
    schema_files,
    target_of,
)
from batchgen.models.dialect import not_understood
from batchgen.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from batchgen.models.catalog import Catalog

SCHEMAS = "schemas"
"""The folder beside a manifest."""
LONGEST_MESSAGE = 300
MOST_BYTES = 4 * 1024 * 1024
MOST_NESTED = 64
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)+", re.ASCII)
_AS_PUBLISHED = "'batchgen models add {model} --force' fetches it again"


class BadSchemaError(ValueError):
    """A schema or an entry that cannot be used; the message says what exactly."""


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """A file in `schemas/` that cannot be used, and what to do about it."""

    path: Path
    message: str
    hint: str


def is_model_id(text: str) -> bool:
    """Whether it may be the id of a model: parts with slashes between them, safe as a path."""
    return _ID.fullmatch(text) is not None and len(text) <= 200  # noqa: PLR2004 - a path's room


def schema_path(folder: Path, model_id: str) -> Path:
    return folder / f"{model_id}.json"


def about_path(folder: Path, model_id: str) -> Path:
    return folder / f"{model_id}{ABOUT_SUFFIX}"


def own_ids(folder: Path) -> list[str]:
    """The ids of the models in a `schemas` folder, without reading any schema."""
    try:
        return sorted(model_id for model_id, _ in schema_files(folder))
    except OSError:
        return []


def read_own(folder: Path) -> tuple[list[Model], list[SchemaFault]]:
    """Read the models of a `schemas` folder, which need not exist, and what is wrong with others.

    A bundled model may lie there too, as it is bundled.
    """
    models: list[Model] = []
    faults: list[SchemaFault] = []
    for model_id in own_ids(folder):
        path = schema_path(folder, model_id)
        try:
            found = read_own_model(folder, model_id)
        except BadSchemaError as exc:
            message = f"the schema of {model_id} cannot be used: {exc}"
            faults.append(SchemaFault(path, message, _AS_PUBLISHED.format(model=model_id)))
            continue
        known = bundled().find(model_id)
        if known is None:
            models.append(found)
        elif known.schema != found.schema:
            message = f"{model_id} is bundled with batchgen, and this schema is a different one"
            faults.append(SchemaFault(path, message, "remove the file"))
    return models, faults


def catalog_with(folder: Path) -> Catalog:
    """The bundled models and those of a `schemas` folder. Raises InputError for its first fault."""
    models, faults = read_own(folder)
    if faults:
        first = faults[0]
        raise InputError(first.message, where=str(first.path), next_step=first.hint)
    return bundled().with_models(models)


def read_own_model(folder: Path, model_id: str) -> Model:
    """Raises BadSchemaError."""
    if not is_model_id(model_id):
        raise BadSchemaError("its path is not a model's id")
    schema = _read_json(schema_path(folder, model_id))
    about_file = about_path(folder, model_id)
    about = _read_json(about_file) if about_file.exists() else {}
    return checked_model(model_id, schema, about)


def checked_model(model_id: str, schema: Any, about: Any) -> Model:
    """Build a model from the vendor's documents. Raises BadSchemaError with everything wrong."""
    wrong = (
        _not_plain(schema) or _not_plain(about) or not_understood(schema) or about_problems(about)
    )
    if wrong:
        raise BadSchemaError(plain_text("; ".join(wrong), LONGEST_MESSAGE))
    if makes_from(about) is None and target_of(model_id.rsplit("/", 1)[-1]) is None:
        kinds = ", ".join(Makes)
        raise BadSchemaError(f"it is not clear what the model makes ('makes': one of {kinds})")
    try:
        return build_model(model_id, schema, about)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BadSchemaError(plain_text(str(exc), LONGEST_MESSAGE)) from exc


def _not_plain(document: Any) -> list[str]:
    """Why a document could not be written as JSON and read again, or walked through."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MOST_NESTED:
            return [f"it is nested more than {MOST_NESTED} deep"]
        level = [part for one in level for part in _parts(one)]
    try:
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return ["a text in it is not Unicode"]
    except ValueError as exc:
        return [str(exc)]
    return []


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def about_problems(about: Any) -> list[str]:
    """What is wrong with an entry of the catalogue, of the keys that batchgen reads."""
    if not isinstance(about, dict):
        return ["the entry is not a mapping"]
    found = []
    makes, price = about.get("makes"), about.get("base_price_usd")
    if "makes" in about and makes not in list(Makes):
        found.append(f"makes is {makes!r}, not one of {', '.join(Makes)}")
    if price is not None and (isinstance(price, bool) or not isinstance(price, int | float)):
        found.append(f"base_price_usd is {price!r}, not a number")
    elif price is not None and not 0 <= price < 1e9:  # noqa: PLR2004 - larger ones are mistakes
        found.append(f"base_price_usd is {price!r}, which is no price")
    if not isinstance(about.get("price_unit", ""), str):
        found.append(f"price_unit is {about['price_unit']!r}, not a text")
    categories = about.get("categories", [])
    if not isinstance(categories, list) or not all(isinstance(one, str) for one in categories):
        found.append("categories is not a list of texts")
    return found


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        # Of what is no file, a pipe would be waited for without an end.
        if path.exists() and not path.is_file():
            raise BadSchemaError(f"{path.name} is not a file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise BadSchemaError(f"{path.name} has more than {MOST_BYTES} bytes")
        found = json.loads(content, parse_constant=_refuse_constant)
    except OSError as exc:
        raise BadSchemaError(f"{path.name} cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise BadSchemaError(f"{path.name} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise BadSchemaError(f"{path.name} is not a mapping")
    return found


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a number of JSON")
