"""The tests of templates, as in `{% if index is even %}`: Jinja's, on what they are made for.

`text is even` is a format string to Python, and `%9999999d` would take all memory.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any, cast

from jinja2.tests import TESTS

from batchgen.manifest.templates.problems import NUMBER_HINT, TemplateProblem
from batchgen.manifest.templates.values import as_value, require_present
from batchgen.models.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable

_ON_PRESENCE = ("defined", "undefined")
_ON_NUMBERS = ("divisibleby", "even", "odd")
_ON_VALUES = (
    "boolean", "false", "float", "in", "integer", "mapping", "none", "number", "string", "true",
)  # fmt: skip


def build_tests() -> dict[str, Callable[..., bool]]:
    return {name: _guarded(name) for name in (*_ON_PRESENCE, *_ON_NUMBERS, *_ON_VALUES)}


def _guarded(name: str) -> Callable[..., bool]:
    test = cast("Callable[..., bool]", TESTS[name])

    def use(value: Any, *args: Any, **kwargs: Any) -> bool:
        try:
            signature(test).bind(value, *args, **kwargs)
        except TypeError as exc:
            raise TemplateProblem(f"the test '{name}' cannot take these arguments") from exc
        if name not in _ON_PRESENCE:
            require_present(value)
        if name in _ON_NUMBERS:
            for one in (value, *args, *kwargs.values()):
                _require_number(name, one)
        return test(value, *args, **kwargs)

    return use


def _require_number(name: str, value: Any) -> None:
    require_present(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        what = f"the test '{name}' works on numbers only, not on {shown(as_value(value))}"
        raise TemplateProblem(what, NUMBER_HINT)
