"""The fast renderer of plain names agrees with Jinja, and no template breaks anything."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.syntax import parse
from batchgen.manifest.templates.texts import compile_text, explained, with_jinja

_NAMES = st.sampled_from(["a", "b", "c", "d", "absent"])
_KEYS = st.sampled_from([".x", ".items", "['x']", "['no key']", "[0]", "[-1]", "[9]", "[true]"])
_PLACES = st.builds(lambda name, keys: name + "".join(keys), _NAMES, st.lists(_KEYS, max_size=2))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "items", "no key"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_CELLS = st.fixed_dictionaries(dict.fromkeys("abcd", _VALUES))
_PIECES = st.text(st.characters(exclude_characters="{}\r", codec="utf-8"), max_size=5)
_TEMPLATES = st.builds(
    lambda start, parts: start + "".join(f"{{{{ {place} }}}}{text}" for place, text in parts),
    _PIECES,
    st.lists(st.tuples(_PLACES, _PIECES), min_size=1, max_size=3),
)


def outcome(render: Any, cell: dict[str, Any]) -> tuple[object, ...]:
    try:
        made = render(cell)
    except TemplateProblem as exc:
        return exc.what, exc.next_step
    return made, type(made)


@given(text=_TEMPLATES, cell=_CELLS)
def test_plain_names_are_put_together_as_jinja_does(text: str, cell: dict[str, Any]) -> None:
    expected = explained(with_jinja(parse(text)), text)
    assert outcome(compile_text(text).render, cell) == outcome(expected, cell)


_TOKENS = st.sampled_from(
    [
        "{{", "}}", "{%", "%}", "{#", "#}", "a", "b", "jobs", ".", "[", "]", "(", ")", "|",
        "~", "+", "-", "*", "/", "%", "'x'", "1", "0.5", "if", "else", "endif", "not", "in",
        "is", "none", "default", "upper", "join", "format", "round", "raw", "endraw", "for",
        "self", "**", ",", ":", "=", "==", "<", "defined", "text",
    ]
)  # fmt: skip


@given(tokens=st.lists(_TOKENS, max_size=12), cell=_CELLS)
def test_no_template_ends_in_anything_but_a_value_or_a_problem(
    tokens: list[str], cell: dict[str, Any]
) -> None:
    text = " ".join(tokens)
    for whole in (text, f"{{{{ {text} }}}}", f"{{% if {text} %}}x{{% endif %}}"):
        what, *_ = outcome(lambda cell, whole=whole: compile_text(whole).render(cell), cell)
        assert json.dumps(what)
