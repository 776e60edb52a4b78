"""What an expression is worth where it stands: of fields, of `let`s, and of asserts once there is a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from moec.compiler.passes.check_asserts import hardware_values, plan_values
from moec.compiler.plan import Plan
from moec.compiler.scope import ASSERT_NAMES
from moec.lsp.view import View
from moec.lsp.walking import Spot
from moec.spec.expressions import Environment, evaluate
from moec.spec.syntax import Assert, Expression, Field, Let, Reference, String
from moec.spec.values import Error, Value


def worth_at(view: View, spot: Spot) -> Value | None:
    """The value of the innermost expression at `spot`, None where it has none."""
    if spot.expression is None or isinstance(spot.expression, String):
        return None
    return worth_of(view, spot, spot.expression)


def worth_of(view: View, spot: Spot, expression: Expression) -> Value | None:
    """The value of `expression`, which is part of the statement at `spot`."""
    environment = environment_at(view, spot)
    value = evaluate(expression, environment) if environment else None
    return None if isinstance(value, Error) else value


def worth_of_field(view: View, spot: Spot, name: str) -> Value | None:
    """The value of the field `name` of the innermost block at `spot`: its default where it is not written."""
    place = view.place(spot.blocks)
    if place is None or place.info.field(name) is None:
        return None
    value = view.scope().value(place, name)
    return None if isinstance(value, Error) else value


def environment_at(view: View, spot: Spot) -> Environment | None:
    """What names stand for in the statement at `spot`."""
    scope, place = view.scope(), view.place(spot.blocks)
    match spot.statement:
        case Let() if view.name in view.front.spec.scopes:
            return scope.environment_at_top(view.name)
        case Field() if place:
            return scope.environment(place, view.name, place.info.field(spot.statement.name.text))
        case Assert() if place:
            known = _planned_values(view, spot)
            return _knowing(scope.environment(place, view.name), known)
        case _:
            return None


def _planned_values(view: View, spot: Spot) -> Mapping[str, Value]:
    """What `plan` and `hardware` stand for in a block: those of the run itself, or of a run that names the block."""
    plan = plan_for(view, spot)
    if plan is None:
        return {}
    known = {f"plan.{name}": value for name, value in plan_values(plan.derivations).items()}
    return known | {f"hardware.{name}": value for name, value in hardware_values(plan.run.mesh.hardware).items()}


def plan_for(view: View, spot: Spot) -> Plan | None:
    """The plan of the run around `spot`, or of the first run that names the block around it."""
    if view.checked is None or not spot.blocks or spot.blocks[0].label is None:
        return None
    kind, name = spot.blocks[0].kind.text, spot.blocks[0].label.text
    return next((plan for plan in view.checked.plans.values() if name_in_run(plan, kind) == name), None)


def name_in_run(plan: Plan, kind: str) -> str | None:
    """The name of the block of `kind` that the plan's run has."""
    run = plan.run
    names = {"run": run.name, "model": run.model.name, "mesh": run.mesh.name, "budget": run.budget.name}
    return run.data.name if kind == "data" and run.data else names.get(kind)


def _knowing(environment: Environment, known: Mapping[str, Value]) -> Environment:
    def find(reference: Reference, depth: int) -> Value | Error:
        if reference.parts[0].text in ASSERT_NAMES:
            return known.get(reference.dotted, Error())
        return environment.find(reference, depth)

    return replace(environment, find=find)
