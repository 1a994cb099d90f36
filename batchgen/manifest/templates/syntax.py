"""Which templates are allowed: Jinja's grammar, cut down to putting values together.

No loops, no calls, no assignments: nothing that makes much out of little.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from jinja2 import TemplateSyntaxError, nodes
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from batchgen.manifest.templates.filters import SLICER, TEXT_JOINER, build_filters, build_tests
from batchgen.manifest.templates.problems import (
    COMMENT_HINT,
    ForbiddenConstructError,
    TemplateProblem,
    syntax_problem,
    with_braces_hint,
)
from batchgen.manifest.templates.values import Absent, as_text, as_value, part_of, require_present
from batchgen.models.messages import format_value
from batchgen.text import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2.runtime import Context

LONGEST_TEMPLATE = 20_000
"""Characters. Compiled templates stay in memory, so their size is limited."""
DEEPEST = 50
"""Levels of nesting, well within what Python's own compiler can handle."""
JOBS = "jobs"

_ITEM_FILTERS = frozenset({"list", "map", "reject", "rejectattr", "select", "selectattr"})
"""Well-known filters of Jinja that work on each item of a list."""
_ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod)
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr,
    nodes.Getitem, nodes.Filter, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.Test,
    nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Keyword, nodes.Slice, nodes.Neg, nodes.Pos,
    nodes.List, *_ARITHMETIC,
)  # fmt: skip


