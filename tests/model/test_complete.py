"""No public method is left out of the machine, and no argument of one."""

import ast
import inspect
from functools import cache
from pathlib import Path

import pytest

from plainstate import StateStore

RULES = [
    *Path(__file__).parent.glob("[!t]*.py"),
]

# What the machine leaves out, and why.
EXCEPTIONS = {
    "on": "the worlds open their handles with it",
}
ARGUMENTS = {
    "progress": "only tells how far a call is",
}


@cache
def public() -> dict[str, set[str]]:
    """Each public method, with its arguments."""
    methods = inspect.getmembers(StateStore, callable)
    return {
        name: set(inspect.signature(method).parameters) - {"self"}
        for name, method in methods
        if not name.startswith("_")
    }


def used() -> dict[str, set[str]]:
    """Each method of `store` in a rule, with the arguments that it is called with."""
    found: dict[str, set[str]] = {}
    for node in (node for path in RULES for node in ast.walk(ast.parse(path.read_text()))):
        if is_method(node):
            found.setdefault(node.attr, set())
        elif isinstance(node, ast.Call) and is_method(node.func):
            names = list(inspect.signature(getattr(StateStore, node.func.attr)).parameters)
            passed = found.setdefault(node.func.attr, set())
            passed.update(names[1 : len(node.args) + 1])
            passed.update(keyword.arg for keyword in node.keywords if keyword.arg)
    return found


def is_method(node: ast.AST) -> bool:
    """Whether this is `store.<a public method>`."""
    is_ours = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return is_ours and node.value.id == "store" and node.attr in public()


def test_every_method_is_in_a_rule():
    missing = public().keys() - used().keys() - EXCEPTIONS.keys()
    assert not missing


@pytest.mark.parametrize("name", sorted(public().keys() - EXCEPTIONS.keys()))
def test_every_argument_is_passed(name: str):
    assert public()[name] - used()[name] - ARGUMENTS.keys() == set()


def test_exceptions_are_exceptions():
    assert EXCEPTIONS.keys() <= public().keys() - used().keys()
