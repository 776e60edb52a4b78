"""Source of a program -> the same source, proven to use nothing but what `allowed` lists.

The last line of defence: emission goes through typed holes, and a program that escaped them anyway is never written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from moec.compiler.emit.allowed import INITIALIZER, LIBRARIES, LIBRARY_NAMES, NODES, RUNTIME, runtime_module_of

_DUNDERS = frozenset({"__init__", "__call__"})
_BUILTINS = frozenset({"tuple", "__name__"})


class ForbiddenSource(Exception):
    """The emitter produced source that is not on the allow-list: a fault of moec, not of the spec."""


def checked(source: str) -> str:
    """`source`, parsed and walked. Errors: ForbiddenSource names the first lines that use something else."""
    tree = ast.parse(source)
    defined = frozenset(_defined(tree))
    faults = [f"line {line}: {fault}" for node in ast.walk(tree) for line, fault in _faults(node, defined)]
    if faults:
        raise ForbiddenSource("; ".join(faults[:5]))
    return source


def _defined(tree: ast.Module) -> Iterator[str]:
    """Every name that the program itself gives a value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _faults(node: ast.AST, defined: frozenset[str]) -> Iterator[tuple[int, str]]:
    line = getattr(node, "lineno", 0)
    if type(node) not in NODES:
        yield line, f"{type(node).__name__} is not used in programs"
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((line, fault) for fault in _import_faults(node))
    elif isinstance(node, ast.Attribute):
        yield from ((line, fault) for fault in _attribute_faults(node))
    elif isinstance(node, ast.Name) and not _is_known(node.id, defined):
        yield line, f"unknown name {node.id}"
    elif isinstance(node, ast.FunctionDef) and node.name.startswith("_") and node.name not in _DUNDERS:
        yield line, f"method {node.name}"
    elif isinstance(node, ast.Call):
        yield from ((line, fault) for fault in _call_faults(node, defined))


def _is_known(name: str, defined: frozenset[str]) -> bool:
    return name in defined or name in LIBRARIES or name in _BUILTINS or runtime_module_of(name) is not None


def _import_faults(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if any(ast.unparse(node) == library.text for library in LIBRARIES.values()):
        return
    names = RUNTIME.get(node.module or "", {}) if isinstance(node, ast.ImportFrom) and not node.level else {}
    yield from (f"import of {alias.name}" for alias in node.names if alias.name not in names or alias.asname)


def _attribute_faults(node: ast.Attribute) -> Iterator[str]:
    dotted = _dotted(node)
    root = dotted.partition(".")[0]
    if node.attr.startswith("_"):
        yield f"attribute {node.attr}"
    elif root in LIBRARIES and not any(name == dotted or name.startswith(f"{dotted}.") for name in LIBRARY_NAMES):
        yield f"{dotted} is not used in programs"


def _dotted(node: ast.expr) -> str:
    """`optax.contrib.muon`; "" where it does not start with a name."""
    if isinstance(node, ast.Name):
        return node.id
    inner = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if isinstance(node, ast.Attribute) and inner else ""


def _call_faults(node: ast.Call, defined: frozenset[str]) -> Iterator[str]:
    keywords = [keyword.arg for keyword in node.keywords]
    if None in keywords:
        yield "** in a call"
    if isinstance(node.func, ast.Name):
        parameters = _parameters(node.func.id)
        yield from (
            f"{node.func.id}({word}=)" for word in keywords if parameters is not None and word not in parameters
        )
    elif isinstance(node.func, ast.Attribute):
        yield from _method_faults(node.func, defined)
    else:
        yield "call of a value"


def _parameters(name: str) -> tuple[str, ...] | None:
    """The parameters of a name of the runtime; None for what the program defines and for libraries."""
    module = runtime_module_of(name)
    return RUNTIME[module][name] if module else None


def _method_faults(function: ast.Attribute, defined: frozenset[str]) -> Iterator[str]:
    """A method is one of the initializer, a module or a method of the program, or a function of a library."""
    root, _, rest = _dotted(function).partition(".")
    if root in LIBRARIES:
        return
    own = root in ("self", "model") and "." not in rest
    if not own and not (root == "init" and rest in INITIALIZER):
        yield f"call of {ast.unparse(function)}"
    if root == "model" and rest not in defined:
        yield f"call of model.{rest}"
