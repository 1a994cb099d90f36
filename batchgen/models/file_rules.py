"""Does the file behind a URL follow the rules on the model's page? Pure.

Tolerant where the page is unclear: a refusal by the vendor is cheap, but ours stops a run.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from batchgen.jobs import JsonObject
    from batchgen.models.catalog import Model
    from batchgen.models.fields import Field, FileRule

FileKind: TypeAlias = Literal["image", "video", "audio"]
_KINDS: Mapping[str, FileKind] = {
    "image_uri": "image",
    "video_uri": "video",
    "audio_uri": "audio",
}

MEGABYTES = (1_000_000, 1_048_576)
"""No page says which megabyte it means, so a file must exceed the limit in both."""

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file. `width` and `height` in pixels, of an image."""

    media_type: str
    width: int | None
    height: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """`sentence` is quoted from the page; `got` is the file's value, e.g. `6.1 MB`."""

    sentence: str
    got: str

    def __str__(self) -> str:
        return f"{self.sentence} (it has {self.got})"


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A place in an input that takes the URL of a file, and the page's rules for that file."""

    path: tuple[str | int, ...]
    kind: FileKind
    rules: tuple[FileRule, ...]


def has_only_urls(keys: Iterable[FileKey], values: JsonObject) -> bool:
    """A quick check, for most inputs: whether files are named by https URLs alone, if at all."""
    for key in keys:
        value = values.get(key.name)
        if value is None:
            continue
        if key.inner:
            return False
        for text in value if isinstance(value, list) else (value,):
            # A slice takes half as long as `startswith`.
            if not isinstance(text, str) or text[:8] != "https://":
                return False
    return True


def files_of(model: Model, values: JsonObject) -> Iterator[tuple[FilePlace, str]]:
    """Each place of an input that takes a file, inner ones too, with the text that is there.

    Texts and lists that are at each other's places are left out: the schema refuses them.
    """
    if keys := file_keys_of(model):
        yield from _within(keys, values, ())


@dataclass(frozen=True, slots=True, eq=False)
class FileKey:
    """A key that takes files, in `lists` lists; or one of a mapping with such keys inside."""

    name: str
    kind: FileKind | None
    lists: int
    rules: tuple[FileRule, ...]
    inner: tuple[FileKey, ...]


@lru_cache(maxsize=256)
def file_keys_of(model: Model) -> tuple[FileKey, ...]:
    """The keys of an input that take files."""
    # Kept, since a million inputs are looked through.
    return tuple(_file_keys(model.fields))


def _file_keys(fields: Iterable[Field]) -> Iterator[FileKey]:
    for field in fields:
        kind = _KINDS.get(field.type.rpartition(" ")[2])
        inner = () if kind else tuple(_file_keys(field.fields))
        if kind or inner:
            lists = field.type.count("list of ")
            yield FileKey(field.name, kind, lists, field.file_rules, inner)


def _within(
    keys: Iterable[FileKey], values: object, path: tuple[str | int, ...]
) -> Iterator[tuple[FilePlace, str]]:
    if not isinstance(values, Mapping):
        return
    for key in keys:
        if key.name not in values:
            continue
        for at, value in _items(values[key.name], (*path, key.name), key.lists):
            if key.kind is None:
                yield from _within(key.inner, value, at)
            elif isinstance(value, str):
                yield FilePlace(at, key.kind, key.rules), value


def _items(
    value: Any, path: tuple[str | int, ...], lists: int
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The value itself, or what is in so many lists of lists."""
    if lists == 0:
        yield path, value
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _items(one, (*path, index), lists - 1)


def image_keys(model: Model) -> tuple[str, ...]:
    """The keys of an input that take URLs of images."""
    return tuple(field.name for field in model.fields if "image_uri" in field.type.split())


def rules_of(model: Model, key: str) -> tuple[FileRule, ...]:
    """The page's rules for files under a key of the input."""
    return next((field.file_rules for field in model.fields if field.name == key), ())


def broken_rules(rules: Iterable[FileRule], facts: FileFacts) -> list[BrokenRule]:
    """The broken rules, one per published sentence, since some sentences cover two rules.

    A quantity that is unknown here, or of the file, breaks no rule.
    """
    broken = {rule.sentence: _got(rule, facts) for rule in rules if not _keeps(rule, facts)}
    return [BrokenRule(sentence, got) for sentence, got in broken.items()]


def _keeps(rule: FileRule, facts: FileFacts) -> bool:
    readings = _readings(rule.quantity, facts)
    return not readings or any(_OPERATORS[rule.operator](value, rule.limit) for value in readings)


def _readings(quantity: str, facts: FileFacts) -> tuple[float, ...]:
    """Every value that the vendor's quantity may mean."""
    match quantity, facts:
        case "file_size_mb", FileFacts(bytes=int() as size):
            return tuple(size / unit for unit in MEGABYTES)
        case "width_pixels", FileFacts(width=int() as width):
            return (width,)
        case "height_pixels", FileFacts(height=int() as height):
            return (height,)
        case "width/height", FileFacts(width=int() as width, height=int() as height):
            return (width / height,)
        case _:
            return ()


def _got(rule: FileRule, facts: FileFacts) -> str:
    if rule.quantity == "file_size_mb" and facts.bytes is not None:
        return f"{facts.bytes / MEGABYTES[0]:.3g} MB"
    return f"{facts.width}x{facts.height} pixels"
