"""Plan -> the source of program.py, checked. The parts in the order in which a reader meets them."""

from __future__ import annotations

import ast

from moec.compiler.emit.allowed import LIBRARIES, RUNTIME
from moec.compiler.emit.attention import attention_class
from moec.compiler.emit.blocks import block_class, has_shared_experts, period_class
from moec.compiler.emit.check import checked
from moec.compiler.emit.depth_routing import routed_block_class
from moec.compiler.emit.experts import experts_class
from moec.compiler.emit.feed_forward import ffn_class, shared_experts_class
from moec.compiler.emit.header import header
from moec.compiler.emit.holes import Code, code, identifier, lines, listed, qualified
from moec.compiler.emit.layout import fits
from moec.compiler.emit.mesh import mesh
from moec.compiler.emit.model import model_class
from moec.compiler.emit.objective import after_step_function, objective_function
from moec.compiler.emit.optimizer import learning_rate_function, optimizer_function
from moec.compiler.emit.program import program
from moec.compiler.emit.program_hash import hash_line
from moec.compiler.places import Places
from moec.compiler.plan import Plan


def emit_program(plan: Plan, places: Places, identity: str) -> str:
    """The text of program.py. `places` are the lines of resolved.moe, `identity` is that file's hash."""
    parts = [part for part in _parts(plan, places, identity) if part is not None]
    body = "\n\n\n".join(part.text for part in parts)
    rest = f"\n\n{imports(body).text}\n\n{body}\n"
    vouched = hash_line(f"{header(plan).text}{rest}")
    return checked(f"{header(plan, vouched).text}{rest}")


def _parts(plan: Plan, places: Places, identity: str) -> tuple[Code | None, ...]:
    routed, moe = plan.stack.numbers_of("routed"), plan.stack.numbers_of("moe")
    dense = plan.stack.numbers_of("dense") or routed
    return (
        mesh(plan, places),
        attention_class(plan, places),
        ffn_class(plan, places) if dense else None,
        experts_class(plan, places) if moe else None,
        shared_experts_class(plan, places) if has_shared_experts(plan) else None,
        block_class(plan, places, "dense") if dense else None,
        block_class(plan, places, "moe") if moe else None,
        routed_block_class(plan, places) if routed else None,
        period_class(plan) if plan.stack.scan else None,
        model_class(plan, places),
        objective_function(plan, places),
        after_step_function(plan, places),
        learning_rate_function(plan, places),
        optimizer_function(plan, places),
        program(plan, places, identity),
    )


def imports(body: str) -> Code:
    """The sorted imports of all that `body` uses, and nothing else."""
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    libraries = [line for name, line in LIBRARIES.items() if name in used]
    runtime = [_runtime_import(module, [name for name in names if name in used]) for module, names in RUNTIME.items()]
    return lines(*libraries, *runtime)


def _runtime_import(module: str, names: list[str]) -> Code | None:
    if not names:
        return None
    path = qualified(module)
    ordered = [identifier(name) for name in sorted(names, key=_isort_key)]
    one_line = code("from {path} import {names}", path=path, names=listed(*ordered))
    if fits(one_line, 0):
        return one_line
    return code(
        """
from {path} import (
    {names}
)
""",
        path=path,
        names=lines(*(code("{name},", name=name) for name in ordered)),
    )


def _isort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by name: as isort and ruff sort."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name
