"""What an editor shows where the mouse rests: what a thing is, and what it is worth."""

from __future__ import annotations

from lsprotocol import types

from moec.compiler.plan import Plan, TensorPlan
from moec.compiler.report.facts import value as derived_value
from moec.compiler.scope import ASSERT_NAMES
from moec.compiler.units import count
from moec.lsp.describe import describe_block, describe_field, describe_function, describe_value, describe_word
from moec.lsp.names import Target, block_of, let_of, target_at
from moec.lsp.view import View, info_of
from moec.lsp.walking import Spot, covers
from moec.lsp.worth import plan_for, worth_at, worth_of, worth_of_field
from moec.spec.fields.info import FieldInfo
from moec.spec.fields.table import block_info
from moec.spec.fields.types import words_of
from moec.spec.format_value import format_expression
from moec.spec.functions import FUNCTIONS
from moec.spec.source import Span
from moec.spec.syntax import Block, Broken, Call, Field, Let, Reference, String, Use
from moec.spec.values import BlockName

MAX_SHAPES = 24
"""Weights that a hover on an axis lists. Assumption: more do not fit a screen."""


def hover(view: View, position: types.Position) -> types.Hover | None:
    """Of the thing at `position`, None where there is nothing to say."""
    spot = view.spot(position)
    found = _of_name(view, spot) or _of_expression(view, spot)
    if found is None:
        return None
    text, span = found
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text), view.range(span))


def _of_name(view: View, spot: Spot) -> tuple[str, Span] | None:
    name = spot.name
    if name is None:
        return None
    if isinstance(spot.expression, Call):
        return _of_function(view, spot, spot.expression)
    match spot.statement:
        case Block() if name is spot.statement.kind:
            info = info_of((*spot.blocks, spot.statement))
            return (describe_block(info), name.span) if info else None
        case Block() | Let() | Use():
            target = target_at(view, spot)
            return (_of_target(view, target), name.span) if target else None
        case Field():
            return _of_field(view, spot)
        case _:
            return None


def _of_function(view: View, spot: Spot, call: Call) -> tuple[str, Span] | None:
    function, value = FUNCTIONS.get(call.function.text), worth_at(view, spot)
    if function is None:
        return None
    parts = (describe_function(function), describe_value(value) if value is not None else "")
    return "\n\n".join(part for part in parts if part), call.function.span


def _of_field(view: View, spot: Spot) -> tuple[str, Span] | None:
    info, name = info_of(spot.blocks), spot.name
    field = info.field(name.text) if info and name else None
    if info is None or field is None or name is None:
        return None
    parts = [describe_field(field, info.path)]
    value = worth_of_field(view, spot, field.name)
    if value is not None:
        parts.append(describe_value(value))
    if info.path == "mesh.axes":
        parts += _cut_over(view, spot, field.name)
    return "\n\n".join(parts), name.span


def _cut_over(view: View, spot: Spot, axis: str) -> list[str]:
    """The weights that the mesh axis `axis` cuts, with the part that one device has."""
    plan = plan_for(view, spot)
    cut = [tensor for tensor in plan.tensors if axis in sum(tensor.sharding, ())] if plan else []
    if plan is None or not cut:
        return []
    head = f"Cut over `{axis}` = {plan.mesh.axes.get(axis, 1)} in run `{plan.run.name}`, with one device's part:"
    rows = "\n".join(f"- `{tensor.owner}.{tensor.name}`: {shapes(tensor, plan)}" for tensor in cut[:MAX_SHAPES])
    return [f"{head}\n\n{rows}"]