class _Environment(SandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        return part_of(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return part_of(obj, argument)

    def call_binop(self, _: Context, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            require_present(side)
            if isinstance(side, bool) or not isinstance(side, int | float):
                what = f"'{operator}' works on numbers only, not on {format_value(as_value(side))}"
                raise TemplateProblem(what, "join text with ~; turn text into a number with |float")
        return as_value(self.binop_table[operator](left, right))


@lru_cache(maxsize=1)
def environment() -> SandboxedEnvironment:
    # Jinja's optimizer writes results as Python's repr: `inf`, which then is an unknown name.
    made = _Environment(
        undefined=Absent,
        autoescape=False,
        finalize=as_text,
        keep_trailing_newline=True,
        optimized=False,
    )
    made.globals.clear()
    made.filters.clear()
    made.filters.update(build_filters(made))
    made.tests.clear()
    made.tests.update(build_tests())
    return made


def parse(text: str) -> nodes.Template:
    """Return the syntax tree of an allowed template. Raises TemplateProblem."""
    if len(text) > LONGEST_TEMPLATE:
        raise TemplateProblem(f"a template has at most {LONGEST_TEMPLATE:,} characters")
    try:
        tree = environment().parse(text)
    except TemplateSyntaxError as exc:
        raise syntax_problem(text, exc) from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    except ValueError as exc:
        raise TemplateProblem("a number in this template is too long") from exc
    _check_comments(text)
    _check(tree)
    _check_distinct(used_names(tree))
    made = _OperatorsAsFilters().visit(tree)
    assert isinstance(made, nodes.Template)
    made.set_environment(environment())
    return made


def whole_expression(tree: nodes.Template) -> nodes.Expr | None:
    """The expression that is the whole template; None if there is anything else."""
    match tree.body:
        case [nodes.Output(nodes=[nodes.TemplateData()])]:
            return None
        case [nodes.Output(nodes=[expression])]:
            return expression
    return None


def all_nodes(tree: nodes.Node) -> Iterator[nodes.Node]:
    """Yield every node, roughly in the order of the text. Raises TemplateProblem if too deep."""
    todo = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        if depth > DEEPEST:
            raise _too_deep()
        yield node
        todo.extend((child, depth + 1) for child in reversed([*node.iter_child_nodes()]))


def used_names(tree: nodes.Template) -> frozenset[str]:
    return frozenset(node.name for node in tree.find_all(nodes.Name))


def guarded_names(tree: nodes.Template) -> frozenset[str]:
    """The names that may be absent: those used with `default` or `is defined`."""
    guards = [node for node in tree.find_all(nodes.Filter) if node.name in {"default", "d"}]
    tests = [node for node in tree.find_all(nodes.Test) if node.name in {"defined", "undefined"}]
    held = [node.node for node in (*guards, *tests)]
    return frozenset(node.name for node in held if isinstance(node, nodes.Name))


def used_jobs(tree: nodes.Template) -> frozenset[str]:
    """The names in `jobs.NAME` and `jobs['NAME']`. Raises TemplateProblem where one is computed."""
    found = [
        key_of(node)
        for node in lookups(tree)
        if isinstance(node.node, nodes.Name) and node.node.name == JOBS
    ]
    written = [name for name in found if isinstance(name, str)]
    if len(written) != sum(node.name == JOBS for node in tree.find_all(nodes.Name)):
        hint = "write jobs.NAME.image, or jobs['any name'].image; needs: can give a job a name"
        raise TemplateProblem("the name after 'jobs' must be written out", hint)
    return frozenset(written)


def lookups(tree: nodes.Template) -> list[nodes.Getattr | nodes.Getitem]:
    return [*tree.find_all(nodes.Getattr), *tree.find_all(nodes.Getitem)]


def key_of(node: nodes.Getattr | nodes.Getitem) -> object:
    """The key written after the dot or in the brackets; None if it is computed."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) else None


def _check(tree: nodes.Template) -> None:
    for node in all_nodes(tree):
        if not isinstance(node, _ALLOWED):
            raise ForbiddenConstructError(type(node).__name__.lower(), _filter_hint(node))
        # Jinja keeps this name for the template itself.
        if isinstance(node, nodes.Name) and node.name == "self":
            raise ForbiddenConstructError("self")
        if isinstance(node, nodes.Const):
            _check_constant(node.value)
        if isinstance(node, nodes.Filter):
            _check_known("filter", node.name, environment().filters)
        if isinstance(node, nodes.Test):
            _check_known("test", node.name, environment().tests)


def _check_constant(value: object) -> None:
    """Refuse what no input can hold: `1e400`, which is infinite, or half a character."""
    as_value(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            what = "text in this template has half a character (a lone surrogate)"
            raise TemplateProblem(what, "write the character itself") from exc


def _filter_hint(node: nodes.Node) -> str | None:
    """`urls.split('|')` is how Python writes `urls | split('|')`."""
    match node:
        case nodes.Call(node=nodes.Getattr(attr=name)) if name in environment().filters:
            return f"write it as a filter: {{{{ … | {name} }}}}"
    return None


def _check_comments(text: str) -> None:
    """Refuse comments: they would vanish, and an author who writes `{#` may not know Jinja."""
    if "{#" not in text:
        return
    if any(kind == "comment_begin" for _, kind, _ in environment().lex(text)):
        what = "'{#' begins a comment of the template: its content would be lost"
        raise TemplateProblem(what, COMMENT_HINT)


def _check_distinct(names: frozenset[str]) -> None:
    """Refuse names that Python treats as equal: both would get the value of one of them."""
    if len({normalize("NFKC", name) for name in names}) < len(names):
        hint = "columns of rows can be written row['…']"
        raise TemplateProblem("two names in this template differ only in their script", hint)


def _check_known(kind: str, name: str, known: Any) -> None:
    if name not in known:
        names = [one for one in known if one.isidentifier()]
        hint = did_you_mean(name, names)
        if kind == "filter" and name in _ITEM_FILTERS:
            hint = "write the list out: '{{ b or none }}' leaves an item out where b is empty"
        elif nearest(name, names) is None:
            hint = with_braces_hint(hint)
        raise TemplateProblem(f"this template cannot be parsed: No {kind} named '{name}'.", hint)


def _too_deep() -> TemplateProblem:
    return TemplateProblem("this template is nested too deeply")


class _OperatorsAsFilters(NodeTransformer):
    """Replaces operators that Jinja passes to Python unchanged with our own filters.

    This limits the length of `a ~ b`, makes it write values as `{{ }}` does, and makes `5[1:]` a
    problem of the template instead of a warning of Python's compiler.
    """

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - Jinja's name
        first, *others = [self.visit(one) for one in node.nodes]
        return _filter(TEXT_JOINER, first, others, node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802 - Jinja's name
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        ends = (node.arg.start, node.arg.stop, node.arg.step)
        return _filter(SLICER, node.node, [end or nodes.Const(None) for end in ends], node)


def _filter(
    name: str, value: nodes.Expr, args: list[nodes.Expr], replaced: nodes.Expr
) -> nodes.Filter:
    return nodes.Filter(value, name, args, [], None, None, lineno=replaced.lineno)
