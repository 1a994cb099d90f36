"""How a template sees values: which parts it can access, and how a value becomes text.

No Python attribute is ever read: a name after a dot is always a key of a mapping. So a column named
`items` is that column, and a template has no way out of the sandbox.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.utils import missing

from batchgen.manifest.templates.problems import TemplateProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_TEXT = 100_000
"""Characters. No field takes nearly as many, but chained filters could make any number."""


class Namespace(ABC):
    """Something a template can access parts of, but that is not itself a value for an input."""

    __slots__ = ()

    @abstractmethod
    def __getitem__(self, key: object) -> Any: ...

    def __iter__(self) -> Iterator[Any]:
        """Refuse: `x in jobs.still.images` would try one index after another, for ever."""
        raise TemplateProblem(self.misuse)

    @property
    @abstractmethod
    def misuse(self) -> str:
        """The message if it is used as a value."""


class WhyAbsent(NamedTuple):
    what: str
    hint: str


class PartialRow(dict[str, Any]):
    """A row without some of its variables: `why_absent` explains each of these."""

    def __init__(self, values: Mapping[str, Any], why_absent: Mapping[str, WhyAbsent]) -> None:
        super().__init__(values)
        self.why_absent = why_absent


class AbsentError(UndefinedError):
    """A missing name was used. `holder` is `missing` if the name was a variable."""

    def __init__(self, holder: object, name: object, message: str) -> None:
        super().__init__(message)
        self.holder = holder
        self.name = name

    @property
    def is_variable(self) -> bool:
        return self.holder is missing


class Absent(StrictUndefined):
    """Jinja's value for a missing name; using it raises AbsentError."""

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
    """Return `holder.key` or `holder[key]`; Absent if there is none."""
    require_present(holder)
    try:
        if isinstance(holder, (dict, list, str, Namespace, Mapping)):
            return holder[key]
    except (LookupError, TypeError):
        return Absent(obj=holder, name=as_value(key))
    return Absent(obj=holder, name=as_value(key))


def require_present(value: object) -> None:
    """Raise AbsentError for a missing name."""
    if isinstance(value, Absent):
        str(value)


def as_value(value: Any) -> Any:
    """Return a value that an input can hold. Raises AbsentError, TemplateProblem."""
    if type(value) is float and not math.isfinite(value):
        raise TemplateProblem("a number in this template is too large", "write a smaller one")
    if value is None or isinstance(value, (str, int, float, dict, Mapping)):
        return value
    if isinstance(value, list):
        return [as_value(one) for one in value]
    require_present(value)
    if isinstance(value, Namespace):
        raise TemplateProblem(value.misuse)
    assert isinstance(value, Undefined), "a template can reach nothing else"
    # The result of `… if …` without an `else`.
    return None


def as_text(value: Any) -> str:
    """Write a value as JSON does, but null as an empty text: no prompt wants "None".

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
        raise too_much_text(maker)
    return text


def too_much_text(maker: str) -> TemplateProblem:
    return TemplateProblem(f"{maker} makes too much text: at most {LONGEST_TEXT:,} characters")
