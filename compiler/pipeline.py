"""From a run to its plan: the passes, from top to bottom.

Each pass takes values and gives a value, with diagnostics where it can refuse. Passes that do not need one another
all run before errors stop the rest, so that one look tells everything that is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from moec.compiler.passes.arrange_layers import arrange_layers
from moec.compiler.passes.arrange_mesh import arrange_mesh, check_axes, check_slices, check_topology
from moec.compiler.passes.check_asserts import check_asserts
from moec.compiler.passes.check_lints import check_lints
from moec.compiler.passes.check_model_shapes import check_model_shapes
from moec.compiler.passes.check_run import check_run
from moec.compiler.passes.check_sharding import check_sharding
from moec.compiler.passes.choose_kernels import choose_kernels
from moec.compiler.passes.count_flops import count_flops
from moec.compiler.passes.count_parameters import count_parameters
from moec.compiler.passes.declare_tensors import declare_tensors
from moec.compiler.passes.estimate_memory import StateMemory, estimate_memory, state_memory
from moec.compiler.passes.estimate_step_time import Work, estimate_step_time
from moec.compiler.passes.list_collectives import list_collectives
from moec.compiler.passes.list_derivations import list_derivations
from moec.compiler.passes.places import place
from moec.compiler.passes.set_budget import set_budget
from moec.compiler.passes.set_capacity import set_capacity
from moec.compiler.passes.shard_activations import shard_activations
from moec.compiler.passes.split_batch import split_batch
from moec.compiler.plan import (
    ActivationPlan,
    BatchPlan,
    ChoicesPlan,
    CollectivePlan,
    FlopCounts,
    KernelPlan,
    MemoryPlan,
    MeshPlan,
    ParameterCounts,
    Plan,
    RoutingPlan,
    StackPlan,
    StepTimePlan,
    TensorPlan,
)
from moec.compiler.planner.candidates import open_choices
from moec.compiler.planner.choose import choose, shortlist
from moec.compiler.planner.price import Weighed
from moec.compiler.planner.scale import TRIED, Sized, doubts, scale_plan, scales, without_law
from moec.compiler.planner.wall_clock import equal_wall_clock
from moec.compiler.resolve import resolve
from moec.compiler.typed import MESH_AXES, Auto, RunSpec, TypedSpec
from moec.spec.allowances import check_allowances
from moec.spec.codes import budget as budget_codes
from moec.spec.diagnostics import Diagnostic, has_errors, in_order
from moec.spec.loader import LoadedFiles
from moec.spec.reader import read


@dataclass(frozen=True, slots=True)
class Layout:
    """What has to hold before anything can be counted: layers, devices, batch and routing."""

    stack: StackPlan
    mesh: MeshPlan
    batch: BatchPlan
    routing: RoutingPlan | None


@dataclass(frozen=True, slots=True)
class Costs:
    """What one step takes, before it is known how many there are."""

    kernels: KernelPlan
    tensors: tuple[TensorPlan, ...]
    parameters: ParameterCounts
    flops: FlopCounts
    activations: tuple[ActivationPlan, ...]
    collectives: tuple[CollectivePlan, ...]
    memory: MemoryPlan
    step_time: StepTimePlan


def plan_run(run: RunSpec, *, explained: bool = True) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """The plan of one run, None where it has errors, and all that there is to say about it. A plan that is not
    `explained` has no derivations but where asserts ask for them."""
    plan = plan_scaled if run.model.scale == "auto" else plan_sized
    return plan(run, explained=explained)


def plan_scaled(run: RunSpec, *, explained: bool = True) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """The plan of the best size that can be planned, of the TRIED best by the budget's law. Errors: MOE6112."""
    told: tuple[Diagnostic, ...] = check_model_shapes(run)
    found, more = ((), ()) if has_errors(told) else scales(run, size_of)
    told = (*told, *more)
    if not found:
        return None, in_order(told or lay_out(run)[1])
    why = ""
    for one in found[:TRIED]:
        plan, more = plan_sized(without_law(one.run), explained=explained)
        if plan is not None:
            return replace(plan, scale=scale_plan(found, one)), in_order((*told, *doubts(one), *more))
        why = why or next(diagnostic.message for diagnostic in more if diagnostic.severity == "error")
    at, budget_at = place(run, "model.scale"), place(run, "budget.train_flops")
    return None, in_order((*told, budget_codes.no_scale(at, min(TRIED, len(found)), why, budget_at)))


