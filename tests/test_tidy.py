"""The style law over `src/`, which a line of code cannot silence for itself.

A rule is a function that takes a module and yields complaints, each with its line.  Below the
rules, each is shown to bite.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

SOURCE = Path(__file__).parent.parent / "src"

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_PUBLIC_METHODS = 30


class Module(NamedTuple):
    """One source file."""

    text: str
    tree: ast.Module


Complaints: TypeAlias = Iterator[tuple[int, str]]
Rule: TypeAlias = Callable[[Module], Complaints]
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def parse(text: str) -> Module:
    return Module(text, ast.parse(text))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def is_public(node: ast.AST) -> bool:
    return isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")


def docstring_lines(node: Function) -> int:
    if ast.get_docstring(node) is None:
        return 0
    return node.body[0].end_lineno - node.body[0].lineno + 1


def methods(node: ast.ClassDef) -> set[str]:
    return {part.name for part in node.body if isinstance(part, Function)}


def is_protocol(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)


def protocols(modules: Iterable[Module]) -> list[set[str]]:
    """The methods of each protocol."""
    nodes = (node for module in modules for node in ast.walk(module.tree))
    return [methods(node) for node in nodes if is_protocol(node)]


FILES = {path: parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
PROTOCOLS = protocols(FILES.values())


def described_by_protocol(node: ast.ClassDef) -> set[str]:
    """Methods that need no docstring: the class has all methods of a protocol."""
    if is_protocol(node):
        return set()
    return set().union(*(protocol for protocol in PROTOCOLS if protocol <= methods(node)))


def is_second_definition(node: Function | ast.ClassDef) -> bool:
    """An overload or a setter: the name has its docstring elsewhere."""
    decorators = map(ast.unparse, node.decorator_list)
    return any(text == "overload" or text.endswith(".setter") for text in decorators)


# --- the rules ---------------------------------------------------------------


def module_is_short(module: Module) -> Complaints:
    lines = len(module.text.splitlines())
    if lines > MAX_MODULE_LINES and not is_generated(module):
        yield 1, f"{lines} lines, at most {MAX_MODULE_LINES}"


def functions_are_short(module: Module) -> Complaints:
    for node in functions(module.tree):
        lines = node.end_lineno - node.lineno + 1 - docstring_lines(node)
        if lines > MAX_FUNCTION_LINES and not is_generated(module):
            yield node.lineno, f"{node.name}: {lines} lines, at most {MAX_FUNCTION_LINES}"


def classes_are_small(module: Module) -> Complaints:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and not is_generated(module):
            public = sum(not name.startswith("_") for name in methods(node))
            if public > MAX_PUBLIC_METHODS:
                yield node.lineno, f"{node.name}: {public} methods, at most {MAX_PUBLIC_METHODS}"


def public_names_have_docstrings(module: Module) -> Complaints:
    if ast.get_docstring(module.tree) is None:
        yield 1, "no module docstring"
    yield from undescribed(module.tree.body, set())


def undescribed(body: list[ast.stmt], exempt: set[str]) -> Complaints:
    for node in filter(is_public, body):
        described = ast.get_docstring(node) or node.name in exempt or is_second_definition(node)
        if not described:
            yield node.lineno, f"{node.name}: no docstring"
        if isinstance(node, ast.ClassDef):
            yield from undescribed(node.body, described_by_protocol(node))


def nothing_is_left_to_do(module: Module) -> Complaints:
    yield from matches(module, r"\b(TODO|FIXME|XXX)\b", "finish it or write it down elsewhere")


def suppressions_name_their_rule(module: Module) -> Complaints:
    bare_noqa = r"#\s*(ruff:\s*|flake8:\s*)?noqa\b(?!:\s*[A-Z]+\d)"
    bare_ignore = r"#\s*type:\s*ignore\b(?!\[)|#\s*mypy:\s*ignore-errors"
    yield from matches(module, f"(?i:{bare_noqa}|{bare_ignore})", "say which rule and why")


def all_is_sorted(module: Module) -> Complaints:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            # CONSTANTS, then Classes, then functions: ruff sorts them so (RUF022).
            if names != sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n)):
                yield node.lineno, "__all__ is not sorted"


def is_generated(module: Module) -> bool:
    """Only the size of a generated file is nobody's concern."""
    return any("GENERATED" in line for line in module.text.splitlines()[:5])


