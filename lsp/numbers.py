"""The plan's numbers, between the lines and above the runs, while one types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lsprotocol import types

from moec.compiler.plan import Plan
from moec.compiler.scope import Scope
from moec.compiler.units import count, duration, size
from moec.lsp.describe import value_text
from moec.lsp.view import View, place_of
from moec.lsp.walking import Spot
from moec.lsp.worth import plan_for
from moec.spec.expressions import Environment, evaluate
from moec.spec.fields.info import FieldInfo
from moec.spec.fields.types import words_of
from moec.spec.source import Span
from moec.spec.syntax import (
    Binary,
    Block,
    Call,
    Conditional,
    Expression,
    Field,
    Let,
    Number,
    Reference,
    Statement,
    Unary,
)
from moec.spec.values import Error, Quantity, Truth, Value

PLAN_COMMAND: Final = "moec.plan"
COMPILE_COMMAND: Final = "moec.compile"
DIFF_COMMAND: Final = "moec.diff"


# ---- above the runs ----


def lenses(view: View) -> list[types.CodeLens]:
    """Above each run its numbers, which lead to its plan; then what compiles it, and what tells of unsaved changes."""
    found: list[types.CodeLens] = []
    for block in view.text.file.statements:
        if isinstance(block, Block) and block.kind.text == "run" and block.label:
            where, arguments = view.range(block.label.span), [view.uri(view.name), block.label.text]
            plan = view.checked.plans.get(block.label.text) if view.checked else None
            if plan:
                found.append(types.CodeLens(where, types.Command(summary(plan), PLAN_COMMAND, arguments=arguments)))
                found.append(types.CodeLens(where, types.Command("compile", COMPILE_COMMAND, arguments=arguments)))
            found.append(types.CodeLens(where, types.Command("unsaved changes", DIFF_COMMAND, arguments=arguments)))
    return found


def summary(plan: Plan) -> str:
    """Parameters, tokens for each of them, memory of a device, seconds of a step."""
    time = f"{duration(plan.step_time.seconds)} per step" + ("" if plan.step_time.calibrated else " (estimate)")
    return " · ".join((parameters(plan), training(plan), memory(plan), time))


def parameters(plan: Plan) -> str:
    """`2.64 M parameters, 1.06 M active`."""
    total, active = plan.parameters.total, plan.parameters.active
    return f"{count(total)} parameters" + (f", {count(active)} active" if active != total else "")


def training(plan: Plan) -> str:
    """`0.95 tokens per parameter`, of those that are active."""
    return f"{_ratio(plan)} tokens per parameter"


def short(plan: Plan) -> str:
    """`0.95 tokens/parameter, 113 ms/step`: VS Code cuts what is longer than 43 characters in one line."""
    return f"{_ratio(plan)} tokens/parameter, {duration(plan.step_time.seconds)}/step"


def _ratio(plan: Plan) -> str:
    ratio = plan.budget.tokens_per_param
    return f"{ratio:.3g}" if ratio < 1000 else count(ratio)


def memory(plan: Plan) -> str:
    """`3.10 GiB of 95.0 GiB per device`; without the latter where the catalogue does not know it."""
    of_all = f" of {size(plan.memory.hbm)}" if plan.memory.hbm else ""
    return f"{size(plan.memory.total)}{of_all} per device"


# ---- between the lines ----


def inlay_hints(view: View, within: types.Range) -> list[types.InlayHint]:
    """In the lines of `within`: what blocks come to, what `auto` became, and what expressions are worth."""
    found: list[types.InlayHint] = []
    reader = _Reader(view)
    for statement in view.text.file.statements:
        lines = view.range(statement.span)
        if lines.start.line <= within.end.line and lines.end.line >= within.start.line:
            found += [_hint(view, *one) for one in reader.hints(statement)]
    return [hint for hint in found if within.start <= hint.position <= within.end]


def _hint(view: View, behind: Span, text: str, why: str) -> types.InlayHint:
    end = view.range(behind).end
    return types.InlayHint(end, text, padding_left=True, tooltip=why or None)


Hint = tuple[Span, str, str]
"""What it stands behind, what it says, and what it says when the mouse rests on it."""


class _Reader:
    def __init__(self, view: View) -> None:
        self.view = view
        self.scope: Scope = view.scope()

    def hints(self, statement: Statement) -> Iterator[Hint]:
        match statement:
            case Let():
                yield from self._worth(statement.value, self.scope.environment_at_top(self.view.name), None)
            case Block():
                yield from self._of_top_block(statement)
                yield from self._inside((statement,))

    def _of_top_block(self, block: Block) -> Iterator[Hint]:
        plan = plan_for(self.view, Spot((block,)))
        if plan is None or block.label is None:
            return
        behind = block.extends.span if block.extends else block.label.span
        why = f"in run `{plan.run.name}`"
        match block.kind.text:
            case "model":
                yield behind, parameters(plan), why
            case "budget":
                yield behind, f"{count(plan.budget.tokens)} tokens, {plan.budget.steps:,} steps", why
            case "mesh":
                yield behind, memory(plan), why
            case "run":
                yield behind, short(plan), ""

    def _inside(self, blocks: tuple[Block, ...]) -> Iterator[Hint]:
        place = place_of(self.view.front, self.view.name, blocks)
        for item in blocks[-1].items:
            if isinstance(item, Block):
                yield from self._inside((*blocks, item))
            elif isinstance(item, Field) and place:
                info = place.info.field(item.name.text)
                if isinstance(item.value, Reference) and item.value.dotted == "auto":
                    yield from self._chosen(blocks, item)
                elif info:
                    environment = self.scope.environment(place, self.view.name, info)
                    yield from self._worth(item.value, environment, info)

    def _chosen(self, blocks: tuple[Block, ...], field: Field) -> Iterator[Hint]:
        """What an `auto` became."""
        plan = plan_for(self.view, Spot(blocks))
        chosen = _auto(plan, blocks[-1].kind.text, field.name.text) if plan else ""
        if plan and chosen:
            yield field.value.span, f"= {chosen}", f"in run `{plan.run.name}`"

    def _worth(self, value: Expression, environment: Environment, info: FieldInfo | None) -> Iterator[Hint]:
        """What an expression comes to that is more than one literal."""
        if not _is_derived(value, info):
            return
        worth: Value | Error = evaluate(value, environment)
        if isinstance(worth, Quantity | Truth):
            yield value.span, f"= {value_text(worth)}", ""


def _is_derived(value: Expression, info: FieldInfo | None) -> bool:
    if isinstance(value, Unary):
        return not isinstance(value.operand, Number)
    if isinstance(value, Reference):
        return info is None or value.dotted not in words_of(info.type)
    return isinstance(value, Binary | Call | Conditional)


def _auto(plan: Plan, kind: str, field: str) -> str:
    """The plan's choice for a field that is `auto`, "" where it makes none."""
    match kind, field:
        case "axes", axis if axis in plan.mesh.axes:
            return str(plan.mesh.axes[axis])
        case "batch", "micro":
            return count(plan.batch.tokens // plan.batch.micro_batches)
        case "optimizer", "warmup_steps":
            return f"{plan.budget.warmup_steps:,}"
        case "optimizer", "decay_steps":
            return f"{plan.budget.decay_steps:,}"
        case "experts", "dispatch":
            return plan.routing.dispatch if plan.routing else ""
        case "experts", "grouped_matmul":
            return plan.routing.grouped_matmul if plan.routing else ""
        case "attention", "kernel":
            return plan.kernels.attention
        case "layers", "scan":
            return "true" if plan.stack.scan else "false"
        case _:
            return ""
