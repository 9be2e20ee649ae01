"""The layers hold, and the core is pure.

The contracts between modules are in `pyproject.toml` and checked by import-linter.  What it cannot
see is checked here: builtins that touch the world, clocks behind harmless modules, and imports
that would slow every start.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
CORE = ROOT / "src" / "plainstate" / "core"

# Modules that reach files, the network, other processes, a clock, a random source or a log.
IMPURE_MODULES = {
    *("asyncio", "concurrent", "glob", "io", "logging", "mmap", "multiprocessing", "os"),
    *("pathlib", "random", "secrets", "shutil", "signal", "socket", "sqlite3", "subprocess"),
    *("tempfile", "threading", "time", "urllib", "uuid"),
}
IMPURE_BUILTINS = {"breakpoint", "eval", "exec", "input", "open", "print"}
CLOCKS = {"now", "today", "utcnow"}

# Modules that take longer to import than all of the core.
SLOW_MODULES = {"asyncio", "attr", "attrs", "dataclasses", "inspect", "pydantic"}

# A lock is neither input nor output: the id maker stays pure with it.
EXCEPTIONS = {("ids.py", "threading")}


def imported(nodes: Iterator[ast.AST]) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every module that is imported."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]


def runs_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it that are executed when the module is imported."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from runs_at_import(other)
            continue
        yield from runs_at_import(child)


def impurities(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of everything in a core module that touches the world."""
    yield from ((line, name) for line, name in imported(ast.walk(tree)) if name in IMPURE_MODULES)
    yield from (
        (line, name) for line, name in imported(runs_at_import(tree)) if name in SLOW_MODULES
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in IMPURE_BUILTINS:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            yield node.lineno, node.attr


def test_import_contracts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(ROOT)
    status = lint_imports(no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_core_is_pure():
    files = sorted(CORE.rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files
        for line, name in impurities(ast.parse(path.read_text(encoding="utf-8")))
        if (path.name, name) not in EXCEPTIONS
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "bad",
    [
        "import os.path",
        "from time import time_ns",
        "def f():\n    import random",
        "import dataclasses",
        "try:\n    from pydantic import BaseModel\nexcept ImportError: ...",
        "class C:\n    import inspect",
        "open('x')",
        "def f():\n    print(1)",
        "from datetime import datetime\ndatetime.now(None)",
    ],
)
def test_impurity_is_seen(bad: str):
    assert list(impurities(ast.parse(bad)))


@pytest.mark.parametrize(
    "good",
    [
        "import json\nfrom .names import check",
        "def f():\n    import dataclasses",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pydantic",
    ],
)
def test_purity_is_seen(good: str):
    assert not list(impurities(ast.parse(good)))