def best_plans(run: RunSpec, plan: Plan, number: int) -> tuple[Plan, ...]:
    """The plans of the best `number` layouts of `run`, which leaves some open and whose plan is `plan`, best first."""
    # The sizes of an open scale stay those of the plan, whatever is proven of its layouts.
    sized = replace(run, model=plan.run.model, budget=plan.run.budget, reference=None, written=plan.run.written)
    found = (plan_sized(candidate)[0] for candidate in shortlist(sized, Pricer(), number))
    return tuple(one for one in found if one is not None)


def size_of(run: RunSpec) -> Sized | None:
    """Weights and FLOPs as they are on any mesh, None where the shapes do not hold."""
    axes: dict[str, int | Auto] = dict.fromkeys(MESH_AXES, 1)
    mesh = replace(run.mesh, devices=1, topology=None, slices=1, axes=axes)
    alone = replace(run, mesh=mesh, remat=replace(run.remat, policy="none"))
    layout, _ = lay_out(alone)
    if layout is None:
        return None
    kernels, _ = choose_kernels(alone, layout.mesh, layout.batch)
    tensors = declare_tensors(alone, layout.stack)
    parameters = count_parameters(tensors)
    return Sized(tensors, parameters, count_flops(alone, layout.stack, layout.routing, kernels, parameters))


def plan_sized(run: RunSpec, *, explained: bool = True) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """The plan of a run whose model has its sizes."""
    run, choices, told = close_choices(run)
    if has_errors(told):
        return None, in_order(told)
    layout, more = lay_out(run)
    told = (*told, *more)
    if layout is None:
        return None, in_order(told)
    plan, more = derive(run, layout)
    told = (*told, *more)
    if plan is None:
        return None, in_order(told)
    derivations = list_derivations(plan) if explained or run.asserts else ()
    plan = replace(plan, choices=choices, derivations=derivations)
    told = (
        *told,
        *check_run(plan.run, plan.budget, plan.routing),
        *check_lints(plan.run, plan.mesh, plan.batch, plan.routing),
        *check_asserts(plan.run, plan.derivations),
    )
    return (None if has_errors(told) else plan), in_order(told)


def close_choices(run: RunSpec) -> tuple[RunSpec, ChoicesPlan | None, tuple[Diagnostic, ...]]:
    """The run with nothing left `auto` that the planner decides. What no layout can mend is told before it is asked."""
    if not open_choices(run):
        return run, None, ()
    _, of_layers = arrange_layers(run)
    told = (*check_model_shapes(run), *of_layers, *check_topology(run), *check_slices(run), *check_axes(run))
    return (run, None, told) if has_errors(told) else choose(run, Pricer())


def lay_out(run: RunSpec) -> tuple[Layout | None, tuple[Diagnostic, ...]]:
    """Shapes against each other, then against the mesh."""
    shapes = check_model_shapes(run)
    stack, layer_errors = arrange_layers(run)
    mesh, mesh_errors = arrange_mesh(run)
    told = (*shapes, *layer_errors, *mesh_errors)
    if mesh is None:
        return None, told
    sharding = check_sharding(run, mesh)
    batch, batch_errors = split_batch(run, mesh)
    told = (*told, *sharding, *batch_errors)
    if batch is None:
        return None, told
    routing, routing_errors = set_capacity(run, mesh, batch)
    told = (*told, *routing_errors)
    if stack is None or has_errors(told):
        return None, told
    return Layout(stack, mesh, batch, routing), told


def derive(run: RunSpec, layout: Layout) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """Weights, FLOPs, bytes, seconds and steps of a run whose layout holds; nothing is explained yet."""
    costs, told = cost(run, layout)
    if costs is None:
        return None, told
    run, decision, reference_errors = equal_wall_clock(run, costs.step_time, plan_run)
    told = (*told, *reference_errors)
    if has_errors(reference_errors):
        return None, told
    budget, budget_errors = set_budget(run, costs.tensors, costs.parameters, costs.flops, costs.step_time)
    told = (*told, *budget_errors)
    if budget is None:
        return None, told
    plan = Plan(
        run=run,
        stack=layout.stack,
        mesh=layout.mesh,
        tensors=costs.tensors,
        parameters=costs.parameters,
        flops=costs.flops,
        batch=layout.batch,
        budget=budget,
        routing=layout.routing,
        activations=costs.activations,
        collectives=costs.collectives,
        memory=costs.memory,
        step_time=costs.step_time,
        kernels=costs.kernels,
        derivations=(),
        decisions=() if decision is None else (decision,),
    )
    return plan, told


