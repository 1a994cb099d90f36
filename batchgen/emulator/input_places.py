"""Where an input takes files, and what the page says about them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batchgen.emulator.asked import Kind
    from batchgen.emulator.media_checks import Rule

FORMATS: Mapping[str, Kind] = {
    "image_uri": "image",
    "video_uri": "video",
    "audio_uri": "audio",
}


@dataclass(frozen=True, slots=True)
class InputPlace:
    """`path` leads to the place: keys and indexes. `text` is what the input has there."""

    path: tuple[str | int, ...]
    kind: Kind
    rules: tuple[Rule, ...]
    text: str

    def __str__(self) -> str:
        return ".".join(map(str, self.path))


def input_places(schema: Mapping[str, Any], value: Any) -> list[InputPlace]:
    """Return each place once, even if several parts of a schema describe it."""
    found: dict[tuple[str | int, ...], InputPlace] = {}
    for place in _places(schema, value, (), ()):
        found.setdefault(place.path, place)
    return list(found.values())


def _places(
    schema: Mapping[str, Any], value: Any, path: tuple[str | int, ...], outer: tuple[Rule, ...]
) -> Iterator[InputPlace]:
    """`outer` are the rules of the list that the value is in."""
    rules = (*outer, *schema.get("validations", ()))
    kind = FORMATS.get(str(schema.get("format", "")))
    match value:
        case str() if kind is not None:
            yield InputPlace(path, kind, rules, value)
        case list():
            for index, one in enumerate(value):
                yield from _places(_item_schema(schema), one, (*path, index), rules)
        case dict():
            for key, part in schema.get("properties", {}).items():
                if key in value:
                    yield from _places(part, value[key], (*path, key), ())
    for keyword in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(keyword, ()):
            yield from _places(part, value, path, rules)


def _item_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The items of a list: `image_uris` at a list is `image_uri` at its items."""
    items: Mapping[str, Any] = schema.get("items", {})
    one = str(schema.get("format", "")).removesuffix("s")
    return {"format": one, **items} if one in FORMATS else items