def matches(module: Module, pattern: str, complaint: str) -> Complaints:
    for number, line in enumerate(module.text.splitlines(), 1):
        if found := re.search(pattern, line):
            yield number, f"{found[0]}: {complaint}"


# --- the tests ---------------------------------------------------------------

RULES = [
    module_is_short,
    functions_are_short,
    classes_are_small,
    public_names_have_docstrings,
    nothing_is_left_to_do,
    suppressions_name_their_rule,
    all_is_sorted,
]


@pytest.mark.parametrize("rule", RULES)
def test_source_keeps_the_law(rule: Rule):
    assert FILES
    complaints = [
        f"{path.relative_to(SOURCE.parent)}:{line}: {complaint}"
        for path, module in FILES.items()
        for line, complaint in rule(module)
    ]
    assert not complaints, "\n".join(complaints)


def test_a_protocol_describes_its_implementations(monkeypatch: pytest.MonkeyPatch):
    protocol = parse('class P(Protocol):\n    def f(self):\n        """F."""\n')
    bare = protocol._replace(tree=parse(UNDOCUMENTED_METHOD.replace("C:", "C(Protocol):")).tree)
    implementation = parse(UNDOCUMENTED_METHOD)
    assert list(public_names_have_docstrings(implementation))
    monkeypatch.setattr(f"{__name__}.PROTOCOLS", protocols([protocol]))
    assert not list(public_names_have_docstrings(implementation))
    assert list(public_names_have_docstrings(bare))


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES
LONG_DOCSTRING = 'def f():\n    """Says\n' + "    much\n" * MAX_FUNCTION_LINES + '    """\n'
MANY_METHODS = "class C:\n" + "".join(
    f"    def m{n}(self): ...\n" for n in range(MAX_PUBLIC_METHODS + 1)
)
UNDOCUMENTED_METHOD = '"""M."""\nclass C:\n    """C."""\n    def f(self): ...\n'


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        (module_is_short, "x = 1\n" * (MAX_MODULE_LINES + 1)),
        (functions_are_short, LONG_FUNCTION),
        (functions_are_short, LONG_FUNCTION.replace("def", "async def")),
        (classes_are_small, MANY_METHODS),
        (public_names_have_docstrings, "x = 1\n"),
        (public_names_have_docstrings, '"""M."""\ndef f(): ...\n'),
        (public_names_have_docstrings, '"""M."""\nclass C: ...\n'),
        (public_names_have_docstrings, UNDOCUMENTED_METHOD),
        (nothing_is_left_to_do, "x = 1  # TODO: more\n"),
        (suppressions_name_their_rule, "x = 1  # noqa\n"),
        (suppressions_name_their_rule, "# ruff: noqa\n"),
        (suppressions_name_their_rule, "x = 1  # type: ignore\n"),
        (all_is_sorted, '__all__ = ["b", "a"]\n'),
        (all_is_sorted, '__all__ = ["func", "Class"]\n'),
    ],
)
def test_rule_bites(rule: Rule, bad: str):
    assert list(rule(parse(bad)))


@pytest.mark.parametrize(
    ("rule", "good"),
    [
        (module_is_short, "# GENERATED\n" + "x = 1\n" * MAX_MODULE_LINES),
        (functions_are_short, LONG_FUNCTION.removesuffix("    x = 1\n")),
        (functions_are_short, LONG_DOCSTRING),
        (classes_are_small, MANY_METHODS.replace("m0", "_m")),
        (public_names_have_docstrings, UNDOCUMENTED_METHOD.replace("def f", "def _f")),
        (suppressions_name_their_rule, "x = 1  # noqa: E741\ny = 2  # type: ignore[misc]\n"),
        (all_is_sorted, '__all__ = ["MAX", "Class", "func"]\n'),
    ],
)
def test_rule_lets_good_code_pass(rule: Rule, good: str):
    assert not list(rule(parse(good)))