def cost(run: RunSpec, layout: Layout) -> tuple[Costs | None, tuple[Diagnostic, ...]]:
    """Weights, FLOPs, bytes and seconds of one step; None where a kernel or a rate is missing."""
    stack, mesh, batch, routing = layout.stack, layout.mesh, layout.batch, layout.routing
    kernels, kernel_errors = choose_kernels(run, mesh, batch)
    tensors = declare_tensors(run, stack)
    parameters = count_parameters(tensors)
    flops = count_flops(run, stack, routing, kernels, parameters)
    activations = shard_activations(run, batch, routing, kernels)
    collectives = list_collectives(run, stack, mesh, batch, routing, tensors, activations)
    memory, memory_errors = estimate_memory(run, stack, mesh, batch, tensors, activations)
    work = Work(stack, mesh, batch, tensors, flops, activations, collectives, memory, routing)
    step_time, time_errors = estimate_step_time(run, work)
    told = (*kernel_errors, *memory_errors, *time_errors)
    if step_time is None or has_errors(kernel_errors):
        return None, told
    return Costs(kernels, tensors, parameters, flops, activations, collectives, memory, step_time), told


@dataclass(frozen=True, slots=True)
class _Model:
    """What the planner's choices do not change but for the policy."""

    stack: StackPlan
    tensors: tuple[TensorPlan, ...]
    parameters: ParameterCounts


class Pricer:
    """Prices what one run may become, for the planner. What a layout does not change is worked out once."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._states: dict[tuple[int, ...], StateMemory] = {}
        self._flops: dict[tuple[str, ...], FlopCounts] = {}

    def is_legal(self, run: RunSpec) -> bool:
        """Whether `run` passes the checks of shapes against the mesh."""
        return lay_out(run)[0] is not None

    def weigh(self, run: RunSpec) -> Weighed | None:
        """Bytes per device, None where the run is not legal."""
        layout, _ = lay_out(run)
        if layout is None:
            return None
        mesh, batch, routing = layout.mesh, layout.batch, layout.routing
        kernels, told = choose_kernels(run, mesh, batch)
        if has_errors(told):
            return None
        model, axes = self._model(run), tuple(mesh.axes.values())
        if axes not in self._states:
            self._states[axes] = state_memory(run, mesh, model.tensors)
        activations = shard_activations(run, batch, routing, kernels)
        state = self._states[axes]
        memory, _ = estimate_memory(run, model.stack, mesh, batch, model.tensors, activations, state)
        return Weighed(run, mesh, batch, routing, kernels, activations, memory)

    def time(self, weighed: Weighed) -> StepTimePlan | None:
        """The seconds of one step, None where the rate of the hardware is not known."""
        run, mesh, batch, routing = weighed.run, weighed.mesh, weighed.batch, weighed.routing
        model, activations = self._model(run), weighed.activations
        collectives = list_collectives(run, model.stack, mesh, batch, routing, model.tensors, activations)
        flops = self._count_flops(weighed, model)
        work = Work(model.stack, mesh, batch, model.tensors, flops, activations, collectives, weighed.memory, routing)
        return estimate_step_time(run, work)[0]

    def _model(self, run: RunSpec) -> _Model:
        """By policy, which may decide whether the layers are scanned."""
        policy = run.remat.policy
        if policy not in self._models:
            stack, _ = arrange_layers(run)
            assert stack is not None, "the planner is asked when the layers hold"
            tensors = declare_tensors(run, stack)
            self._models[policy] = _Model(stack, tensors, count_parameters(tensors))
        return self._models[policy]

    def _count_flops(self, weighed: Weighed, model: _Model) -> FlopCounts:
        routing, kernels = weighed.routing, weighed.kernels
        key = (
            weighed.run.remat.policy,
            kernels.attention,
            *((routing.reason,) if routing else ()),
        )
        if key not in self._flops:
            self._flops[key] = count_flops(weighed.run, model.stack, routing, kernels, model.parameters)
        return self._flops[key]


def check(loaded: LoadedFiles) -> tuple[Diagnostic, ...]:
    """Everything that is to be said about a spec whose text was read: its names and values, then its plans.

    A spec with errors in its names is planned as far as it goes: resolving leaves out the runs that have errors.
    """
    spec, of_reading = read(loaded)
    typed, of_resolving = resolve(spec)
    _, of_planning = plan_all(typed, explained=False)
    return in_order(check_allowances((*of_reading, *of_resolving, *of_planning), loaded))


def plan_all(typed: TypedSpec, *, explained: bool = True) -> tuple[tuple[Plan, ...], tuple[Diagnostic, ...]]:
    """The plans of all runs that have one, in their order, and the diagnostics of all."""
    results = [plan_run(run, explained=explained) for run in typed.runs]
    plans = tuple(plan for plan, _ in results if plan is not None)
    return plans, in_order(diagnostic for _, told in results for diagnostic in told)
