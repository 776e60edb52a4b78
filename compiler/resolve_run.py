"""run block -> RunSpec, with the blocks that it names; study block -> StudySpec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from moec.compiler.fold import fold_asserts
from moec.compiler.resolve_block import Values, resolve_block
from moec.compiler.resolve_budget import resolve_budget
from moec.compiler.resolve_data import resolve_data
from moec.compiler.resolve_mesh import resolve_mesh
from moec.compiler.resolve_model import resolve_model
from moec.compiler.scope import Place, Scope
from moec.compiler.typed import (
    BatchSpec,
    BudgetSpec,
    CheckpointSpec,
    DataSpec,
    EvalSpec,
    GuardSpec,
    LayersSpec,
    MeshSpec,
    ModelSpec,
    OptimizerSpec,
    RematSpec,
    RunSpec,
    StudySpec,
)
from moec.spec.codes import budget as budget_codes
from moec.spec.codes import names as codes
from moec.spec.source import Span
from moec.spec.values import BlockName, Quantity


@dataclass(frozen=True, slots=True)
class Parts:
    """The blocks that runs name, worked out once each; None where something is wrong with one."""

    models: dict[tuple[str, ...], ModelSpec | None] = field(default_factory=dict)
    meshes: dict[tuple[str, ...], MeshSpec | None] = field(default_factory=dict)
    data: dict[tuple[str, ...], DataSpec | None] = field(default_factory=dict)
    budgets: dict[tuple[str, ...], BudgetSpec | None] = field(default_factory=dict)
    runs: dict[tuple[str, ...], RunSpec | None] = field(default_factory=dict)

    def model(self, scope: Scope, place: Place) -> ModelSpec | None:
        if place.key not in self.models:
            self.models[place.key] = resolve_model(scope, place)
        return self.models[place.key]

    def mesh(self, scope: Scope, place: Place) -> MeshSpec | None:
        if place.key not in self.meshes:
            self.meshes[place.key] = resolve_mesh(scope, place)
        return self.meshes[place.key]

    def dataset(self, scope: Scope, place: Place) -> DataSpec | None:
        if place.key not in self.data:
            self.data[place.key] = resolve_data(scope, place)
        return self.data[place.key]

    def budget(self, scope: Scope, place: Place) -> BudgetSpec | None:
        if place.key not in self.budgets:
            self.budgets[place.key] = resolve_budget(scope, place)
        return self.budgets[place.key]

    def run(self, scope: Scope, place: Place) -> RunSpec | None:
        """The run at `place`, which other runs may be measured against."""
        if place.key not in self.runs:
            self.runs[place.key] = resolve_run(scope, self, place)
        return self.runs[place.key]


def resolve_run(scope: Scope, parts: Parts, place: Place) -> RunSpec | None:
    """The run with all that it names, None where something is wrong with any of it.

    Errors: MOE2014, MOE6110, those of the blocks, and those of names in its asserts.
    """
    own = resolve_block(scope, place)
    inner = _inner(scope, place)
    named = {name: _named(scope, place, name) for name in ("model", "mesh", "data", "budget")}
    model = parts.model(scope, named["model"]) if named["model"] else None
    mesh = parts.mesh(scope, named["mesh"]) if named["mesh"] else None
    data = parts.dataset(scope, named["data"]) if named["data"] else None
    budget = parts.budget(scope, named["budget"]) if named["budget"] else None
    asserts = fold_asserts(scope, {"": place, **{name: where for name, where in named.items() if where}})
    reference, has_reference = _reference(scope, parts, place)
    if not (own and inner and model and mesh and budget and asserts is not None) or (named["data"] and not data):
        return None
    if not has_reference:
        return None
    origins = _origins(place, named)
    return RunSpec(
        name=place.root.name,
        doc=place.root.doc,
        span=place.root.span,
        seed=own.integer("seed"),
        model=model,
        mesh=mesh,
        data=data,
        budget=budget,
        batch=_batch(inner["batch"]),
        optimizer=_optimizer(inner["optimizer"]),
        remat=_remat(inner["remat"]),
        checkpoint=CheckpointSpec(inner["checkpoint"].integer("every_steps"), inner["checkpoint"].integer("keep")),
        guard=_guard(inner["guard"]),
        eval=EvalSpec(inner["eval"].integer("every_steps"), inner["eval"].integer("tokens")),
        layers=LayersSpec("auto" if inner["layers"].is_word("scan", "auto") else inner["layers"].flag("scan")),
        asserts=asserts,
        origins={path: span for path, (span, _) in origins.items()},
        written=frozenset(path for path, (_, written) in origins.items() if written),
        reference=reference,
    )


def _reference(scope: Scope, parts: Parts, place: Place) -> tuple[RunSpec | None, bool]:
    """The run that the budget is measured against, None where that is no other run; and whether it could be had.

    Errors: MOE6110.
    """
    other = _measured_against(scope, place)
    if other is None:
        return None, True
    if _measured_against(scope, other) is not None:
        budget = _named(scope, place, "budget")
        written = budget.written("equal_to") if budget else None
        span = written.value.span if written else place.span
        scope.diagnostics.append(budget_codes.reference_is_measured(span, other.root.name, other.span))
        return None, False
    run = parts.run(scope, other)
    return run, run is not None


def _measured_against(scope: Scope, place: Place) -> Place | None:
    """The run that the budget of the run at `place` names in `equal_to`, None where that is none or the run itself."""
    budget = _named(scope, place, "budget")
    value = scope.value(budget, "equal_to") if budget else None
    block = scope.spec.block(value.file, value.kind, value.name) if isinstance(value, BlockName) else None
    return Place(block) if block and Place(block).key != place.key else None


def resolve_study(scope: Scope, place: Place) -> StudySpec | None:
    """The study, None where something is wrong with it."""
    values = resolve_block(scope, place)
    if values is None:
        return None
    return StudySpec(
        name=place.root.name,
        doc=place.root.doc,
        span=place.root.span,
        runs=tuple(item.name for item in values.items("runs") if isinstance(item, BlockName)),
        match=values.word("match"),
        seeds=tuple(int(item.amount) for item in values.items("seeds") if isinstance(item, Quantity)),
        report=values.texts("report"),
    )


def _named(scope: Scope, place: Place, name: str) -> Place | None:
    """The block that the field `name` of a run names, None where it names none or none that is there."""
    value = scope.value(place, name)
    block = scope.spec.block(value.file, value.kind, value.name) if isinstance(value, BlockName) else None
    return Place(block) if block else None


def _inner(scope: Scope, place: Place) -> Mapping[str, Values] | None:
    """The values of the blocks inside a run, None where something is wrong with one."""
    found: dict[str, Values] = {}
    for info in place.info.blocks:
        inside = place.inside(info.name)
        if info.required and inside.block is None:
            scope.diagnostics.append(codes.missing_block(place.span, "run", info.name, "tokens = 4Ki"))
            continue
        values = resolve_block(scope, inside)
        if values:
            found[info.name] = values
    return found if len(found) == len(place.info.blocks) else None


def _batch(values: Values) -> BatchSpec:
    return BatchSpec(values.integer("tokens"), "auto" if values.is_word("micro", "auto") else values.integer("micro"))


def _optimizer(values: Values) -> OptimizerSpec:
    return OptimizerSpec(
        kind=values.word("kind"),
        peak_lr=values.real("peak_lr"),
        weight_decay=values.real("weight_decay"),
        b1=values.real("b1"),
        b2=values.real("b2"),
        eps=values.real("eps"),
        clip_norm=None if values.is_word("clip_norm", "none") else values.real("clip_norm"),
        schedule=values.word("schedule"),
        warmup_steps="auto" if values.is_word("warmup_steps", "auto") else values.integer("warmup_steps"),
        decay_steps="auto" if values.is_word("decay_steps", "auto") else values.integer("decay_steps"),
        final_lr_ratio=values.real("final_lr_ratio"),
    )


def _remat(values: Values) -> RematSpec:
    return RematSpec(values.word("policy"), values.texts("save"), values.texts("offload"))


def _guard(values: Values) -> GuardSpec:
    return GuardSpec(
        spike=None if values.is_word("spike", "none") else values.real("spike"),
        window=values.integer("window"),
        max_skips=values.integer("max_skips"),
    )


def _origins(place: Place, named: Mapping[str, Place | None]) -> Mapping[str, tuple[Span, bool]]:
    """The span of every field of the run, under its path in it, and whether someone wrote the field."""
    origins = dict(_spans(place, ""))
    for name, where in named.items():
        if where:
            origins |= _spans(where, f"{name}.")
    return origins


def _spans(place: Place, prefix: str) -> Mapping[str, tuple[Span, bool]]:
    spans: dict[str, tuple[Span, bool]] = {}
    for info in place.info.fields:
        written = place.written(info.name)
        spans[f"{prefix}{info.name}"] = (written.value.span if written else place.span, written is not None)
    for block in place.info.blocks:
        spans |= _spans(place.inside(block.name), f"{prefix}{block.name}.")
    return spans