def shapes(tensor: TensorPlan, plan: Plan) -> str:
    """The shape of a weight, its sharding, and its shape on one device."""
    local = [size // _product(plan, axes) for size, axes in zip(tensor.shape, tensor.sharding, strict=True)]
    dims = ", ".join("/".join((dim, *axes)) for dim, axes in zip(tensor.dims, tensor.sharding, strict=True))
    return f"{' x '.join(map(str, tensor.shape))} as `[{dims}]` → **{' x '.join(map(str, local))}**"


def _product(plan: Plan, axes: tuple[str, ...]) -> int:
    product = 1
    for axis in axes:
        product *= plan.mesh.axes.get(axis, 1)
    return product


def _of_expression(view: View, spot: Spot) -> tuple[str, Span] | None:
    expression = spot.expression
    if expression is None or isinstance(expression, Broken):
        return None
    if isinstance(expression, String) and isinstance(spot.statement, Use):
        file = view.front.loaded.imported(view.name, spot.statement)
        return (f"the spec `{file}`", expression.span) if file else None
    if isinstance(expression, Reference):
        return _of_reference(view, spot, expression)
    value = worth_at(view, spot)
    if value is None:
        return None
    text, written = describe_value(value), view.text.source.slice(view.front.real(expression.span))
    return (f"```moe\n{written}\n```\n\n{text}", expression.span) if text != f"`= {written}`" else None


def _of_reference(view: View, spot: Spot, reference: Reference) -> tuple[str, Span] | None:
    if reference.parts[0].text in ASSERT_NAMES:
        return _of_planned(view, spot, reference)
    field = _field_around(spot)
    if field and len(reference.parts) == 1 and reference.dotted in words_of(field.type):
        return describe_word(field, reference.dotted), reference.span
    target = target_at(view, spot)
    parts = [_of_target(view, target)] if target else []
    is_last = covers(reference.parts[-1].span, spot.address)
    value = worth_of(view, spot, reference) if is_last else None
    if value is not None and not isinstance(value, BlockName) and not (target and target.kind == "let"):
        parts.append(describe_value(value))
    return ("\n\n".join(parts), reference.span) if parts else None


def _field_around(spot: Spot) -> FieldInfo | None:
    info = info_of(spot.blocks)
    return info.field(spot.statement.name.text) if info and isinstance(spot.statement, Field) else None


def _of_planned(view: View, spot: Spot, reference: Reference) -> tuple[str, Span] | None:
    """`plan.step_time.seconds`, `hardware.hbm`: the value in the plan, with its formula and its source."""
    value = worth_of(view, spot, reference)
    if value is None:
        return None
    parts = [f"**`{reference.dotted}`**", describe_value(value)]
    plan = plan_for(view, spot)
    for row in plan.derivations if plan else ():
        if f"plan.{row.name}" == reference.dotted:
            parts += [derived_value(row.value, row.unit), f"`{row.formula}`", row.source]
    return "\n\n".join(part for part in parts if part), reference.span


def _of_target(view: View, target: Target) -> str:
    """A `let`, a block, a used file or a field that is named."""
    match target.kind:
        case "let":
            return _of_let(view, target)
        case "field":
            info = block_info(target.path)
            field = info.field(target.name) if info else None
            return describe_field(field, target.path) if field else ""
        case "use":
            return f"the spec `{view.front.spec.scopes[target.file].uses.get(target.name) or 'that cannot be read'}`"
        case _:
            return _of_block(view, target)


def _of_let(view: View, target: Target) -> str:
    let = let_of(view.front, target)
    if let is None:
        return ""
    parts = [f"```moe\nlet {let.name.text} = {_written(let)}\n```", let.doc]
    value = None
    if target.file == view.name:
        value = worth_of(view, Spot((), let, (let.value,)), let.value)
    parts.append(describe_value(value) if value is not None else "")
    return "\n\n".join(part for part in parts if part)


def _written(let: Let) -> str:
    try:
        return format_expression(let.value)
    except ValueError:
        return "…"


def _of_block(view: View, target: Target) -> str:
    block = block_of(view.front, target)
    if block is None:
        return ""
    base = f" extends {block.extends.dotted}" if block.extends else ""
    head = f"```moe\n{block.kind.text} {target.name}{base}\n```"
    plan = plan_for(view, Spot((block,)))
    numbers = ""
    if plan and target.path in ("model", "run"):
        total, active = plan.parameters.total, plan.parameters.active
        numbers = f"{count(total)} parameters" + (f", {count(active)} active" if active != total else "")
    return "\n\n".join(part for part in (head, block.doc, numbers) if part)
