"""two texts of a program -> which of its parts differ, by name and line. Nothing of either is executed."""

from __future__ import annotations

import ast
from collections.abc import Mapping


def program_changes(written: str, found: str) -> tuple[str, ...]:
    """The parts of `found` that are not those of `written`: "`Experts` (line 41)", "`Experts` is gone".

    Where only comments or layout differ, that is the one thing said; a text that is no Python says where.
    """
    try:
        now = _parts(found)
    except SyntaxError as error:
        return (f"line {error.lineno} is no Python: {error.msg}",)
    before = _parts(written)
    changed = tuple(
        f"{name} (line {line})" for name, (line, text) in now.items() if before.get(name, (0, ""))[1] != text
    )
    gone = tuple(f"{name} is gone" for name in before if name not in now)
    return (*changed, *gone) or ("comments or layout only",)


def _parts(program: str) -> Mapping[str, tuple[int, str]]:
    """Name of a part -> its first line and its syntax; what follows under one name belongs to it."""
    parts: dict[str, tuple[int, str]] = {}
    for statement in ast.parse(program).body:
        name = _name(statement)
        line, before = parts.get(name, (statement.lineno, ""))
        parts[name] = (line, before + ast.dump(statement))
    return parts


def _name(statement: ast.stmt) -> str:
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
            return f"`{name}`"
        case ast.Import() | ast.ImportFrom():
            return "the imports"
        case ast.Expr(value=ast.Constant(value=str())):
            return "the docstring"
        case _:
            return "the statements outside of definitions"
