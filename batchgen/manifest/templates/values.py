"""How a template sees values: what it can look into, and how a value becomes text.

No attribute of Python is ever read: a name after a dot is a key of a mapping, and nothing else. So
a column named `items` is that column, and there is nothing to break out through.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.utils import missing

from batchgen.manifest.templates.problems import TemplateProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_TEXT = 100_000
"""Characters. No field takes nearly so many, and filters upon filters could make any number."""


class Openable(ABC):
    """What a template can look into although it is no value for an input."""

    __slots__ = ()

    @abstractmethod
    def __getitem__(self, key: object) -> Any: ...

    def __iter__(self) -> Iterator[Any]:
        """Refuse: `x in jobs.still.images` would ask for one position after the other, for ever."""
        raise TemplateProblem(self.complaint)

    @property
    @abstractmethod
    def complaint(self) -> str:
        """What to say when it stands where a value should."""


class AbsentError(UndefinedError):
    """A name that is not there was used. `holder` is `missing` where it was a variable."""

    def __init__(self, holder: object, name: object, message: str) -> None:
        super().__init__(message)
        self.holder = holder
        self.name = name

    @property
    def is_variable(self) -> bool:
        return self.holder is missing


class Absent(StrictUndefined):
    """What Jinja has for a name that is not there; using it raises AbsentError."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[UndefinedError] = UndefinedError,  # noqa: ARG002 - as Jinja calls it
    ) -> None:
        super().__init__(hint, obj, name, cast("Any", partial(AbsentError, obj, name)))


def part_of(holder: Any, key: Any) -> Any:
    """Give `holder.key` or `holder[key]`; Absent where there is none."""
    require_present(holder)
    try:
        if isinstance(holder, (dict, list, str, Openable, Mapping)):
            return holder[key]
    except (LookupError, TypeError):
        return Absent(obj=holder, name=as_value(key))
    return Absent(obj=holder, name=as_value(key))


def require_present(value: object) -> None:
    """Raise AbsentError for a name that is not there."""
    if isinstance(value, Absent):
        str(value)


def as_value(value: Any) -> Any:
    """Give a value that an input can hold. Raises AbsentError, TemplateProblem."""
    if type(value) is float and not math.isfinite(value):
        raise TemplateProblem("a number in this template is too large", "write a smaller one")
    if value is None or isinstance(value, (str, int, float, dict, Mapping)):
        return value
    if isinstance(value, list):
        return [as_value(one) for one in value]
    require_present(value)
    if isinstance(value, Openable):
        raise TemplateProblem(value.complaint)
    assert isinstance(value, Undefined), "a template can reach nothing else"
    # What `… if …` gives without an `else`.
    return None


def as_text(value: Any) -> str:
    """Write a value into a text: as JSON does, but null is nothing: no prompt wants "None".

    Raises AbsentError, TemplateProblem.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    known = as_value(value)
    if isinstance(known, (int, float)):
        return str(known)
    return "" if known is None else json.dumps(known, ensure_ascii=False, default=dict)


def bounded(text: str, maker: str) -> str:
    """Raise TemplateProblem for a text that is too long."""
    if len(text) > LONGEST_TEXT:
        raise too_much(maker)
    return text


def too_much(maker: str) -> TemplateProblem:
    return TemplateProblem(f"{maker} makes too much text: at most {LONGEST_TEXT:,} characters")
